"""Answers of many frames, fused on a scan's vertices: each frame votes on the vertices that it shows.

A vertex belongs to the fused answer when enough of the frames that show it say so. What single frames get wrong, such
as a mask that runs over an edge onto the wall behind, is outvoted by the frames that see it from elsewhere.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from lisa_ros.geometry import Camera

RADIUS_M = 0.05
"""A point votes for the nearest vertex, if that is not farther than this: more than the distance between neighbouring
vertices (2 cm in ScanNet) and the drift of the poses; less than what lies between things."""

MIN_SHARE = 0.5
"""Of the frames that show a vertex, so many must have said that it belongs to the target."""

VISIBLE_M = 0.05
"""A frame shows a vertex when the depth measured there differs from its own by at most this many metres, plus ..."""

VISIBLE_PER_M2 = 0.005
"""... this times the squared depth, as the noise of a structured-light sensor grows."""

_GRID_M = 0.01
"""Points in the same cube of this size vote once: they have the same nearest vertex, nearly always."""


def to_world(points: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """Points [n,3] in the camera's optical frame, float32 [n,3] in the scan's frame. camera_to_world: [4,4]."""
    pose = np.asarray(camera_to_world, np.float64)
    return (points.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)


def vertex_pixels(vertices: np.ndarray, camera: Camera, camera_to_world: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Where a frame shows each vertex: int64 [n], row * width + column in the colour picture, -1 = not seen.

    vertices: [n,3] in the scan's frame. camera: of the colour picture. camera_to_world: [4,4]. depth: float [h,w],
    what was measured, in metres, of the same view at any size. A vertex is seen where the depth agrees with it; what is
    hidden, has been moved since, or was not measured is not seen.

    Raises:
        ValueError: the frame has no valid pose.
    """
    pose = np.asarray(camera_to_world, np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError("a frame without a valid pose shows no vertex: camera_to_world must be 4x4 finite numbers")
    world_to_camera = np.linalg.inv(pose)
    seen = (vertices @ world_to_camera[:3, :3].T.astype(np.float32)) + world_to_camera[:3, 3].astype(np.float32)
    x, y, z = seen.T
    ahead = np.flatnonzero(z > 0)
    x, y, z = x[ahead] / z[ahead], y[ahead] / z[ahead], z[ahead]
    column, row = np.rint(x * camera.fx + camera.cx), np.rint(y * camera.fy + camera.cy)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    ahead, x, y, z = ahead[inside], x[inside], y[inside], z[inside]
    column, row = column[inside].astype(np.int64), row[inside].astype(np.int64)
    height, width = depth.shape
    measuring = camera.scaled_to(width, height)
    u = np.clip(np.rint(x * measuring.fx + measuring.cx), 0, width - 1).astype(np.int64)
    v = np.clip(np.rint(y * measuring.fy + measuring.cy), 0, height - 1).astype(np.int64)
    measured = depth[v, u]
    with np.errstate(invalid="ignore"):  # NaN: not measured
        agrees = (measured > 0) & (np.abs(measured - z) <= VISIBLE_M + VISIBLE_PER_M2 * z * z)
    pixels = np.full(len(vertices), -1, np.int64)
    pixels[ahead[agrees]] = row[agrees] * camera.width + column[agrees]
    return pixels


class VertexVotes:
    """The votes of frames about one question. vertices: float32 [n,3] of the mesh, metres, in the scan's frame.

    seen, hits: int32 [n], the frames that showed each vertex, and those that said that it belongs to the target.
    """

    def __init__(self, vertices: np.ndarray) -> None:
        self._vertices = vertices
        self.seen = np.zeros(len(vertices), np.int32)
        self.hits = np.zeros(len(vertices), np.int32)

    def add_points(self, points: np.ndarray, seen: np.ndarray) -> None:
        """One frame's answer as points: [n,3] metres in the scan's frame, none for an empty answer.

        seen: bool per vertex, whether the frame shows it: `vertex_pixels(...) >= 0`, once for all questions.
        """
        hit = np.zeros(len(self._vertices), bool)
        hit[self._nearest(points)] = True
        self._add(hit, seen | hit)

    def add_mask(self, mask: np.ndarray, pixels: np.ndarray) -> None:
        """One frame's answer as a mask: bool [H,W] of the colour picture. pixels: of `vertex_pixels`."""
        seen = pixels >= 0
        self._add(seen & (mask.reshape(-1) != 0)[pixels], seen)

    def vertices(self, min_share: float = MIN_SHARE) -> np.ndarray:
        """bool [n]: the fused answer, the vertices that at least this share of the frames that show them voted for."""
        return (self.hits > 0) & (self.hits >= min_share * self.seen)

    def _add(self, hit: np.ndarray, seen: np.ndarray) -> None:
        self.hits += hit
        self.seen += seen

    def _nearest(self, points: np.ndarray) -> np.ndarray:
        """The vertices that are the nearest of a point within the radius, some more than once."""
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) == 0 or len(self._vertices) == 0:
            return np.zeros(0, np.int64)
        cubes = np.floor(points / _GRID_M).astype(np.int64)
        cubes -= cubes.min(axis=0)
        sides = cubes.max(axis=0) + 1
        once = np.unique((cubes[:, 0] * sides[1] + cubes[:, 1]) * sides[2] + cubes[:, 2], return_index=True)[1]
        number = self._tree.query(points[once], distance_upper_bound=RADIUS_M)[1]
        return number[number < len(self._vertices)]

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._vertices, balanced_tree=False)
