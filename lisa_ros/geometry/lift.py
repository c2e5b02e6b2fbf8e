"""Lifting: mask + depth -> cloud."""

from __future__ import annotations

import cv2
import numpy as np

from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.cloud import Cloud
from lisa_ros.geometry.depth import pixel_lookup
from lisa_ros.geometry.frame import ASPECT_TOLERANCE
from lisa_ros.geometry.surface import BLEED, behind_edge, consistent_parts, grow_back, jump_tolerance, smooth


def lift(
    mask: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    color: np.ndarray | None = None,
    *,
    min_depth: float = 0.1,
    max_depth: float = 10.0,
    remove_flying_pixels: bool = True,
    largest_cluster: bool = True,
    denoise: bool = True,
) -> Cloud:
    """The points of the target that a mask shows.

    mask: bool [H,W] (or 0 / non-zero), of the camera's size. depth: float [h,w] in metres of the same view, any size;
    0, negative and non-finite are no depth. camera: of the colour image (the mask's grid). color: uint8 [H,W,3] RGB,
    each point takes the pixel it is seen at; white without one.
    min_depth, max_depth: metres along the optical axis; what is outside is ignored.
    remove_flying_pixels: drop the pixels just behind depth edges, where sensors mix front and back.
    largest_cluster: keep the largest connected part of the surface and the parts near it (`consistent_parts`).
    denoise: average the depth over 3x3 pixels of the surface, except across steps (`smooth`).

    Returns one point per depth pixel that stays, row by row, in the camera's optical frame; an empty cloud when the
    mask is empty or has no depth. Raises `ValueError` when the shapes do not belong together.
    """
    _check(mask, depth, camera, color, min_depth, max_depth)
    window = _window(mask, depth.shape)
    if window is None:
        return Cloud.empty()
    rows, columns = window
    grid = camera.scaled_to(depth.shape[1], depth.shape[0])
    x_per_z = ((np.arange(columns.start, columns.stop) - grid.cx) / grid.fx).astype(np.float32)
    y_per_z = ((np.arange(rows.start, rows.stop) - grid.cy) / grid.fy).astype(np.float32)
    # where each depth pixel of the window is in the mask and the colour image
    mask_rows = pixel_lookup(depth.shape[0], mask.shape[0])[rows]
    mask_columns = pixel_lookup(depth.shape[1], mask.shape[1])[columns]
    inside = mask[rows, columns] if mask.shape == depth.shape else mask[np.ix_(mask_rows, mask_columns)]
    z = np.ascontiguousarray(depth[rows, columns], dtype=np.float32)

    valid = cv2.inRange(z, float(min_depth), float(max_depth)) != 0  # NaN is in no range
    z = cv2.copyTo(z, valid.view(np.uint8), np.zeros_like(z))
    surface = valid & (inside != 0)
    tolerance = jump_tolerance(z)
    behind = None
    if remove_flying_pixels:
        behind = behind_edge(z, tolerance, valid, surface) & surface
        surface &= ~behind
    if largest_cluster:
        surface = consistent_parts(z, surface, (x_per_z, y_per_z))
    if behind is not None:
        surface |= grow_back(z, tolerance, surface, behind)
    if denoise:
        z = smooth(z, tolerance, surface)

    chosen = np.flatnonzero(surface)
    # rows of three taken from a dense image: several times faster than indexing with pairs or masks
    points = cv2.merge([z * x_per_z, z * y_per_z[:, None], z]).reshape(-1, 3).take(chosen, axis=0)
    if color is None:
        return Cloud(points, np.full(points.shape, 255, np.uint8))
    seen = color[rows, columns] if mask.shape == depth.shape else color[np.ix_(mask_rows, mask_columns)]
    return Cloud(points, np.ascontiguousarray(seen).reshape(-1, 3).take(chosen, axis=0))


def _window(mask: np.ndarray, depth_shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns of the depth image that the mask can touch, with a rim for neighbours; None: nothing set."""
    left, top, width, height = cv2.boundingRect(mask if mask.dtype == np.uint8 else (mask != 0).view(np.uint8))
    if width == 0:
        return None
    rim = BLEED + 1
    slices = []
    for first, length, here, there in (
        (top, height, mask.shape[0], depth_shape[0]),
        (left, width, mask.shape[1], depth_shape[1]),
    ):
        low, high = first * there // here, -(-(first + length) * there // here)
        slices.append(slice(max(0, low - rim), min(there, high + rim)))
    return slices[0], slices[1]


def _check(mask, depth, camera, color, min_depth, max_depth) -> None:
    """Raise `ValueError` with both shapes when the inputs do not belong together."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is [H,W], got shape {list(mask.shape)}")
    if mask.shape != (camera.height, camera.width):
        raise ValueError(
            f"the mask has shape {list(mask.shape)}, the colour camera's image [{camera.height}, {camera.width}]"
        )
    if depth.ndim != 2 or 0 in depth.shape or not np.issubdtype(depth.dtype, np.floating):
        raise ValueError(
            f"depth must be [h,w] floating point metres (see depth_to_metres), got {depth.dtype} {list(depth.shape)}"
        )
    if abs(depth.shape[1] * mask.shape[0] / (depth.shape[0] * mask.shape[1]) - 1.0) > ASPECT_TOLERANCE:
        raise ValueError(
            f"the mask has shape {list(mask.shape)} and the depth {list(depth.shape)}: other proportions, so they do "
            "not show the same view"
        )
    if color is not None and (color.shape != (*mask.shape, 3) or color.dtype != np.uint8):
        raise ValueError(
            f"color must be uint8 {[*mask.shape, 3]} like the mask, got {color.dtype} {list(color.shape)}"
        )
    if not 0 < min_depth < max_depth:
        raise ValueError(f"0 < min_depth < max_depth must hold, got {min_depth} and {max_depth} m")
