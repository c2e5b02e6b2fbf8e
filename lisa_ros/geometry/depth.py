"""Depth images: units, what counts as no depth, and the way between the colour and the depth grid."""

from __future__ import annotations

import numpy as np


def depth_to_metres(raw: np.ndarray, scale: float = 0.001) -> np.ndarray:
    """Depth as float32 [h,w] metres, 0 where there is none.

    raw: [h,w], uint16 in units of `scale` metres (16UC1: millimetres), or float32/float64 in metres (32FC1). Zero, NaN,
    infinite and negative values all mean "no depth" in both forms and become 0. Raises `ValueError` for anything else.
    """
    if raw.ndim != 2:
        raise ValueError(f"a depth image has one channel, got shape {list(raw.shape)}")
    if raw.dtype == np.uint16:
        return raw.astype(np.float32) * np.float32(scale)
    if raw.dtype in (np.float32, np.float64):
        depth = raw.astype(np.float32)  # a copy: the caller's image stays as it was
        depth[~((depth > 0) & (depth < np.inf))] = 0.0
        return depth
    raise ValueError(f"a depth image is uint16 (millimetres) or float32 (metres), got {raw.dtype}")


def pixel_lookup(size: int, other: int) -> np.ndarray:
    """For each of `size` pixels along one side: the index of the pixel of the `other` grid that covers its centre.

    Both grids show the same view (see `Camera.scaled_to`). Returns intp [size].
    """
    if size == other:
        return np.arange(size)
    return ((np.arange(size) * 2 + 1) * other) // (2 * size)


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image or mask [H,W,...] on another grid of the same view, [height,width,...], by nearest pixel centre."""
    if image.shape[:2] == (height, width):
        return image
    return image[np.ix_(pixel_lookup(height, image.shape[0]), pixel_lookup(width, image.shape[1]))]
