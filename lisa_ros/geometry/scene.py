"""A whole frame as points: with a label at every point (grasp nets), or without the target (octomap)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.cloud import Cloud
from lisa_ros.geometry.lift import keep_target, mask_patch
from lisa_ros.geometry.patch import Patch, check_view
from lisa_ros.geometry.surface import behind_step, jump_tolerance, nearest_around

# A target without depth (glass) is taken to be this far, metres, when its margin is turned into pixels: arm's length.
BLIND_DEPTH = 0.5
# The margin is measured from one point of the target per voxel of this share of the margin.
_SHARE = 0.125


def scene(
    masks: Sequence[np.ndarray],
    depth: np.ndarray,
    camera: Camera,
    color: np.ndarray | None = None,
    *,
    min_depth: float = 0.1,
    max_depth: float = 10.0,
    remove_flying_pixels: bool = True,
    largest_cluster: bool = True,
    voxel: float = 0.0,
) -> tuple[Cloud, np.ndarray]:
    """All that the frame shows, each point with the target it belongs to.

    masks: bool [H,W], one per instance. voxel: metres; leave one point per voxel (0: all). Everything else as `lift`
    takes it.

    Returns (cloud, labels uint32 [N]): one point per depth pixel, row by row, in the camera's optical frame. Label i
    means the target of the i-th mask (from 1; where two meet, the later), 0 all else. The points of label i are those
    that `lift` gives for the i-th mask, unless they were thinned. Raises `ValueError` as `lift` does.
    """
    check_view(depth, camera, color, min_depth, max_depth)
    whole = _whole(depth, camera, min_depth, max_depth)
    labels = np.zeros(depth.shape, np.uint32)
    for number, mask in enumerate(masks, start=1):
        patch = mask_patch(mask, depth, camera, min_depth, max_depth)
        if patch is None:
            continue
        keep_target(patch, mask, remove_flying_pixels=remove_flying_pixels, largest_cluster=largest_cluster)
        labels[patch.rows, patch.columns][patch.chosen] = number
        whole.depth[patch.rows, patch.columns][patch.chosen] = patch.depth[patch.chosen]
    whole.thin(voxel)
    return whole.cloud(color), labels[whole.chosen]


def background(
    masks: Sequence[np.ndarray],
    depth: np.ndarray,
    camera: Camera,
    color: np.ndarray | None = None,
    *,
    min_depth: float = 0.1,
    max_depth: float = 10.0,
    remove_flying_pixels: bool = True,
    largest_cluster: bool = True,
    margin: float = 0.03,
    voxel: float = 0.02,
) -> Cloud:
    """All that the frame shows but the target and what is within `margin` metres of it, one point per voxel.

    For a planner that must not avoid what it is to grasp. masks: bool [H,W], one per instance. margin, voxel: metres
    (voxel 0: no thinning). Everything else as `lift` takes it.

    What goes: every pixel of a mask; every point within `margin` of the target's surface in space; and around the
    target in the image, where sensors mix front and back, what lies just behind an edge. So the wall behind the target
    stays, and so does an obstacle in front of it. Of a target without depth only its place in the image is known: its
    mask grows by as many pixels as the margin has at BLIND_DEPTH.

    Returns points in the camera's optical frame, row by row. Raises `ValueError` as `lift` does.
    """
    check_view(depth, camera, color, min_depth, max_depth)
    whole = _whole(depth, camera, min_depth, max_depth)
    covered, target = np.zeros(depth.shape, bool), np.zeros(depth.shape, bool)
    surfaces = []
    focal = camera.scaled_to(depth.shape[1], depth.shape[0]).fx
    for mask in masks:
        patch = mask_patch(mask, depth, camera, min_depth, max_depth)
        if patch is None:
            continue
        here, inside = (patch.rows, patch.columns), patch.see(mask) != 0
        keep_target(
            patch, mask, remove_flying_pixels=remove_flying_pixels, largest_cluster=largest_cluster, denoise=False
        )
        covered[here] |= inside
        if patch.chosen.any():
            target[here] |= patch.chosen
            patch.thin(_SHARE * margin)
            surfaces.append(patch.cloud().points)
        else:
            blind = np.zeros(depth.shape, bool)
            blind[here] = inside
            covered |= _grown(blind, margin * focal / BLIND_DEPTH)
    if surfaces:
        covered |= _mixed(whole, target, margin * focal)
    whole.chosen &= ~covered
    whole.thin(voxel)
    cloud = whole.cloud(color)
    if surfaces and margin:
        stays = ~_within(cloud.points, np.concatenate(surfaces), margin)
        cloud = Cloud(cloud.points[stays], cloud.colors[stays])
    return cloud


def _whole(depth: np.ndarray, camera: Camera, min_depth: float, max_depth: float) -> Patch:
    everywhere = slice(0, depth.shape[0]), slice(0, depth.shape[1])
    return Patch.cut(depth, camera, everywhere, min_depth, max_depth)


def _grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    """A mask bool [h,w] grown by so many pixels, also diagonally."""
    side = 2 * int(np.ceil(pixels)) + 1
    return cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)) != 0


def _mixed(whole: Patch, target: np.ndarray, reach: float) -> np.ndarray:
    """Flying pixels around the target bool [h,w]: bool [h,w]. Around: up to reach / depth of its nearest pixel."""
    ring = _grown(target, min(reach / whole.depth[target].min(), max(target.shape)))
    left, top, width, height = cv2.boundingRect(ring.view(np.uint8))
    here = slice(top, top + height), slice(left, left + width)
    depth, valid = whole.depth[here], whole.chosen[here]
    behind = behind_step(depth, jump_tolerance(depth), valid)
    # a mask's rim and the pixels next to it: whatever is farther than the target there may be mixed
    behind |= depth > nearest_around(depth, target[here])
    ring[here] &= behind
    return ring


def _within(points: np.ndarray, surface: np.ndarray, margin: float) -> np.ndarray:
    """Which points [N,3] are within `margin` of a surface whose points [M,3] were thinned to _SHARE of it: bool [N]."""
    reach = margin * (1.0 + _SHARE * np.sqrt(3.0))  # the nearest point of the surface may have been thinned away
    low, high = surface.min(axis=0) - reach, surface.max(axis=0) + reach
    near = np.logical_and.reduce([(low[axis] < points[:, axis]) & (points[:, axis] < high[axis]) for axis in range(3)])
    tree = cKDTree(surface, balanced_tree=False, compact_nodes=False)  # built faster, asked for few points
    near[near] = tree.query(points[near], distance_upper_bound=reach)[0] < reach
    return near
