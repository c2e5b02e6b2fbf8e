"""A scan's surface: coloured vertices and triangles, with a class per vertex where the file has one.

ScanNet's `<scene>_vh_clean_2.ply` and `<scene>_vh_clean_2.labels.ply` hold the same vertices in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scannet_tools.aside import written_aside
from scannet_tools.ply import Column, read_ply

_FACE_NAMES = ("vertex_indices", "vertex_index")
_GREY = 128


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices: float32 [n,3], metres in the scan's own frame (z up, not aligned with the walls). colors: uint8 [n,3]
    RGB. faces: int32 [m,3] numbers of vertices, counter-clockwise seen from outside. labels: uint16 [n] nyu40 ids, 0 =
    not annotated; None where the file has none.
    """

    vertices: np.ndarray
    colors: np.ndarray
    faces: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        """How many vertices."""
        return len(self.vertices)


def read_mesh(path: str | Path) -> Mesh:
    """Read any PLY file of a mesh.

    Vertices without colours become grey; polygons are cut into triangles; other properties are left out.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        ValueError: it is no PLY file of a mesh, is cut short, or its faces name vertices that it does not have; names
        the file.
    """
    path = Path(path)
    elements = read_ply(path)
    vertex = elements.get("vertex", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise ValueError(f"{path}: no mesh: its element 'vertex' with x, y and z is missing")
    with np.errstate(over="ignore"):  # doubles that are too large: infinite
        vertices = np.stack([vertex[name] for name in ("x", "y", "z")], axis=1).astype(np.float32)
    if not np.isfinite(vertices).all():
        raise ValueError(
            f"{path}: damaged: {np.count_nonzero(~np.isfinite(vertices).all(axis=1))} vertices have no finite place"
        )
    if {"red", "green", "blue"} <= vertex.keys():
        colors = np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1)
        if colors.dtype != np.uint8:
            raise ValueError(f"{path}: its colours are {colors.dtype}; write them as uchar, 0 to 255")
    else:
        colors = np.full((len(vertices), 3), _GREY, np.uint8)
    face = elements.get("face", {})
    faces = _triangles(next((face[name] for name in _FACE_NAMES if name in face), np.zeros((0, 3), np.int32)))
    if len(faces) and not (0 <= faces.min() and faces.max() < len(vertices)):
        raise ValueError(f"{path}: damaged: a face names a vertex that is none of its {len(vertices)}")
    return Mesh(vertices, colors, faces.astype(np.int32), _labels(path, vertex["label"]) if "label" in vertex else None)


def _triangles(polygons: Column) -> np.ndarray:
    """Integers [m,3]: each polygon as a fan around its first corner."""
    if isinstance(polygons, np.ndarray) and polygons.ndim == 2 and polygons.shape[1] == 3:
        return polygons
    fans = [np.stack([np.repeat(p[:1], len(p) - 2), p[1:-1], p[2:]], axis=1) for p in polygons if len(p) >= 3]
    return np.concatenate(fans) if fans else np.zeros((0, 3), np.int32)


def _labels(path: Path, labels: np.ndarray) -> np.ndarray:
    """uint16 of whatever type the file has them in."""
    with np.errstate(invalid="ignore"):
        as_ids = labels.astype(np.uint16)
    if not np.array_equal(as_ids, labels):
        raise ValueError(f"{path}: a vertex has a label that is no class id: they are whole numbers from 0 to 65535")
    return as_ids


def write_mesh(path: str | Path, mesh: Mesh) -> None:
    """Write a mesh the way ScanNet's are. The file appears whole or not at all.

    Binary little endian, x y z red green blue alpha, `label` where there are labels, and triangles as lists.

    Raises:
        OSError: it cannot be written; names the file.
        ValueError: the mesh's arrays do not fit together.
    """
    count = len(mesh.vertices)
    if len(mesh.colors) != count or (mesh.labels is not None and len(mesh.labels) != count):
        raise ValueError(f"{path}: a mesh needs as many colours and labels as it has vertices, {count}")
    kinds = {"<f4": "float", "|u1": "uchar", "<u2": "ushort"}
    fields = [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "|u1"),
        ("green", "|u1"),
        ("blue", "|u1"),
        ("alpha", "|u1"),
    ]
    if mesh.labels is not None:
        fields.append(("label", "<u2"))
    rows = np.empty(count, fields)
    for column, (name, _) in enumerate(fields[:3]):
        rows[name] = mesh.vertices[:, column]
    for column, (name, _) in enumerate(fields[3:6]):
        rows[name] = mesh.colors[:, column]
    rows["alpha"] = 255
    if mesh.labels is not None:
        rows["label"] = mesh.labels
    triangles = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", (3,))])
    triangles["count"], triangles["corners"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property {kinds[kind]} {name}" for name, kind in fields]
    header += [f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header", ""]
    with written_aside(path) as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())
        file.write(triangles.tobytes())
