"""One mask, several objects: which of its pixels belong together in space."""

from __future__ import annotations

import cv2
import numpy as np

from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.depth import resample
from lisa_ros.geometry.lift import mask_patch
from lisa_ros.geometry.patch import check_view
from lisa_ros.geometry.surface import MAX_PARTS, behind_edge, consistent_parts, inner, jump_tolerance

# What is smaller is a crumb: depth pixels; share of the largest cluster.
MIN_PIXELS = 50
MIN_SHARE = 0.02


def clusters(
    mask: np.ndarray, depth: np.ndarray, camera: Camera, *, min_depth: float = 0.1, max_depth: float = 10.0
) -> list[np.ndarray]:
    """The masks of a mask's objects, bool [H,W] each, the one with most depth first.

    mask, depth, camera, min_depth, max_depth: as `lift` takes them.

    A cluster is what `lift` would take for the target of what is left of the mask: the largest connected part of the
    surface and the parts near it, unless one sees past both through the gap between them (`consistent_parts`). So an
    object that an occluder divides stays one, and things side by side come apart.

    Crumbs belong to nothing: less than MIN_PIXELS or MIN_SHARE of the largest, not counting the outermost BLEED pixels
    of the mask, where a mask that is a little too large covers a strip of background. (They count in a mask so thin
    that there is little else.) Pixels without a depth to trust belong to the nearest cluster in the image. So the clusters
    together are the mask without crumbs, and no two overlap. A mask with too little depth for any cluster comes back
    whole. Raises `ValueError` as `lift` does.
    """
    check_view(depth, camera, None, min_depth, max_depth)
    mask = mask != 0
    patch = mask_patch(mask, depth, camera, min_depth, max_depth)
    if patch is None:
        return [mask]
    covered = patch.see(mask)
    rest = patch.chosen & covered
    rest &= ~behind_edge(patch.depth, jump_tolerance(patch.depth), patch.chosen, rest)
    counted = inner(covered)
    if np.count_nonzero(rest & counted) < MIN_PIXELS:
        counted = covered
    surface, groups = rest.copy(), []
    while len(groups) < MAX_PARTS:
        group = consistent_parts(patch.depth, rest, patch.directions, across_gaps=False)
        if np.count_nonzero(group) < MIN_PIXELS:
            break
        groups.append(group)
        rest &= ~group
    sizes = np.array([np.count_nonzero(group & counted) for group in groups])
    enough = max(MIN_PIXELS, MIN_SHARE * sizes.max(initial=0))
    order = [number for number in np.argsort(-sizes, kind="stable") if sizes[number] >= enough]
    if not order:
        return [mask]
    owner = np.zeros(covered.shape, np.uint8)  # whose each pixel is: 1, 2, ...
    for number, group in enumerate(order, start=1):
        owner[groups[group]] = number
    crumbs = surface & (owner == 0)
    everywhere = np.zeros(depth.shape, np.uint8)
    everywhere[patch.rows, patch.columns] = np.where(crumbs, 0, _nearest(owner))
    owner = resample(everywhere, *mask.shape)
    parts = (mask & (owner == number) for number in range(1, len(order) + 1))
    return [part for part in parts if part.any()]


def _nearest(numbers: np.ndarray) -> np.ndarray:
    """An image of numbers uint8 [h,w], not all 0, with the nearest number in place of every 0."""
    _, places = cv2.distanceTransformWithLabels(
        (numbers == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_at = np.zeros(places.max() + 1, np.uint8)
    number_at[places[numbers != 0]] = numbers[numbers != 0]
    return number_at[places]
