"""A scene of plane, sphere and box, ray-cast in closed form, seen by a noisy depth camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry import Camera

FLOOR, WALL, SPHERE, BOX, POLE = 1, 2, 3, 4, 5


@dataclass
class Scene:
    """depth_true, depth float32 [H,W] metres (0 = hole in depth); label uint8 [H,W]; color uint8 [H,W,3]."""

    camera: Camera
    depth_true: np.ndarray
    depth: np.ndarray
    label: np.ndarray
    color: np.ndarray
    box_rotation: np.ndarray
    box_center: np.ndarray
    box_size: np.ndarray


def make_scene(seed: int = 0, width: int = 640, height: int = 480, distance: float = 1.3, pole: bool = False) -> Scene:
    """A sphere and a turned box on a floor before a wall, optionally a thin pole in front of the sphere."""
    rng = np.random.default_rng(seed)
    focal = 0.9 * width
    camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack([(u - camera.cx) / focal, (v - camera.cy) / focal, np.ones_like(u, float)], axis=2)
    pitch = np.deg2rad(25.0)  # looks down at the floor
    up = np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    ahead = np.array([0.0, -np.sin(pitch), np.cos(pitch)])

    hits = {}
    floor_drop = distance * np.sin(pitch) + 0.12
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = -floor_drop / (rays @ up)
        hits[FLOOR] = np.where(floor > 0, floor, np.inf)
        wall = (distance + 0.9) / (rays @ ahead)
        hits[WALL] = np.where(wall > 0, wall, np.inf)
    right = np.array([1.0, 0.0, 0.0])
    on_floor = ahead * (distance * np.cos(pitch)) - up * floor_drop
    hits[SPHERE] = _sphere(rays, on_floor - 0.16 * right + 0.1 * up, 0.1)
    yaw = rng.uniform(0.2, 1.3)
    turned = np.stack(
        [np.cos(yaw) * right + np.sin(yaw) * ahead, -np.sin(yaw) * right + np.cos(yaw) * ahead, up], axis=1
    )
    size = np.array([0.26, 0.14, 0.20])
    center = on_floor + 0.17 * right + 0.10 * up
    hits[BOX] = _box(rays, center, turned, size)
    if pole:
        at = on_floor - 0.115 * right - 0.3 * ahead + 0.1 * up
        hits[POLE] = _box(rays, at, np.stack([right, ahead, up], axis=1), np.array([0.02, 0.02, 0.8]))
    stack = np.stack([hits[key] for key in hits])
    label = np.array(list(hits), np.uint8)[np.argmin(stack, axis=0)]
    true = stack.min(axis=0)
    label[~np.isfinite(true)] = 0
    true = np.where(np.isfinite(true), true, 0.0)
    color = np.stack([label * 40, (u % 256).astype(np.uint8), (v % 256).astype(np.uint8)], axis=2)
    return Scene(
        camera, true.astype(np.float32), sensor(true, rng), label, color, turned, center, size
    )


def sensor(true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a triangulating camera makes of a depth image: noise, mixed pixels along edges, holes, millimetre steps.

    The noise is Nguyen's axial model for a Kinect (0.0012 + 0.0019 (z - 0.4)^2 m standard deviation). At depth edges
    half of the pixels within one of the edge take a random mixture of the nearest and farthest neighbour.
    """
    near, far = true.copy(), true.copy()
    for dv in (-1, 0, 1):
        for du in (-1, 0, 1):
            moved = np.roll(true, (dv, du), axis=(0, 1))
            near, far = np.minimum(near, moved), np.maximum(far, moved)
    edge = (far - near > 0.05) & (rng.random(true.shape) < 0.5)
    share = rng.random(true.shape)
    depth = np.where(edge, near * share + far * (1 - share), true)
    depth = depth + rng.normal(size=true.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    depth[rng.random(true.shape) < 0.01] = 0.0
    depth[(far - near > 0.05) & (rng.random(true.shape) < 0.2)] = 0.0
    depth = np.round(depth, 3)
    depth[true <= 0] = 0.0
    return depth.astype(np.float32)


def _sphere(rays: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    a = (rays * rays).sum(axis=2)
    b = rays @ center
    root = b * b - a * (center @ center - radius * radius)
    return np.where(root >= 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


def _box(rays: np.ndarray, center: np.ndarray, rotation: np.ndarray, size: np.ndarray) -> np.ndarray:
    direction = rays @ rotation
    origin = -center @ rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (-size / 2 - origin) / direction
        second = (size / 2 - origin) / direction
    enter = np.minimum(first, second).max(axis=2)
    leave = np.maximum(first, second).min(axis=2)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)
