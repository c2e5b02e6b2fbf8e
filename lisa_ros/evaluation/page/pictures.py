"""Pictures of an answer and its truth. Right, missing, wrong and ignored pixels have one colour each in all of them
(Okabe and Ito: told apart by colour-blind eyes too).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np

RIGHT, MISSING, WRONG, IGNORED = (0, 158, 115), (86, 180, 233), (230, 120, 20), (204, 121, 167)
"""In the answer and the target; in the target only; in the answer only; in no score. RGB, also in page.css."""

LONG_SIDE = 480
"""Pixels of the longer side of a picture on the page."""

QUALITY = 82

Tints = Sequence[tuple[np.ndarray, tuple[int, int, int]]]


def shrink(image: np.ndarray, long_side: int = LONG_SIDE) -> np.ndarray:
    """An RGB picture [H,W,3] or mask [H,W] with its longer side at most `long_side` pixels; masks stay bool."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if image.dtype == bool:
        return cv2.resize(image.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def target_picture(color: np.ndarray, target: np.ndarray, ignored: np.ndarray | None = None) -> np.ndarray:
    """The picture, grey where the target is not.

    color: uint8 [H,W,3] RGB; target, ignored: bool [H,W]; returns as color.
    """
    return _tinted(color, [(target, RIGHT), *_also(ignored)])


def answer_picture(
    color: np.ndarray, answer: np.ndarray, target: np.ndarray, ignored: np.ndarray | None = None
) -> np.ndarray:
    """The picture in grey with the answer's right, wrong and missing pixels; as `target_picture`. What is ignored is
    none of the three; the answer's outline shows how far it goes there.
    """
    counted = np.ones_like(answer) if ignored is None else ~ignored
    tints = [
        (answer & target & counted, RIGHT),
        (target & ~answer & counted, MISSING),
        (answer & ~target & counted, WRONG),
    ]
    picture = _tinted(color, [*_also(ignored), *tints])
    return picture if ignored is None else _outlined(picture, answer & ignored, WRONG)


def faded(color: np.ndarray) -> np.ndarray:
    """Grey and somewhat lighter, so that tints stand out. uint8 [H,W,3] RGB, returned as such."""
    grey = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat((40 + 0.75 * grey).astype(np.uint8)[:, :, None], 3, axis=2)


def data_uri(image: np.ndarray) -> str:
    """An RGB picture as the address of itself (JPEG)."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {list(image.shape)} cannot be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _also(ignored: np.ndarray | None) -> Tints:
    return [] if ignored is None else [(ignored, IGNORED)]


def _tinted(color: np.ndarray, parts: Tints) -> np.ndarray:
    picture = faded(color)
    for mask, tint in parts:
        picture[mask] = (0.4 * picture[mask] + 0.6 * np.array(tint)).astype(np.uint8)
        _outlined(picture, mask, tint)
    return picture


def _outlined(picture: np.ndarray, mask: np.ndarray, tint: tuple[int, int, int]) -> np.ndarray:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.drawContours(picture, outlines, -1, tint, 1, cv2.LINE_AA)
