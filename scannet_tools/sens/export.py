"""Frames of a `.sens` file as files of their own, in the layout that most loaders of ScanNet know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scannet_tools.aside import written_aside
from scannet_tools.sens.reader import SensFile

_EXTENSIONS = {"jpeg": "jpg", "png": "png", "raw": "png"}
_MATRICES = ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth")
_LIST = "meta.json"


def begin(sens: SensFile, out: Path) -> None:
    """Make the folder, or see that it holds this recording's frames.

    Raises:
        ValueError: frames of another recording, or of unknown origin, are there.
        OSError: it cannot be written.
    """
    if (out / _LIST).exists():
        try:
            source = json.loads((out / _LIST).read_text(encoding="utf-8"))["source"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{out / _LIST}: not of an export; choose another folder") from error
        if source != _source(sens):
            raise ValueError(f"{out}: holds frames of another recording than {sens.path}; choose another folder")
    elif any((out / name).exists() for name in ("color", "depth", "pose")):
        raise ValueError(f"{out}: has pictures but no {_LIST} that says whose; choose another folder")
    for name in ("color", "depth", "pose", "intrinsic"):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_list(sens, [], out)


def export_frame(sens: SensFile, index: int, out: Path) -> bool:
    """Write what is missing of a frame; False when nothing was.

    Raises OSError, and ValueError when its pictures cannot be used; then none of it is written.
    """
    frame = sens.frame(index)
    color, depth, pose = _paths(sens, index, out)
    missing: dict[Path, bytes] = {}
    if not color.exists():
        missing[color] = frame.color_picture()
    if not depth.exists():
        millimetres = np.clip(np.round(frame.depth() * 1000), 0, 65535).astype(np.uint16)
        missing[depth] = cv2.imencode(".png", millimetres)[1].tobytes()
    if frame.pose_valid and not pose.exists():
        missing[pose] = _rows(frame.camera_to_world)
    for path, data in missing.items():
        _write(path, data)
    return bool(missing)


def write_list(sens: SensFile, numbers: Sequence[int], out: Path) -> None:
    """camera.json (colour), intrinsic/*.txt (4x4), and meta.json: the frames in order with stamp and pose, as read_folder
    reads it, and whose they are.

    numbers: frames that are there now; those of earlier exports stay in the list.
    """
    for name in _MATRICES:
        _write(out / "intrinsic" / f"{name}.txt", _rows(getattr(sens, name)))
    _write(out / "camera.json", sens.color_camera.to_json().encode())
    earlier = [index for index in range(len(sens)) if all(path.exists() for path in _paths(sens, index, out)[:2])]
    stamps, valid, poses, frames = sens.stamps_ns(), sens.pose_valid(), sens.poses(), []
    for index in sorted({*earlier, *numbers}):
        color, depth, _ = _paths(sens, index, out)
        entry = {"color": f"color/{color.name}", "depth": f"depth/{depth.name}", "stamp_ns": int(stamps[index])}
        if valid[index]:
            entry["camera_to_world"] = poses[index].astype(float).tolist()
        frames.append(entry)
    meta = json.loads(sens.color_camera.to_json()) | {"source": _source(sens), "frames": frames}
    _write(out / _LIST, (json.dumps(meta, indent=1) + "\n").encode())


def _source(sens: SensFile) -> str:
    """The same for the same recording, also when one copy was cut off and downloaded again."""
    with sens.path.open("rb") as file:
        return hashlib.sha256(file.read(4096)).hexdigest()


def _paths(sens: SensFile, index: int, out: Path) -> tuple[Path, Path, Path]:
    """Files of a frame's colour, depth and pose."""
    extension = _EXTENSIONS.get(sens.color_compression, "unknown")
    return (
        out / "color" / f"{index:06d}.{extension}",
        out / "depth" / f"{index:06d}.png",
        out / "pose" / f"{index:06d}.txt",
    )


def _rows(matrix: np.ndarray) -> bytes:
    """A line for each row; 9 digits bring a float32 back exactly."""
    return ("\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    with written_aside(path) as file:
        file.write(data)
