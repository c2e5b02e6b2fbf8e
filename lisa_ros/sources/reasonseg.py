"""Frames of the ReasonSeg data set: a picture, what is asked about it, and the polygons that are the answer.

`X.json` lies beside `X.jpg`:

    {"text": ["the part that ..."], "is_sentence": true, "shapes": [{"label": "target", "points": [[x, y], ...]}]}

Shapes are drawn as the published code draws them (LISA, `utils/data_processing.py`): points cut to whole pixels, border
and inside, the larger ones first, so that a small one on top of a large one stands; a label with "ignore" in it makes
pixels that no score counts, "flag" is left out, and every other label is the target.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lisa_ros.geometry import Frame
from lisa_ros.sources.folder import FIRST_STAMP_NS
from lisa_ros.sources.image_files import read_color

TARGET, IGNORED = 1, 255
"""Values of the mask; everything else is 0. As `lisa_ros.evaluation.metrics` reads them."""

_PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, eq=False)
class ReasonSegFrame:
    """One annotated picture.

    frame: without depth and camera. queries: all wordings, the first one is what evaluations ask. is_sentence: whether
    they are whole sentences, or short phrases such as "the propeller". mask: uint8 [H,W], 0, 1 = target, 255 = ignored.
    """

    frame: Frame
    queries: tuple[str, ...]
    is_sentence: bool
    mask: np.ndarray


def read_reasonseg(path: str | Path) -> ReasonSegFrame:
    """Read one annotation and the picture beside it.

    The picture is turned as its EXIF orientation says, for so it was when the polygons were drawn.

    Raises:
        FileNotFoundError: there is no such annotation, or no picture beside it.
        ValueError: one of them is damaged; names the file.
    """
    path = Path(path)
    values = _read_json(path)
    queries, is_sentence = values.get("text"), values.get("is_sentence")
    if not isinstance(queries, list) or not queries or not all(isinstance(one, str) and one.strip() for one in queries):
        raise ValueError(f"{path}: 'text' must be a list of one or more texts, got {queries!r:.80}")
    if not isinstance(is_sentence, bool):
        raise ValueError(f"{path}: 'is_sentence' must be true or false, got {is_sentence!r:.80}")
    if not isinstance(values.get("shapes"), list):
        raise ValueError(f"{path}: no list 'shapes' in it")
    shapes = [_shape(f"{path}: shape {number}", shape) for number, shape in enumerate(values["shapes"])]
    picture = next((file for ending in _PICTURES if (file := path.with_suffix(ending)).is_file()), None)
    if picture is None:
        raise FileNotFoundError(f"{path}: no picture beside it; put {path.stem}.jpg into {path.parent}")
    color = read_color(picture, upright=True)
    mask = _draw([shape for shape in shapes if shape is not None], color.shape[0], color.shape[1])
    return ReasonSegFrame(Frame(color, None, None, stamp_ns=FIRST_STAMP_NS), tuple(queries), is_sentence, mask)


def _read_json(path: Path) -> dict[str, Any]:
    """Annotations are UTF-8, some of them cp1252."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    try:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252")
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON, or cut short: {error}; copy the file again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def _shape(where: str, shape: Any) -> tuple[int, np.ndarray] | None:
    """(value in the mask, int32 [1,n,2]) of a polygon; None for one that is left out."""
    label, points = (shape.get("label"), shape.get("points")) if isinstance(shape, dict) else (None, None)
    if not isinstance(label, str):
        raise ValueError(f"{where}: it has no 'label'")
    if label.lower() == "flag":
        return None
    try:
        corners = np.array(points, np.float64)
    except (ValueError, TypeError):  # not numbers, or not as many in each
        corners = np.zeros(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) == 0 or not (np.abs(corners) < 1 << 15).all():
        raise ValueError(f"{where}: its 'points' must be one or more pairs [x, y] of pixels, got {points!r:.80}")
    return (IGNORED if "ignore" in label.lower() else TARGET), corners.astype(np.int32)[None]


def _draw(shapes: list[tuple[int, np.ndarray]], height: int, width: int) -> np.ndarray:
    areas = []
    for _, corners in shapes:
        alone = np.zeros((height, width), np.uint8)
        _fill(alone, corners, 1)
        areas.append(cv2.countNonZero(alone))
    mask = np.zeros((height, width), np.uint8)
    for place in np.argsort(areas, kind="stable")[::-1]:  # of equal ones the later first, as in the published code
        _fill(mask, shapes[place][1], shapes[place][0])
    return mask


def _fill(mask: np.ndarray, corners: np.ndarray, value: int) -> None:
    cv2.polylines(mask, corners, True, value, 1)
    cv2.fillPoly(mask, corners, value)
