"""Depth in the view of colour, for devices whose two cameras stand apart; released ScanNet scans need none of it."""

from __future__ import annotations

import numpy as np

from lisa_ros.geometry import Camera

NEAREST, FARTHEST = 0.1, 10.0
"""Metres; what ScanNet's own aligner keeps."""


def same_view(depth_to_color: np.ndarray, depth_camera: Camera, color_camera: Camera) -> bool:
    """Whether each depth pixel shows what colour shows at the same part of the picture, to a pixel of depth.

    ScanNet registers depth so that first pixel meets first and last meets last: up to half a colour pixel away from
    `Camera.scaled_to`, which is taken for the same view, too.
    """
    if not np.allclose(depth_to_color, np.eye(4), atol=1e-4):
        return False
    expected = color_camera.scaled_to(depth_camera.width, depth_camera.height)
    corners = np.array([[0, 0], [depth_camera.width - 1, depth_camera.height - 1]], float)
    seen = [((corners - (c.cx, c.cy)) / (c.fx, c.fy)) for c in (expected, depth_camera)]
    return bool(np.abs((seen[0] - seen[1]) * (expected.fx, expected.fy)).max() <= 1.0)


def registered(
    depth: np.ndarray, depth_camera: Camera, depth_to_color: np.ndarray, color_camera: Camera
) -> np.ndarray:
    """float32 [h,w] metres: depth [h,w] moved into colour's view at its own resolution; where two meet the nearer
    stays, 0 where nothing falls.
    """
    camera = color_camera.scaled_to(depth_camera.width, depth_camera.height)
    points = depth_camera.back_project(depth)[depth > 0].astype(np.float64)
    points = points @ depth_to_color[:3, :3].T.astype(np.float64) + depth_to_color[:3, 3]
    z = points[:, 2]
    points = points[(z >= NEAREST) & (z <= FARTHEST)]
    at = np.round(camera.project(points)).astype(np.int64)
    inside = ((at >= 0) & (at < (camera.width, camera.height))).all(axis=1)
    at, z = at[inside], points[inside, 2]
    buffer = np.full(camera.height * camera.width, np.inf)
    np.minimum.at(buffer, at[:, 1] * camera.width + at[:, 0], z)
    return np.where(np.isfinite(buffer), buffer, 0).astype(np.float32).reshape(camera.height, camera.width)
