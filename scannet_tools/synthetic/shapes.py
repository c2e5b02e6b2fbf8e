"""Mesh primitives as triangle soups with smooth corner normals, and the parts objects are composed of.

Object frame: metres, z up, origin on the ground under the object, front towards -y.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from .materials import Material


@dataclass
class Soup:
    """Triangles: corner points and corner normals, both float32 [T,3,3] (triangle, corner, xyz)."""

    points: np.ndarray
    normals: np.ndarray

    def moved(self, offset) -> Soup:
        return Soup(self.points + np.asarray(offset, np.float32), self.normals)

    def turned(self, rotation: np.ndarray) -> Soup:
        r = np.asarray(rotation, np.float32).T
        return Soup(self.points @ r, self.normals @ r)

    def stretched(self, factors) -> Soup:
        """Scaled per axis; normals follow the inverse scale and keep unit length."""
        factors = np.asarray(factors, np.float32)
        normals = self.normals / factors
        return Soup(self.points * factors, normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9))


def join(soups: Sequence[Soup]) -> Soup:
    return Soup(np.concatenate([s.points for s in soups]), np.concatenate([s.normals for s in soups]))


@dataclass
class Part:
    soup: Soup
    material: Material


@dataclass(frozen=True)
class Surface:
    """A level rectangle of an object on which others may stand, in its frame."""

    z: float
    x: tuple[float, float]
    y: tuple[float, float]
    name: str = "top"


@dataclass
class Shape:
    parts: list[Part] = field(default_factory=list)
    surfaces: list[Surface] = field(default_factory=list)
    label: str = ""  # what a piece of the room is called ("wall"); placed objects go by their kind

    def add(self, soup: Soup, material: Material) -> None:
        self.parts.append(Part(soup, material))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low = np.min([p.soup.points.min((0, 1)) for p in self.parts], 0)
        high = np.max([p.soup.points.max((0, 1)) for p in self.parts], 0)
        return low, high


def rotation_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)


def rotation_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def rotation_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)


@lru_cache(maxsize=1)
def _unit_box() -> tuple[np.ndarray, np.ndarray]:
    triangles, normals = [], []
    for axis in range(3):
        for side in (-0.5, 0.5):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            corners = np.zeros((4, 3), np.float32)
            corners[:, axis] = side
            corners[:, u] = (-0.5, 0.5, 0.5, -0.5)
            corners[:, v] = (-0.5, -0.5, 0.5, 0.5)
            normal = np.zeros(3, np.float32)
            normal[axis] = 2 * side
            triangles += [corners[[0, 1, 2]], corners[[0, 2, 3]]]
            normals += [np.tile(normal, (3, 1))] * 2
    return np.array(triangles, np.float32), np.array(normals, np.float32)


def box(size, center=(0, 0, 0)) -> Soup:
    """A cuboid, 12 triangles."""
    points, normals = _unit_box()
    return Soup(points * np.asarray(size, np.float32) + np.asarray(center, np.float32), normals)


def slab(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Soup:
    """A cuboid from its intervals."""
    low, high = np.array([x[0], y[0], z[0]]), np.array([x[1], y[1], z[1]])
    return box(high - low, (low + high) / 2)


def _quads(a, b, c, d, na, nb, nc, nd) -> Soup:
    """Quads [Q,3] per corner, split in two triangles each."""
    points = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    normals = np.concatenate([np.stack([na, nb, nc], 1), np.stack([na, nc, nd], 1)])
    return Soup(points.astype(np.float32), normals.astype(np.float32))


def lathe(profile, segments: int = 20, crease: float = 40.0) -> Soup:
    """Turn a profile of (radius, z) points around z. Going up along the profile faces outwards."""
    profile = np.asarray(profile, np.float32)
    step = np.diff(profile, axis=0)
    normal = np.stack([step[:, 1], -step[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    start, end = normal.copy(), normal.copy()
    smooth = (normal[:-1] * normal[1:]).sum(1) > np.cos(np.radians(crease))
    mean = normal[:-1] + normal[1:]
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
    end[:-1][smooth] = mean[smooth]
    start[1:][smooth] = mean[smooth]
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    c, s = np.cos(angle), np.sin(angle)

    def ring(values, side):  # [K,2] -> [K*segments,3]
        cc, ss = (c[:-1], s[:-1]) if side == 0 else (c[1:], s[1:])
        out = np.stack(
            [values[:, :1] * cc, values[:, :1] * ss, np.broadcast_to(values[:, 1:], (len(values), segments))], -1
        )
        return out.reshape(-1, 3)

    low, high = profile[:-1], profile[1:]
    return _quads(
        ring(low, 0), ring(low, 1), ring(high, 1), ring(high, 0), ring(start, 0), ring(start, 1), ring(end, 1), ring(end, 0)
    )


def cylinder(radius: float, z0: float, z1: float, segments: int = 16) -> Soup:
    return lathe([(0, z0), (radius, z0), (radius, z1), (0, z1)], segments)


def cone(radius0: float, radius1: float, z0: float, z1: float, segments: int = 16) -> Soup:
    return lathe([(0, z0), (radius0, z0), (radius1, z1), (0, z1)], segments)


def sphere(radius: float, center=(0, 0, 0), rings: int = 10, segments: int = 16) -> Soup:
    angle = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    return lathe(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), segments, 60).moved(center)


def tube(path, radius, segments: int = 8, closed: bool = False) -> Soup:
    """A round tube along path [K,3]; radius is one number or one per point. Open ends are capped."""
    path = np.asarray(path, np.float64)
    radius = np.broadcast_to(np.asarray(radius, np.float64), (len(path),)).copy()
    if not closed:  # cap both ends with a ring of radius 0
        path = np.concatenate([path[:1], path, path[-1:]])
        radius = np.concatenate([[0.0], radius, [0.0]])
    if closed:
        tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    mean = np.abs(tangent).mean(0)
    up = np.eye(3)[int(np.argmin(mean))]
    side = np.cross(tangent, up)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    other = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    direction = side[:, None] * np.cos(angle)[:, None] + other[:, None] * np.sin(angle)[:, None]  # [K,S+1,3]
    points = path[:, None] + direction * radius[:, None, None]
    if closed:
        points, direction = np.concatenate([points, points[:1]]), np.concatenate([direction, direction[:1]])
    corner = [(slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None)),
              (slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1))]
    return _quads(*[points[i].reshape(-1, 3) for i in corner], *[direction[i].reshape(-1, 3) for i in corner])


def arc(radius: float, start: float, end: float, count: int = 9, plane: str = "xz", center=(0, 0, 0)) -> np.ndarray:
    """Points on a circle arc in a coordinate plane, angles in degrees."""
    angle = np.radians(np.linspace(start, end, count))
    path = np.zeros((count, 3))
    path[:, "xyz".index(plane[0])] = radius * np.cos(angle)
    path[:, "xyz".index(plane[1])] = radius * np.sin(angle)
    return path + np.asarray(center)


def cushion(size, center=(0, 0, 0), roundness: float = 0.45, segments: int = 20, rings: int = 10) -> Soup:
    """A superellipsoid: a box with soft edges (small roundness) up to an ellipsoid (1)."""
    power = lambda x, e: np.sign(x) * np.abs(x) ** e  # noqa: E731
    e = roundness
    theta, phi = np.linspace(-np.pi, np.pi, segments + 1), np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    # Equal angles crowd the corners of a boxy superellipsoid; spread them out.
    theta = np.arctan2(power(np.sin(theta), 1 / max(e, 0.3) ** 0.5), power(np.cos(theta), 1 / max(e, 0.3) ** 0.5))
    theta[0], theta[-1] = -np.pi, np.pi
    cp, sp, ct, st = np.cos(phi)[:, None], np.sin(phi)[:, None], np.cos(theta)[None], np.sin(theta)[None]

    def surface(power_of):
        return np.stack([power(cp, power_of) * power(ct, power_of), power(cp, power_of) * power(st, power_of),
                         power(sp, power_of) * np.ones_like(ct)], -1)

    points = surface(e) * (np.asarray(size) / 2) + np.asarray(center)
    normals = surface(2 - e) / (np.asarray(size) / 2)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    corner = [(slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None)),
              (slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1))]
    return _quads(*[points[i].reshape(-1, 3) for i in corner], *[normals[i].reshape(-1, 3) for i in corner])


def prism(polygon, z0: float, z1: float) -> Soup:
    """A convex polygon [K,2], counter-clockwise, extruded from z0 to z1."""
    polygon = np.asarray(polygon, np.float32)
    count = len(polygon)
    following = np.roll(polygon, -1, 0)
    edge = following - polygon
    normal = np.stack([edge[:, 1], -edge[:, 0], np.zeros(count)], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    at = lambda xy, z: np.concatenate([xy, np.full((len(xy), 1), z, np.float32)], 1)  # noqa: E731
    sides = _quads(at(polygon, z0), at(following, z0), at(following, z1), at(polygon, z1), normal, normal, normal, normal)
    fan = np.stack([np.zeros(count - 2, int), np.arange(1, count - 1), np.arange(2, count)], 1)
    caps = []
    for z, up in ((z0, -1.0), (z1, 1.0)):
        points = at(polygon, z)[fan]
        caps.append(Soup(points, np.broadcast_to(np.float32([0, 0, up]), points.shape)))
    return join([sides, *caps])


def leaf(length: float, width: float, droop: float, lift: float, steps: int = 4) -> Soup:
    """A pointed blade starting at the origin along +x, rising by `lift` radians and bending down by `droop`."""
    t = np.linspace(0, 1, steps + 1)
    angle = lift - droop * t
    spine = np.concatenate([[[0, 0]], np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1)[1:] * length / steps, 0)])
    half = width / 2 * np.sin(np.pi * np.clip(t * 0.92 + 0.06, 0, 1)) ** 0.8
    left = np.stack([spine[:, 0], half, spine[:, 1]], 1)
    right = np.stack([spine[:, 0], -half, spine[:, 1]], 1)
    normal = np.stack([-np.sin(angle), np.zeros_like(t), np.cos(angle)], 1)
    return _quads(right[:-1], left[:-1], left[1:], right[1:], normal[:-1], normal[:-1], normal[1:], normal[1:])
