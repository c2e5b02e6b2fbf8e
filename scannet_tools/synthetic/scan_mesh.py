"""The mesh that a scan of a synthetic scene would give: fine, welded, only what the camera saw, in colours it saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry.camera import Camera
from scannet_tools.synthetic.render import World

LONGEST_EDGE = 0.045
"""Metres. Halving triangles until no edge is longer leaves vertices about 3 cm apart on walls."""

_GRID = 1e-4  # metres: corners of one object in the same cell are one vertex
_SEEN_WITHIN = 0.005  # metres: what lies so far behind the first hit still counts as seen
_BLOCK = 0.5  # metres: the file's vertices go block by block, as fused scans do, not object by object


@dataclass
class ScanMesh:
    """vertices: float32 [n,3], metres, layout's frame. faces: int32 [m,3]. objects: uint16 [n], an object id per
    vertex, 0 = none; no face has vertices of two. normals: float32 [n,3], of unit length.
    """

    vertices: np.ndarray
    faces: np.ndarray
    objects: np.ndarray
    normals: np.ndarray

    def kept(self, faces: np.ndarray) -> tuple[ScanMesh, np.ndarray]:
        """(the mesh of some faces, bool [m], numbers [n'] of the vertices that it keeps, in their new order)."""
        used = np.zeros(len(self.vertices), bool)
        used[self.faces[faces]] = True
        numbers = np.flatnonzero(used)
        blocks = np.floor(self.vertices[numbers] / _BLOCK).astype(np.int64)
        numbers = numbers[np.lexsort(blocks.T)]
        place = np.zeros(len(self.vertices), np.int32)
        place[numbers] = np.arange(len(numbers))
        mesh = ScanMesh(self.vertices[numbers], place[self.faces[faces]], self.objects[numbers], self.normals[numbers])
        return mesh, numbers


def fine_mesh(world: World) -> ScanMesh:
    """All surfaces of a world, whether seen or not, cut fine and welded object by object."""
    points, source = _halved(world.points)
    normals = world.normals[source].mean(1)
    facing = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    turned = (facing * normals).sum(1) < 0  # shapes are built without a rule for the order of corners; files have one
    points[turned] = points[turned][:, ::-1]
    corners = points.reshape(-1, 3)
    objects = np.repeat(world.instance[source], 3)
    cells = np.round((corners - corners.min(0)) / _GRID).astype(np.int64)
    keys = ((objects.astype(np.int64) << 17 | cells[:, 0]) << 17 | cells[:, 1]) << 17 | cells[:, 2]
    _, first, welded = np.unique(keys, return_index=True, return_inverse=True)
    faces = welded.reshape(-1, 3).astype(np.int32)
    flat = (faces == np.roll(faces, 1, axis=1)).any(1)
    summed = np.zeros((len(first), 3))
    for corner in range(3):
        np.add.at(summed, faces[:, corner], normals)
    summed /= np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)
    return ScanMesh(corners[first], faces[~flat], objects[first], summed.astype(np.float32))


class Sightings:
    """What a walking camera saw of a mesh: which vertices, and in which colour."""

    def __init__(self, mesh: ScanMesh, world: World, camera: Camera) -> None:
        self._mesh, self._world, self._camera = mesh, world, camera
        self._times = np.zeros(len(mesh.vertices), np.int32)
        self._colors = np.zeros((len(mesh.vertices), 3), np.int64)

    def add(self, pose: np.ndarray, color: np.ndarray) -> None:
        """Look from one pose (camera_to_world 4x4, layout's frame) at a picture, uint8 [H,W,3] RGB."""
        camera = self._camera
        eye = pose[:3, 3]
        towards = self._mesh.vertices - eye.astype(np.float32)
        pixel = camera.project(towards @ pose[:3, :3])  # NaN behind the camera, which is in no picture
        with np.errstate(invalid="ignore"):
            inside = (np.round(pixel) >= 0).all(1) & (np.round(pixel) < (camera.width, camera.height)).all(1)
        at = np.flatnonzero(inside)
        reach = np.linalg.norm(towards[at], axis=1, keepdims=True)
        rays = np.concatenate([np.broadcast_to(eye, (len(at), 3)), towards[at] * (1 - _SEEN_WITHIN / reach)], 1)
        at = at[~self._world.blocked(rays, 1.0)]
        u, v = np.round(pixel[at]).astype(np.intp).T
        self._times[at] += 1
        self._colors[at] += color[v, u]

    def mesh(self, shown: np.ndarray) -> tuple[ScanMesh, np.ndarray]:
        """(what was seen, colours uint8 [n,3] of its vertices).

        shown: ids of the objects that are in pictures. One whose vertices all hide, though a bit of it shows, is kept
        whole: no id in a picture is without vertices.
        """
        mesh, seen = self._mesh, self._times > 0
        faces = seen[mesh.faces].sum(1) >= 2
        hidden = np.setdiff1d(shown, mesh.objects[mesh.faces[faces, 0]])
        faces |= np.isin(mesh.objects[mesh.faces[:, 0]], hidden)
        kept, numbers = mesh.kept(faces)
        colors = self._colors[numbers] / np.maximum(self._times[numbers], 1)[:, None]
        return kept, _filled(colors, seen[numbers], kept).round().astype(np.uint8)


def segments(mesh: ScanMesh) -> np.ndarray:
    """int32 [n]: an over-segmentation, pieces of one object that face one way and lie close together.

    A segment's number is that of one of its vertices, as union-find leaves them.
    """
    way = np.abs(mesh.normals).argmax(1)
    way = 2 * way + (np.take_along_axis(mesh.normals, way[:, None], 1)[:, 0] > 0)
    places = np.floor(mesh.vertices / 0.4).astype(np.int64)
    keys = np.column_stack([mesh.objects, way, places])
    _, first, piece = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first[piece.ravel()].astype(np.int32)


def _halved(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(triangles float32 [t,3,3], the number [t] of the triangle each came from).

    Longest edges are halved until all are short.
    An edge of two triangles is halved in both or in none, so the pieces still meet corner to corner.
    """
    source = np.arange(len(points))
    done_points, done_source = [], []
    while len(points):
        edges = np.linalg.norm(np.roll(points, -1, axis=1) - points, axis=2)
        long = edges.max(1) > LONGEST_EDGE
        done_points.append(points[~long])
        done_source.append(source[~long])
        points, source, first = points[long], source[long], edges[long].argmax(1)
        order = (first[:, None] + np.arange(3)) % 3
        a, b, c = np.take_along_axis(points, order[:, :, None], 1).transpose(1, 0, 2)
        middle = (a + b) / 2
        points = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        source = np.concatenate([source, source])
    return np.concatenate(done_points), np.concatenate(done_source)


def _filled(colors: np.ndarray, seen: np.ndarray, mesh: ScanMesh) -> np.ndarray:
    """Colours [n,3] where vertices without one have the mean of their neighbours', or else of the whole mesh."""
    if seen.all():
        return colors
    summed, count = np.zeros_like(colors), np.zeros(len(colors))
    for corner in range(3):
        for other in range(3):
            a, b = mesh.faces[:, corner], mesh.faces[:, other]
            lends = seen[b]
            np.add.at(summed, a[lends], colors[b[lends]])
            np.add.at(count, a[lends], 1)
    mean = np.where(
        count[:, None] > 0, summed / np.maximum(count, 1)[:, None], colors[seen].mean(0) if seen.any() else 128
    )
    return np.where(seen[:, None], colors, mean)
