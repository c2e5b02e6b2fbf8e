"""Where the annotated objects of a scan are, and how large: what can be said from no particular point of view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scannet_tools.annotation import Annotation

_STRAY_PERCENT = 1.0
"""So much of an object at each end does not count in its extent: segments reach over onto what is beside it."""

_MANY = 2000
"""Distances between objects are measured from at most so many of one's vertices."""

_FOOTPRINT_MARGIN_M = 0.08  # a surface is not scanned where something stands on it, only around
_TOUCHES_M = 0.06
_CLEAR_OF_M = 0.3


@dataclass(frozen=True, eq=False)
class ObjectShape:
    """points: float32 [n,3], the object's vertices, metres, z up."""

    points: np.ndarray

    @cached_property
    def low(self) -> np.ndarray:
        """float64 [3], the least x, y and z without strays."""
        return np.percentile(self.points, _STRAY_PERCENT, axis=0)

    @cached_property
    def high(self) -> np.ndarray:
        """float64 [3], the greatest x, y and z without strays."""
        return np.percentile(self.points, 100 - _STRAY_PERCENT, axis=0)

    @property
    def height(self) -> float:
        """From its lowest to its highest point, metres."""
        return float(self.high[2] - self.low[2])

    @property
    def longest_side(self) -> float:
        """Of its box along the axes, metres."""
        return float((self.high - self.low).max())

    @cached_property
    def volume(self) -> float:
        """Of the smallest upright box around it, turned any way about z, in cubic metres."""
        inside = ((self.points >= self.low) & (self.points <= self.high)).all(axis=1)
        width, depth = cv2.minAreaRect(np.ascontiguousarray(self.points[inside, :2], np.float32))[1]
        return float(width * depth * self.height)

    @cached_property
    def center(self) -> np.ndarray:
        """float64 [3], the mean of its vertices."""
        return self.points.mean(axis=0, dtype=np.float64)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points)

    def gap(self, other: ObjectShape) -> float:
        """Metres between their nearest vertices."""
        few, many = sorted((self, other), key=lambda shape: len(shape.points))
        return float(many._tree.query(few.points[:: -(-len(few.points) // _MANY)])[0].min())

    def stands_on(self, support: ObjectShape) -> bool | None:
        """Whether it rests on the other one's surface; None where that cannot be told."""
        low, high = self.low[:2] - _FOOTPRINT_MARGIN_M, self.high[:2] + _FOOTPRINT_MARGIN_M
        if (low > support.high[:2]).any() or (high < support.low[:2]).any():
            return False
        if support.height > _CLEAR_OF_M and self.low[2] < support.low[2] + _TOUCHES_M:
            return False  # both stand on the floor
        above = support.points[support.points[:, 2] > self.high[2], :2]
        if ((above >= self.low[:2]) & (above <= self.high[:2])).all(axis=1).any():
            return None  # in a shelf, or under a table top
        around = ((support.points[:, :2] >= low) & (support.points[:, :2] <= high)).all(axis=1)
        below = support.points[around & (support.points[:, 2] <= self.center[2]), 2]
        if len(below) == 0:
            return None
        gap = self.low[2] - np.percentile(below, 95)
        if abs(gap) > _CLEAR_OF_M:
            return False  # on the floor beside it, or hanging above
        over = ((self.center[:2] >= support.low[:2]) & (self.center[:2] <= support.high[:2])).all()
        return True if over and abs(gap) <= _TOUCHES_M else None


def object_shapes(vertices: np.ndarray, annotation: Annotation) -> dict[int, ObjectShape]:
    """Object id -> its shape, of all objects of the annotation. vertices: float32 [n,3] of its mesh.

    Raises:
        ValueError: the annotation is of another mesh.
    """
    owners = annotation.vertex_objects
    if len(owners) != len(vertices):
        raise ValueError(
            f"the annotation is of {len(owners)} vertices, the mesh has {len(vertices)}: not the same mesh"
        )
    order = np.argsort(owners, kind="stable")
    ids, first = np.unique(owners[order], return_index=True)
    pieces = dict(zip(ids.tolist(), np.split(order, first[1:])))
    return {item.id: ObjectShape(vertices[pieces[item.id]]) for item in annotation.objects if item.id in pieces}
