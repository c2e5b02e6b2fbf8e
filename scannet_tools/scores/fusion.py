"""Answers of many frames, fused on a scan's vertices: each frame votes on the vertices that it shows.

A vertex belongs to the fused answer when enough of the frames that show it say so. What single frames get wrong, such
as a mask that runs over an edge onto the wall behind, is outvoted by the frames that see it from elsewhere.

A vertex takes the vote of the depth pixel that shows it, not of the nearest point: a cloud has one point per depth
pixel, often fewer than the mesh has vertices there, and would leave holes.
"""

from __future__ import annotations

import numpy as np

from lisa_ros.geometry import Camera

MIN_SHARE = 0.5
"""Of the frames that show a vertex, so many must have said that it belongs to the target."""

VISIBLE_M = 0.05
"""A frame shows a vertex when the depth measured there differs from its own by at most this many metres, plus ..."""

VISIBLE_PER_M2 = 0.005
"""... this times the squared depth, as the noise of a structured-light sensor grows."""


def to_world(points: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """Points [n,3] in the camera's optical frame, float32 [n,3] in the scan's frame. camera_to_world: [4,4]."""
    pose = np.asarray(camera_to_world, np.float64)
    return (points.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)


class ShownVertices:
    """Which vertices of a scan one frame shows, and where. Made once per frame, for all questions.

    vertices: float32 [n,3] metres, in the scan's frame. camera: of the colour picture [H,W]. camera_to_world: [4,4].
    depth: float [h,w], what was measured, in metres, of the same view at any size. A vertex is shown where the depth
    agrees with it; what is hidden, has been moved since the scan, or was not measured is not shown.

    Raises:
        ValueError: the frame has no valid pose.
    """

    def __init__(self, vertices: np.ndarray, camera: Camera, camera_to_world: np.ndarray, depth: np.ndarray) -> None:
        pose = np.asarray(camera_to_world, np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError("a frame without a valid pose shows no vertex: camera_to_world must be 4x4 finite numbers")
        self._count = len(vertices)
        self._world_to_camera = np.linalg.inv(pose)
        self._color_camera = camera
        self._depth_camera = camera.scaled_to(depth.shape[1], depth.shape[0])
        numbers, rays, z = self._ahead(vertices)
        pixel, inside = _pixels(rays, self._depth_camera)
        numbers, rays, z, pixel = numbers[inside], rays[inside], z[inside], pixel[inside]
        agrees = _agree(depth.reshape(-1)[pixel], z)
        self._numbers, self._rays, self._z, self._pixel = numbers[agrees], rays[agrees], z[agrees], pixel[agrees]

    @property
    def shown(self) -> np.ndarray:
        """bool [n]."""
        return self._all(np.ones(len(self._numbers), bool))

    def in_mask(self, mask: np.ndarray) -> np.ndarray:
        """bool [n]: the vertices that a mask [H,W] of the colour picture covers."""
        pixel, inside = _pixels(self._rays, self._color_camera)
        pixel[~inside] = 0
        return self._all(inside & (mask.reshape(-1) != 0)[pixel])

    def in_cloud(self, points: np.ndarray) -> np.ndarray:
        """bool [n]: the vertices whose depth pixel has a point of this cloud, at their depth.

        points: [m,3] metres in the scan's frame, those of this frame's depth pixels that belong to the target; any
        other place than the true one makes them miss. Points that are not finite are left out.
        """
        _, rays, z = self._ahead(points)
        pixel, inside = _pixels(rays, self._depth_camera)
        nearest = np.full(self._depth_camera.width * self._depth_camera.height, np.inf, np.float32)
        np.minimum.at(nearest, pixel[inside], z[inside])
        return self._all(_agree(nearest[self._pixel], self._z))

    def _ahead(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the points in front of the camera: their numbers, x/z and y/z [k,2], and z [k]."""
        rotation, shift = self._world_to_camera[:3, :3], self._world_to_camera[:3, 3]
        seen = points @ rotation.T.astype(np.float32) + shift.astype(np.float32)
        numbers = np.flatnonzero(seen[:, 2] > 0)  # not so for NaN
        z = seen[numbers, 2]
        return numbers, seen[numbers, :2] / z[:, None], z

    def _all(self, chosen: np.ndarray) -> np.ndarray:
        """bool [n] of the scan, from bool over those that are shown."""
        vertices = np.zeros(self._count, bool)
        vertices[self._numbers[chosen]] = True
        return vertices


def _pixels(rays: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Row * width + column of the pixels that rays [k,2] (x/z, y/z) meet, int64 [k], and whether they are in view."""
    with np.errstate(over="ignore"):
        place = np.rint(rays * np.float32([camera.fx, camera.fy]) + np.float32([camera.cx, camera.cy]))
    inside = (place >= 0).all(axis=1) & (place < [camera.width, camera.height]).all(axis=1)
    column, row = np.where(inside[:, None], place, 0).astype(np.int64).T
    return row * camera.width + column, inside


def _agree(measured: np.ndarray, z: np.ndarray) -> np.ndarray:
    """bool: whether measured depths are those of vertices at depth z, in metres; 0 and NaN are not measured."""
    with np.errstate(invalid="ignore"):
        return (measured > 0) & (np.abs(measured - z) <= VISIBLE_M + VISIBLE_PER_M2 * z * z)


class VertexVotes:
    """The votes of frames about one question, on the n vertices of a scan.

    shown, hits: int32 [n], the frames that voted on each vertex, and those that said that it belongs to the target.
    """

    def __init__(self, vertex_count: int) -> None:
        self.shown = np.zeros(vertex_count, np.int32)
        self.hits = np.zeros(vertex_count, np.int32)

    def add(self, frame: ShownVertices, *, points: np.ndarray | None = None, mask: np.ndarray | None = None) -> None:
        """One frame's vote: its answer as points (see `in_cloud`), as a mask (see `in_mask`), or as both.

        Of both, the points vote for the target and the pixels outside the mask against it. A vertex in the mask whose
        points were cleaned away (at a depth edge, say) gets no vote: its depth was doubted, not what it is.

        Raises:
            ValueError: neither is given.
        """
        if points is None and mask is None:
            raise ValueError("a vote needs points or a mask; for an answer that found nothing, give an empty one")
        shown = frame.shown
        masked = None if mask is None else frame.in_mask(mask)
        hit = masked if points is None else frame.in_cloud(points)
        if masked is not None:
            shown &= hit | ~masked
        self.hits += hit
        self.shown += shown

    def vertices(self, min_share: float = MIN_SHARE) -> np.ndarray:
        """bool [n]: the fused answer, vertices that at least this share of the frames that voted on them voted for."""
        return (self.hits > 0) & (self.hits >= min_share * self.shown)
