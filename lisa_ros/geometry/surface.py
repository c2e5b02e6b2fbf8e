"""Which pixels of a depth image are the target's surface: depth edges, flying pixels, and connected parts.

Everything happens in the depth image, where neighbours are known, so no search in 3D is needed: a few passes over the
mask's bounding box. Tolerances grow with the square of the depth, as the noise of triangulating depth cameras and the
step between two pixels of a slanted surface do.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

# Two neighbouring pixels are on one surface when their depths differ by less than this (d in metres):
# JUMP_BASE + JUMP_SLOPE * d^2, i.e. 1.7 cm at 1 m, 5.7 cm at 3 m. Nguyen's noise model of a Kinect has a standard
# deviation of 1.4 cm at 3 m, so a step of pure noise rarely exceeds it.
JUMP_BASE = 0.012
JUMP_SLOPE = 0.005
# A mask may bleed this many depth pixels over the target's outline.
BLEED = 3
_AROUND = np.ones((2 * BLEED + 1, 2 * BLEED + 1), np.uint8)
# Parts beside the largest one: smallest size (pixels; share of the largest), how far a part of at least FULL_SHARE may
# be (share of the largest part's extent; smaller parts proportionally less), most parts looked at.
MIN_PART_PIXELS = 8
PART_SHARE = 0.005
FULL_SHARE = 0.1
PART_GAP = 0.3
MAX_PARTS = 24
# Stands for "no depth" where the nearest neighbour is looked for: farther than anything.
_FAR = np.float32(1e6)


def jump_tolerance(depth: np.ndarray) -> np.ndarray:
    """The largest step in depth, metres, between neighbours on one surface, for depths in metres."""
    tolerance = depth * depth
    tolerance *= JUMP_SLOPE
    tolerance += JUMP_BASE
    return tolerance


def behind_edge(depth: np.ndarray, tolerance: np.ndarray, valid: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Pixels just behind a depth edge: bool [h,w].

    depth: float32 [h,w]; tolerance: its `jump_tolerance`; valid: bool [h,w], where there is depth; surface: bool
    [h,w], where it is inside the mask.
    A pixel is marked when something much nearer is its direct neighbour: there a sensor mixes front and back into
    flying pixels. In the outermost BLEED pixels of the mask the neighbourhood is BLEED pixels wide: a mask that is a
    little too large covers a rim of background there, which would otherwise stay connected to the target where both
    touch. The nearer side of an edge is never marked, so thin things in front stay whole.
    """
    marked = behind_step(depth, tolerance, valid)
    rim = surface & ~inner(surface)
    # only what the mask itself covers counts here: what is in front outside it is an occluder, not the target
    step = depth - nearest_around(depth, surface)
    marked |= rim & (step > 2.0 * tolerance)
    return marked


def behind_step(depth: np.ndarray, tolerance: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Pixels that have something much nearer as a direct neighbour: bool [h,w]; arguments as those of `behind_edge`."""
    # borders: erode treats what is outside the image as infinitely far, so it marks nothing there
    return depth - cv2.erode(_or_far(depth, valid), np.ones((3, 3), np.uint8)) > tolerance


def inner(mask: np.ndarray) -> np.ndarray:
    """The pixels more than BLEED pixels inside a mask's outline; the image's border is none: bool [h,w] both."""
    return cv2.erode(mask.view(np.uint8), _AROUND, borderType=cv2.BORDER_REPLICATE) != 0


def nearest_around(depth: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """The least depth of the surface within BLEED pixels of each pixel, very far where there is none: float32 [h,w].

    depth: float32 [h,w] metres; surface: bool [h,w].
    """
    return cv2.erode(_or_far(depth, surface), _AROUND)


def consistent_parts(
    depth: np.ndarray, surface: np.ndarray, directions: tuple[np.ndarray, np.ndarray], *, across_gaps: bool = True
) -> np.ndarray:
    """The largest connected part of a surface and the parts that belong to it: bool [h,w].

    depth: float32 [h,w]; surface: bool [h,w], pixels with a trustworthy depth, cut at depth edges (`behind_edge`);
    directions: x/z of every column [w] and y/z of every row [h]. across_gaps: whether parts belong together through
    which one sees what is behind both (the legs of a chair do, two mugs do not).

    The rule: the part with most pixels is the target. Another part stays when the free space between it and what is
    kept already is at most PART_GAP times the extent of the largest part: an occluder in front splits an object, and
    its own front hides the way to its back (the rear legs of a chair). What is farther away is background, or another
    object that the mask caught. A part smaller than FULL_SHARE of the largest must be proportionally nearer: crumbs
    off the surface are more often a mask's rim or wrong depth than a piece of the target. Crumbs under PART_SHARE
    never stay.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(surface.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    if count <= 1:
        return np.zeros(surface.shape, bool)
    order = np.argsort(-areas, kind="stable")[: MAX_PARTS + 1]
    order = order[areas[order] >= max(MIN_PART_PIXELS, PART_SHARE * areas[order[0]], 1)]
    if len(order) == 0:
        return np.zeros(surface.shape, bool)
    kept = _sample(labels, stats, order[0])
    points = _points(depth, kept, directions)
    low, high = np.percentile(points, (2, 98), axis=0)
    extent = float(np.linalg.norm(high - low))
    chosen = [order[0]]
    for label in order[1:]:
        pixels = _sample(labels, stats, label)
        own = _points(depth, pixels, directions)
        step = max(1, len(own) // 200)
        gaps, nearest = cKDTree(points).query(own[::step], k=1)
        closest = int(gaps.argmin())
        reach = PART_GAP * extent * min(1.0, areas[label] / (FULL_SHARE * areas[order[0]]))
        if gaps[closest] > max(reach, jump_tolerance(float(np.median(own[:, 2])))):
            continue
        if across_gaps or not _gap_is_open(depth, surface, kept[nearest[closest]], pixels[closest * step]):
            chosen.append(label)
            kept, points = np.concatenate([kept, pixels]), np.concatenate([points, own])
    found = np.zeros(surface.shape, bool)
    for label in chosen:
        left, top, width, height, _ = stats[label]
        window = np.s_[top : top + height, left : left + width]
        found[window] |= labels[window] == label
    return found


def _sample(labels: np.ndarray, stats: np.ndarray, label: int, size: int = 1000) -> np.ndarray:
    """About `size` pixels (row, column) [n,2] of one connected part, from an even grid over it."""
    left, top, width, height, area = stats[label]
    step = max(1, int(np.sqrt(area / size)))
    pixels = np.argwhere(labels[top : top + height : step, left : left + width : step] == label)
    if len(pixels) == 0:  # a part thinner than the grid
        pixels = np.argwhere(labels[top : top + height, left : left + width] == label)
        step = 1
    return pixels * step + (top, left)


def _points(depth: np.ndarray, pixels: np.ndarray, directions: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The points [n,3] at pixels (row, column) [n,2]."""
    rows, columns = pixels.T
    z = depth[rows, columns]
    return np.stack([directions[0][columns] * z, directions[1][rows] * z, z], axis=1)


def _gap_is_open(depth: np.ndarray, surface: np.ndarray, here: np.ndarray, there: np.ndarray) -> bool:
    """Whether between two pixels (row, column) of a surface one mostly sees farther than either: past both, not an
    occluder in front. Along the straight line, off the surface.
    """
    count = int(np.abs(there - here).max()) + 1
    rows, columns = np.rint(np.linspace(here, there, count)).astype(int).T
    between = ~surface[rows, columns] & (depth[rows, columns] > 0)
    farther = max(depth[tuple(here)], depth[tuple(there)])
    seen = depth[rows, columns][between]
    return bool(np.count_nonzero(seen > farther + jump_tolerance(farther)) * 2 > len(seen))


def mean_around(depth: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(how many of the 3x3 pixels around each pixel are on the surface, their mean depth): float32 [h,w] each."""
    weight = surface.astype(np.float32)
    near = cv2.boxFilter(weight, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    weight *= depth
    total = cv2.boxFilter(weight, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return near, np.divide(total, np.maximum(near, np.float32(1.0)), out=total)


def grow_back(depth: np.ndarray, tolerance: np.ndarray, kept: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Those candidates that lie on the kept surface around them; all bool [h,w].

    A candidate returns when at least three of its eight neighbours are kept and it is no farther from their mean depth
    than a step on one surface. That gives a surface behind an edge its border back, not the flying pixels between.
    """
    near, mean = mean_around(depth, kept)
    return candidates & (near >= 3.0) & (cv2.absdiff(depth, mean) < tolerance)


def smooth(depth: np.ndarray, tolerance: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Depth float32 [h,w] with the surface's pixels (bool [h,w]) replaced by the mean of the 3x3 around them.

    The mean counts every pixel of the surface, also those that grew back: without them the border's means lean inwards.
    A pixel keeps its own depth where the surface around it has a step, so edges stay sharp.
    """
    _, mean = mean_around(depth, surface)
    cell = np.ones((3, 3), np.uint8)
    span = cv2.dilate(cv2.copyTo(depth, surface.view(np.uint8), np.zeros_like(depth)), cell)
    span -= cv2.erode(_or_far(depth, surface), cell)
    span *= 0.5
    return cv2.copyTo(mean, ((span < tolerance) & surface).view(np.uint8), depth.copy())


def _or_far(depth: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The depth where `where` (bool) holds, otherwise _FAR: float32 [h,w]. (np.where takes three times as long.)"""
    return cv2.copyTo(depth, where.view(np.uint8), np.full(depth.shape, _FAR))
