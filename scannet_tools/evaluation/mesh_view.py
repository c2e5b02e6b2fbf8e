"""A view of the whole mesh by ray casting, cut open like a doll's house: faces seen from behind are looked through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 480, 360
FIELD_OF_VIEW = 50.0
"""Degrees, horizontally."""

LEAST_RADIUS = 0.7
"""Metres around what is shown: a cup is seen with the table under it."""

ELEVATION = np.radians(38)
BACKGROUND = (236, 239, 243)
LOOKED_THROUGH = 6
"""So many faces seen from behind are looked through on one ray; what then still shows its back is drawn."""


@dataclass(frozen=True)
class Viewpoint:
    """Where the view is taken from. eye, center: [3] metres in the mesh's frame, z up."""

    eye: np.ndarray
    center: np.ndarray


def viewpoint(points: np.ndarray, towards: np.ndarray) -> Viewpoint:
    """A view that has points [n,3] in its middle, from above and from the side that a camera looked from.

    towards: [3], the camera's line of sight; its height is replaced by `ELEVATION`.
    """
    low, high = np.percentile(points, (1, 99), axis=0)
    center = (low + high) / 2
    radius = max(float(np.linalg.norm(high - low)) / 2, LEAST_RADIUS)
    side = -np.asarray(towards[:2], np.float64)
    length = np.linalg.norm(side)
    side = side / length if length > 1e-6 else np.array([0.0, -1.0])
    direction = np.array([*(side * np.cos(ELEVATION)), np.sin(ELEVATION)])
    distance = 2.2 * radius / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    return Viewpoint(center + distance * direction, center)


class MeshView:
    """Renders one mesh. Building it takes longer than a picture: keep it for all pictures of a scene.

    vertices: float32 [n,3] metres; faces: int32 [m,3], counter-clockwise seen from outside (as ScanNet's are).

    Raises:
        ImportError: Open3D is not installed.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        import open3d  # takes a second

        self._tensor = open3d.core.Tensor
        self._faces = np.ascontiguousarray(faces, np.int64)
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(vertices, np.float32)),
            self._tensor(np.ascontiguousarray(faces, np.uint32)),
        )

    def picture(self, colors: np.ndarray, view: Viewpoint) -> np.ndarray:
        """uint8 [HEIGHT,WIDTH,3] RGB of the mesh with these colours of its vertices, uint8 [n,3]."""
        forward = view.center - view.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right = right / np.linalg.norm(right)
        up = np.cross(right, forward)
        reach = np.tan(np.radians(FIELD_OF_VIEW) / 2)
        across = (np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1
        down = ((np.arange(HEIGHT) + 0.5) / HEIGHT * 2 - 1) * HEIGHT / WIDTH
        directions = (
            forward + reach * across[None, :, None] * right[None, None] - reach * down[:, None, None] * up[None, None]
        ).reshape(-1, 3)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        shown = np.tile(np.array(BACKGROUND, np.float32), (len(directions), 1))
        origins, waiting = np.tile(view.eye, (len(directions), 1)), np.arange(len(directions))
        for layer in range(LOOKED_THROUGH + 1):
            hit = self._cast(origins[waiting], directions[waiting])
            struck = np.isfinite(hit["t_hit"])
            facing = -np.sum(hit["primitive_normals"] * directions[waiting], axis=1)
            drawn = struck & ((facing > 0) | (layer == LOOKED_THROUGH))
            lit = 0.55 + 0.45 * np.abs(facing[drawn])
            shown[waiting[drawn]] = self._color(hit, drawn, colors) * lit[:, None]
            through = struck & ~drawn
            origins[waiting[through]] += directions[waiting[through]] * (hit["t_hit"][through, None] + 1e-3)
            waiting = waiting[through]
            if len(waiting) == 0:
                break
        return shown.reshape(HEIGHT, WIDTH, 3).astype(np.uint8)

    def _cast(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
        rays = np.concatenate([origins, directions], axis=1).astype(np.float32)
        return {name: values.numpy() for name, values in self._scene.cast_rays(self._tensor(rays)).items()}

    def _color(self, hit: dict[str, np.ndarray], chosen: np.ndarray, colors: np.ndarray) -> np.ndarray:
        """Float [k,3]: the vertices' colours at the struck points."""
        corners = colors[self._faces[hit["primitive_ids"][chosen]]].astype(np.float32)
        u, v = hit["primitive_uvs"][chosen].T
        weights = np.stack([1 - u - v, u, v], axis=1)
        return np.sum(corners * weights[:, :, None], axis=1)
