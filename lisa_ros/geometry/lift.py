"""Lifting: mask + depth -> cloud."""

from __future__ import annotations

import cv2
import numpy as np

from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.cloud import Cloud
from lisa_ros.geometry.patch import Patch, check_mask, check_view
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
    check_view(depth, camera, color, min_depth, max_depth)
    patch = mask_patch(mask, depth, camera, min_depth, max_depth)
    if patch is None:
        return Cloud.empty()
    keep_target(
        patch, mask, remove_flying_pixels=remove_flying_pixels, largest_cluster=largest_cluster, denoise=denoise
    )
    return patch.cloud(color)


def mask_patch(
    mask: np.ndarray, depth: np.ndarray, camera: Camera, min_depth: float, max_depth: float
) -> Patch | None:
    """The patch of the depth image that the mask can touch, with a rim for neighbours; None: nothing set."""
    check_mask(mask, camera)
    left, top, width, height = cv2.boundingRect(mask if mask.dtype == np.uint8 else (mask != 0).view(np.uint8))
    if width == 0:
        return None
    rim = BLEED + 1
    slices = []
    for first, length, here, there in (
        (top, height, mask.shape[0], depth.shape[0]),
        (left, width, mask.shape[1], depth.shape[1]),
    ):
        low, high = first * there // here, -(-(first + length) * there // here)
        slices.append(slice(max(0, low - rim), min(there, high + rim)))
    return Patch.cut(depth, camera, tuple(slices), min_depth, max_depth)


def keep_target(
    patch: Patch,
    mask: np.ndarray,
    *,
    remove_flying_pixels: bool = True,
    largest_cluster: bool = True,
    denoise: bool = True,
) -> None:
    """Choose the patch's pixels that are the target's surface, and smooth their depth; options as those of `lift`."""
    surface = patch.chosen & (patch.see(mask) != 0)
    tolerance = jump_tolerance(patch.depth)
    behind = None
    if remove_flying_pixels:
        behind = behind_edge(patch.depth, tolerance, patch.chosen, surface) & surface
        surface &= ~behind
    if largest_cluster:
        surface = consistent_parts(patch.depth, surface, patch.directions)
    if behind is not None:
        surface |= grow_back(patch.depth, tolerance, surface, behind)
    if denoise:
        patch.depth = smooth(patch.depth, tolerance, surface)
    patch.chosen = surface
