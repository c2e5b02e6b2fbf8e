"""A box around a cloud, turned any way (no gravity, no table assumed)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

# Points the orientation is searched with, points the sides are measured with, share of the points left outside at
# either end of each side, hull faces looked at, directions in which each is looked at (even), faces measured exactly.
_SAMPLE = 1000
_EXTENT_SAMPLE = 5000
_TRIM = 0.005
_FACES = 32
_TURNS = 24
_TRIED = 4
_MARGIN = 0.001  # metres more on every side, so that flat clouds are compared by their area and not all equal zero


@dataclass
class OrientedBox:
    """A box: center [3] and size [3] in metres, rotation [3,3] whose columns are the box axes (right-handed).

    The axes are in order of size, the longest first. The first two point towards positive along their largest
    component, so equal clouds give equal boxes. Everything in the frame of the points.
    """

    center: np.ndarray
    rotation: np.ndarray
    size: np.ndarray

    def quaternion(self) -> np.ndarray:
        """The rotation as x, y, z, w with w >= 0, float64 [4]."""
        return Rotation.from_matrix(self.rotation).as_quat(canonical=True)

    def corners(self) -> np.ndarray:
        """The corners, float64 [8,3]; bit 0, 1, 2 of the row number says which end of axis 0, 1, 2."""
        ends = np.array([[(row >> axis) & 1 for axis in range(3)] for row in range(8)]) - 0.5
        return self.center + (ends * self.size) @ self.rotation.T


def oriented_box(points: np.ndarray) -> OrientedBox:
    """The box of (nearly) least volume around points [N,3], N >= 1, finite.

    Orientations tried: the principal axes and the largest faces of the convex hull, each with the least rectangle in
    the plane across; the best is then improved axis by axis. The outermost 0.5 % of the points at either end of each
    side are left outside, so single wrong points do not move the box. Same points, same box. Raises `ValueError` for no
    points.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"a box needs points [N,3] with N >= 1, got shape {list(points.shape)}")
    points = points[:: max(1, len(points) // _EXTENT_SAMPLE)].astype(np.float64)
    middle = points.mean(axis=0)
    local = points - middle
    sample = _without_outliers(local[:: max(1, len(local) // _SAMPLE)])
    rotation = _ordered(_least_volume(sample), sample)
    along = local @ rotation
    low, high = np.quantile(along, (_TRIM, 1.0 - _TRIM), axis=0)
    order = np.argsort(-(high - low), kind="stable")
    if (order != np.arange(3)).any():
        rotation = signed(rotation[:, order])
        along = local @ rotation
        low, high = np.quantile(along, (_TRIM, 1.0 - _TRIM), axis=0)
    return OrientedBox(center=middle + rotation @ ((low + high) / 2.0), rotation=rotation, size=high - low)


def _least_volume(points: np.ndarray) -> np.ndarray:
    """A rotation [3,3] whose axes give points [N,3] a box of little volume."""
    _, axes = np.linalg.eigh(np.cov(points.T) if len(points) > 1 else np.eye(3))
    candidates = axes.T
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):  # fewer than four points, or all in one plane: any of the principal axes serves
        pass
    else:
        triangles = points[hull.simplices]
        areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
        largest = np.argsort(-areas, kind="stable")[:_FACES]
        candidates = np.concatenate([candidates, hull.equations[largest, :3]])
        points = points[hull.vertices]
    volume, best = min(
        (_rectangle_across(points, axis) for axis in _most_promising(points, candidates)), key=lambda found: found[0]
    )
    for _ in range(8):
        found, rotation = min((_rectangle_across(points, axis) for axis in best.T), key=lambda found: found[0])
        if found > 0.9999 * volume:
            break
        volume, best = found, rotation
    return best


def _most_promising(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The _TRIED of normals [K,3] whose boxes are smallest when turned in _TURNS steps only: all of them at once, which
    takes less time than a handful of exact rectangles."""
    helper = np.eye(3)[np.argmin(np.abs(normals), axis=1)]
    first = np.cross(normals, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(normals, first)
    angles = np.arange(_TURNS) * (np.pi / _TURNS)  # half a turn: the second half of the directions lies across the first
    across = np.cos(angles)[:, None, None] * first + np.sin(angles)[:, None, None] * second
    along = np.concatenate([normals[None], across]) @ points.T  # [1 + turns, K, N]
    spans = along.max(axis=2) - along.min(axis=2) + _MARGIN
    half = _TURNS // 2
    volumes = spans[0] * (spans[1 : 1 + half] * spans[1 + half :]).min(axis=0)
    return normals[np.argsort(volumes, kind="stable")[:_TRIED]]


def _rectangle_across(points: np.ndarray, normal: np.ndarray) -> tuple[float, np.ndarray]:
    """(volume, rotation) of the least box that has `normal` as an axis."""
    first = _cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    first /= np.linalg.norm(first)
    second = _cross(normal, first)
    flat = np.stack([points @ first, points @ second], axis=1).astype(np.float32)
    _, size, degrees = cv2.minAreaRect(flat)
    angle = np.deg2rad(degrees)
    turned = np.cos(angle) * first + np.sin(angle) * second
    rotation = np.stack([turned, _cross(normal, turned), normal], axis=1)
    along = points @ normal
    return float((size[0] + _MARGIN) * (size[1] + _MARGIN) * (np.ptp(along) + _MARGIN)), rotation


def _without_outliers(points: np.ndarray) -> np.ndarray:
    """The points inside all quantiles that `_TRIM` cuts off along the principal axes."""
    if len(points) < 1.0 / _TRIM:
        return points
    _, axes = np.linalg.eigh(np.cov(points.T))
    along = points @ axes
    low, high = np.quantile(along, (_TRIM, 1.0 - _TRIM), axis=0)
    return points[((along >= low) & (along <= high)).all(axis=1)]


def _ordered(rotation: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The same axes, longest side first, signs fixed, right-handed."""
    return signed(rotation[:, np.argsort(-np.ptp(points @ rotation, axis=0), kind="stable")])


def signed(rotation: np.ndarray) -> np.ndarray:
    """Axes 0 and 1 positive along their largest component, axis 2 completing a right-handed frame."""
    first, second = (axis * (np.sign(axis[np.argmax(np.abs(axis))]) or 1.0) for axis in rotation.T[:2])
    return np.stack([first, second, _cross(first, second)], axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cross product of two vectors [3] (np.cross takes ten times as long on single vectors)."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
