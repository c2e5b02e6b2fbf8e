"""Tiny scene folders made by hand in exactly ScanNet's formats, byte by byte: nothing of scannet_tools writes them.

The scan: a wall at y = 3, a board ("chair") at y = 2 in front of it, and a floor that nobody annotated. Metres, z up.
Each surface is a grid of vertices of its own: `SURFACES` gives the rows of the mesh that belong to it.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

NAME = "scene0001_00"

COLUMNS = (
    "id raw_category category count nyu40id eigen13id nyuClass nyu40class eigen13class ModelNet40 ModelNet10 "
    "ShapeNetCore55 synsetoffset wnsynsetid wnsynsetkey mpcat40 mpcat40index"
).split()

# id, raw_category, category, count, nyu40id, nyu40class: as in the real file, with the spelling of its first editions
LABEL_ROWS = (
    (1, "wall", "wall", 8277, 1, "wall"),
    (2, "chair", "chair", 4646, 5, "chair"),
    (3, "floor", "floor", 1553, 2, "floor"),
    (27, "refrigerator", "refrigerator", 200, 24, "refridgerator"),
    (107, "pipe", "pipe", 25, 40, "otherprop"),
    (188, "shower door", "shower door", 19, 8, "door"),
    (107, "pipes", "pipe", 8, 38, "otherstructure"),
    (2, "stack of chairs", "chair", 5, 5, "chair"),
    (188, "shower doors", "shower door", 3, 38, "otherstructure"),
    (1357, "kinect", "kinect", 1, 40, "otherprop"),
)


def grid(corner: tuple, across: tuple, up: tuple, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(vertices float32 [n*n,3], triangles [2*(n-1)^2,3]) of a parallelogram."""
    steps = np.linspace(0, 1, n)
    vertices = np.array(corner) + steps[:, None, None] * np.array(up) + steps[None, :, None] * np.array(across)
    number = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.reshape(-1) for part in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    return vertices.reshape(-1, 3).astype(np.float32), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


_GRIDS = {
    "wall": grid((-2, 3, 0), (4, 0, 0), (0, 0, 2.5), 9),
    "chair": grid((-0.5, 2, 0.5), (1, 0, 0), (0, 0, 1), 6),
    "floor": grid((-2, 0, 0), (4, 0, 0), (0, 3, 0), 7),
}
SURFACES: dict[str, slice] = {}
_faces, _at = [], 0
for _name, (_points, _triangles) in _GRIDS.items():
    SURFACES[_name] = slice(_at, _at + len(_points))
    _faces.append(_triangles + _at)
    _at += len(_points)
VERTICES = np.concatenate([points for points, _ in _GRIDS.values()])
FACES = np.concatenate(_faces).astype(np.int32)
COLORS = (np.arange(len(VERTICES) * 3).reshape(-1, 3) % 251).astype(np.uint8)
NYU40 = np.zeros(len(VERTICES), np.uint16)
NYU40[SURFACES["wall"]], NYU40[SURFACES["chair"]] = 1, 5

# Segments are called after one of their vertices, as ScanNet's are: the wall has two, the others one each.
SEGMENTS = np.zeros(len(VERTICES), int)
SEGMENTS[SURFACES["wall"]] = np.where(VERTICES[SURFACES["wall"], 0] < 0, 0, 8)
SEGMENTS[SURFACES["chair"]] = SURFACES["chair"].start
SEGMENTS[SURFACES["floor"]] = SURFACES["floor"].start

GROUPS = (
    {"id": 0, "objectId": 0, "segments": [0, 8], "label": "wall"},
    {"id": 1, "objectId": 1, "segments": [int(SURFACES["chair"].start)], "label": "stack of chairs"},
)
WALL, CHAIR = 1, 2
"""The objects' ids: objectId + 1."""


def ply_bytes(labels: np.ndarray | None = None, vertices: np.ndarray = VERTICES, faces: np.ndarray = FACES) -> bytes:
    """A mesh as ScanNet has it: x y z red green blue alpha [label], faces as lists."""
    header = f"ply\nformat binary_little_endian 1.0\ncomment VCGLIB generated\nelement vertex {len(vertices)}\n"
    header += "property float x\nproperty float y\nproperty float z\n"
    header += "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
    header += "" if labels is None else "property ushort label\n"
    header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    body = io.BytesIO()
    for number, (x, y, z) in enumerate(vertices):
        body.write(struct.pack("<fffBBBB", x, y, z, *(int(part) for part in COLORS[number % len(COLORS)]), 255))
        if labels is not None:
            body.write(struct.pack("<H", int(labels[number])))
    for face in faces:
        body.write(struct.pack("<Biii", 3, *(int(corner) for corner in face)))
    return header.encode() + body.getvalue()


def aggregation(name: str = NAME, groups: tuple | list = GROUPS, mesh: str = "_vh_clean_2.0.010000") -> dict:
    """What an aggregation file holds."""
    return {
        "sceneId": f"scannet.{name}",
        "appId": "Aggregator.v2",
        "segGroups": [dict(group) for group in groups],
        "segmentsFile": f"scannet.{name}{mesh}.segs.json",
    }


def segs(name: str = NAME, segments: np.ndarray = SEGMENTS) -> dict:
    """What a segs file holds; its parameters are text in some scans."""
    return {
        "params": {"kThresh": "0.0001", "segMinVerts": "20", "minPoints": 750, "maxPoints": 30000},
        "sceneId": f"scannet.{name}",
        "segIndices": [int(value) for value in segments],
    }


TEXT = (
    "axisAlignment = 0.000000 1.000000 0.000000 -1.500000 -1.000000 0.000000 0.000000 2.000000 "
    "0.000000 0.000000 1.000000 -0.100000 0.000000 0.000000 0.000000 1.000000 \n"
    "colorHeight = 968\ncolorWidth = 1296\ndepthHeight = 480\ndepthWidth = 640\n"
    "fx_color = 1170.187988\nfx_depth = 571.623718\nnumColorFrames = 5578\nsceneType = Apartment\n"
)


def write_scene(parent: Path, name: str = NAME) -> Path:
    """An annotated scan without recording and pictures, and with the pair of json files of the full resolution."""
    folder = write_test_scene(parent, name)
    (folder / f"{name}.txt").write_text(TEXT)
    (folder / f"{name}_vh_clean_2.labels.ply").write_bytes(ply_bytes(NYU40))
    write_json(folder / f"{name}.aggregation.json", aggregation(name))
    write_json(folder / f"{name}_vh_clean_2.0.010000.segs.json", segs(name))
    fine = np.repeat(SEGMENTS + 100_000, 3)  # of a mesh with three times the vertices and segments of its own
    write_json(folder / f"{name}_vh_clean.segs.json", segs(name, fine))
    groups = [{**group, "segments": [number + 100_000 for number in group["segments"]]} for group in GROUPS]
    write_json(folder / f"{name}_vh_clean.aggregation.json", aggregation(name, groups, "_vh_clean"))
    return folder


def write_test_scene(parent: Path, name: str = "scene0707_00") -> Path:
    """A scan of the test set: no annotation, and a `.txt` without alignment and type."""
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / f"{name}_vh_clean_2.ply").write_bytes(ply_bytes())
    (folder / f"{name}.txt").write_text("".join(TEXT.splitlines(keepends=True)[1:-1]))
    return folder


def write_json(path: Path, values: dict) -> None:
    path.write_text(json.dumps(values))


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    """Read the file, let `change` alter what it holds, write it."""
    values = json.loads(path.read_text())
    change(values)
    write_json(path, values)


def write_label_map(path: Path, rows: tuple = LABEL_ROWS) -> Path:
    """A few rows of the label map, with all its columns."""
    lines = ["\t".join(COLUMNS)]
    for number, raw, category, count, nyu40, name in rows:
        row = dict(id=number, raw_category=raw, category=category, count=count, nyu40id=nyu40, nyu40class=name)
        lines.append("\t".join(str(row.get(column, "")) for column in COLUMNS))
    path.write_text("\n".join(lines) + "\n")
    return path


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def write_pictures(folder: Path, kind: str, pictures: dict[int, np.ndarray], *, zipped: bool = True) -> Path:
    """Pictures of a kind, "label" or "instance", as `<scene>_2d-KIND-filt.zip` or unpacked into KIND-filt/."""
    if not zipped:
        (folder / f"{kind}-filt").mkdir()
        for number, picture in pictures.items():
            (folder / f"{kind}-filt" / f"{number}.png").write_bytes(png(picture))
        return folder / f"{kind}-filt"
    path = folder / f"{folder.name}_2d-{kind}-filt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{kind}-filt/", b"")
        for number, picture in pictures.items():
            archive.writestr(f"{kind}-filt/{number}.png", png(picture))
    return path
