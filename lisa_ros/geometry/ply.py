"""PLY files, binary little endian, of coloured points."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from lisa_ros.geometry.cloud import Cloud

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")], align=False
)
_PLY_TYPES = {"<f4": "float", "|u1": "uchar"}


def write_ply(path: str | Path, cloud: Cloud) -> None:
    """Write a cloud as binary little endian PLY. The file appears complete or not at all (written aside, renamed)."""
    path = Path(path)
    vertices = np.empty(len(cloud), _VERTEX)
    for column, name in enumerate(("x", "y", "z")):
        vertices[name] = cloud.points[:, column]
    for column, name in enumerate(("red", "green", "blue")):
        vertices[name] = cloud.colors[:, column]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(cloud)}"]
    lines += [f"property {_PLY_TYPES[_VERTEX[name].str]} {name}" for name in _VERTEX.names]
    header = "\n".join([*lines, "end_header", ""]).encode("ascii")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(header)
            file.write(vertices.tobytes())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are private to the user
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_ply(path: str | Path) -> Cloud:
    """Read a file that `write_ply` wrote. Raises `ValueError` naming the file when it is another kind or cut short."""
    data = Path(path).read_bytes()
    end = data.find(b"end_header\n")
    header = data[: max(end, 0)].decode("ascii", errors="replace").splitlines()
    properties = [f"property {_PLY_TYPES[_VERTEX[name].str]} {name}" for name in _VERTEX.names]
    count = next((line.split()[2] for line in header if line.startswith("element vertex ")), None)
    if header[:2] != ["ply", "format binary_little_endian 1.0"] or count is None or header[3:] != properties:
        raise ValueError(f"{path}: not a PLY file of this package (binary little endian, x y z red green blue)")
    body = data[end + len(b"end_header\n") :]
    if len(body) != int(count) * _VERTEX.itemsize:
        raise ValueError(f"{path}: cut short: {len(body)} bytes of {int(count) * _VERTEX.itemsize}")
    vertices = np.frombuffer(body, _VERTEX)
    points = np.stack([vertices[name] for name in ("x", "y", "z")], axis=1)
    colors = np.stack([vertices[name] for name in ("red", "green", "blue")], axis=1)
    return Cloud(points, colors)
