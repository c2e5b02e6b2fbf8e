"""Frames of a `.sens` file as files of their own, in the layout that most loaders of ScanNet know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scannet_tools.aside import written_aside
from scannet_tools.sens.reader import SensFile

_EXTENSIONS = {"jpeg": "jpg", "png": "png", "raw": "png"}


def export_frame(sens: SensFile, index: int, out: Path) -> bool:
    """Write what is missing of a frame; False when nothing was. Raises OSError and what reading the frame raises."""
    frame, written = sens.frame(index), False
    color, depth, pose = paths(sens, index, out)
    for folder in (color.parent, depth.parent, pose.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if not color.exists():
        data = frame.color_bytes()
        if sens.color_compression == "raw":
            data = cv2.imencode(".png", frame.color()[:, :, ::-1])[1].tobytes()
        _write(color, data)
        written = True
    if not depth.exists():
        millimetres = np.clip(np.round(frame.depth() * 1000), 0, 65535).astype(np.uint16)
        _write(depth, cv2.imencode(".png", millimetres)[1].tobytes())
        written = True
    if frame.pose_valid and not pose.exists():
        rows = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in frame.camera_to_world)
        _write(pose, (rows + "\n").encode())
        written = True
    return written


def write_cameras(sens: SensFile, numbers: Sequence[int], out: Path) -> None:
    """intrinsic/*.txt (4x4), and meta.json: the frames in order with camera, stamp and pose, as read_folder reads it.

    Frames of an earlier export that are still there stay in meta.json.
    """
    (out / "intrinsic").mkdir(parents=True, exist_ok=True)
    for name in ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth"):
        rows = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in getattr(sens, name))
        _write(out / "intrinsic" / f"{name}.txt", (rows + "\n").encode())
    there = [index for index in range(len(sens)) if all(path.exists() for path in paths(sens, index, out)[:2])]
    camera, stamps, valid = sens.color_camera, sens.stamps_ns(), sens.pose_valid()
    frames = []
    for index in sorted({*there, *numbers}):
        color, depth, _ = paths(sens, index, out)
        entry = {"color": f"color/{color.name}", "depth": f"depth/{depth.name}", "stamp_ns": int(stamps[index])}
        if valid[index]:
            entry["camera_to_world"] = sens.poses()[index].astype(float).tolist()
        frames.append(entry)
    meta = {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")}
    meta |= {"depth_scale_m": 0.001, "frames": frames}
    _write(out / "meta.json", (json.dumps(meta, indent=1) + "\n").encode())


def paths(sens: SensFile, index: int, out: Path) -> tuple[Path, Path, Path]:
    """Files of a frame's colour, depth and pose."""
    extension = _EXTENSIONS.get(sens.color_compression, "bin")
    return (
        out / "color" / f"{index:06d}.{extension}",
        out / "depth" / f"{index:06d}.png",
        out / "pose" / f"{index:06d}.txt",
    )


def _write(path: Path, data: bytes) -> None:
    with written_aside(path) as file:
        file.write(data)
