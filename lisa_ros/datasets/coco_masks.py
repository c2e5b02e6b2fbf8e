"""Masks of COCO's annotations: polygons and run lengths, drawn by pycocotools as every published figure has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco

from lisa_ros.datasets.example import DatasetError


def draw(segmentation: Any, height: int, width: int, where: str) -> np.ndarray:
    """A mask bool [H,W].

    Args:
        segmentation: a list of polygons [x, y, x, y ...], a run-length object, or a list of such; empty: an empty mask.
        where: named in errors.

    Raises:
        DatasetError: it is none of these, or of another size.
    """
    if segmentation in ([], None):
        return np.zeros((height, width), bool)
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    if not all(isinstance(part, list | dict) for part in parts):
        raise DatasetError(f"{where}: neither polygons nor run lengths, but {segmentation!r:.60}")
    try:
        if isinstance(parts[0], dict):
            lengths = [_run_lengths(part, height, width) for part in parts]
        else:
            parts = [part for part in parts if len(part) >= 6]  # fewer than three points enclose nothing
            if not parts:
                return np.zeros((height, width), bool)
            lengths = coco.frPyObjects(parts, height, width)
        drawn = coco.decode(coco.merge(lengths))
    except DatasetError:
        raise
    except Exception as error:  # pycocotools raises plain Exception, TypeError, ValueError
        raise DatasetError(f"{where}: not a polygon nor a run length ({error})") from error
    if drawn.shape != (height, width):
        raise DatasetError(
            f"{where}: the mask is {list(drawn.shape)}, the picture [{height}, {width}]: they do not belong together"
        )
    return drawn.astype(bool)


def _run_lengths(part: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    counts = part["counts"]
    if isinstance(counts, list):
        return coco.frPyObjects(part, height, width)
    return {"size": part["size"], "counts": counts.encode() if isinstance(counts, str) else counts}
