"""Depth in the view of colour, at depth's own resolution, by the cameras that the file gives.

Released scans were registered by ScanNet itself, so both cameras look from one place. Their intrinsics still differ by
up to a pixel of depth: most scans have 577.87 in both directions for depth and 1170.19 for colour, whose 968 rows make
480 only at 580.26. For those each pixel of colour's view takes the depth pixel in its direction. Only for devices whose
cameras stand apart are points moved.
"""

from __future__ import annotations

import numpy as np

from lisa_ros.geometry import Camera

NEAREST, FARTHEST = 0.1, 10.0
"""Metres; what ScanNet's own aligner keeps when it moves points."""


class Registration:
    """Call it with depth, float32 [h,w] metres of depth_camera (0 = none): it returns that in colour's view, same size.

    depth_to_color: [4,4]. as_stored: depth comes back as it is, every pixel shows what colour's view shows there.
    """

    def __init__(self, depth_camera: Camera, color_camera: Camera, depth_to_color: np.ndarray) -> None:
        self._from, self._to = depth_camera, color_camera.scaled_to(depth_camera.width, depth_camera.height)
        self._motion = None if np.allclose(depth_to_color, np.eye(4), atol=1e-4) else np.asarray(depth_to_color, float)
        a, b = self._from, self._to
        self._columns = _nearest((np.arange(b.width) - b.cx) / b.fx * a.fx + a.cx, a.width)
        self._rows = _nearest((np.arange(b.height) - b.cy) / b.fy * a.fy + a.cy, a.height)
        self.as_stored = (
            self._motion is None
            and np.array_equal(self._columns, np.arange(b.width))
            and np.array_equal(self._rows, np.arange(b.height))
        )

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        if self.as_stored:
            return depth
        return self._taken(depth) if self._motion is None else self._moved(depth)

    def _taken(self, depth: np.ndarray) -> np.ndarray:
        """Cameras in one place: the depth pixel in the direction of each pixel, 0 where there is none."""
        rows, columns = self._rows, self._columns
        taken = depth.take(rows, axis=0, mode="clip").take(columns, axis=1, mode="clip")
        taken[(rows < 0) | (rows >= depth.shape[0])] = 0
        taken[:, (columns < 0) | (columns >= depth.shape[1])] = 0
        return taken

    def _moved(self, depth: np.ndarray) -> np.ndarray:
        """Cameras apart: each point where colour sees it, the nearest where several meet, 0 where none falls."""
        points = self._from.back_project(depth)[depth > 0].astype(np.float64)
        points = points @ self._motion[:3, :3].T + self._motion[:3, 3]
        points = points[(points[:, 2] >= NEAREST) & (points[:, 2] <= FARTHEST)]
        points = points[np.argsort(-points[:, 2], kind="stable")]  # of equal indices below the last one, the nearest, stays
        u, v = np.rint(self._to.project(points)).T
        inside = (u >= 0) & (u < self._to.width) & (v >= 0) & (v < self._to.height)
        moved = np.zeros_like(depth)
        moved[v[inside].astype(np.int64), u[inside].astype(np.int64)] = points[inside, 2]
        return moved


def _nearest(at: np.ndarray, size: int) -> np.ndarray:
    """int64: the pixel at each place, -1 or `size` for those outside."""
    return np.clip(np.rint(at), -1, size).astype(np.int64)
