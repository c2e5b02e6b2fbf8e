"""Frames from a folder of colour pictures, depth pictures and a camera file.

Two layouts are understood:

* **camera.json** (fx fy cx cy width height depth_scale_m; `camera_*.json` does too) beside `color*.png|jpg` and
  `depth*.png`. The word color (or rgb) in the name changes to depth, the rest is equal: color.png and depth.png,
  color_0007.jpg and depth_0007.png, 00007-color.jpg and 00007-depth.png. Without any depth picture every picture in the
  folder is a frame without depth, and no camera is needed.
* **meta.json**: the camera's numbers at the top and a list `frames` of `{"color": file, "depth": file}`, each with its
  own camera numbers where they differ, and optionally `stamp_ns` and `camera_to_world` (4x4), or a `pose_index` into a
  Redwood `trajectory.log`.

Depth pictures have one channel of 16 bits in units of depth_scale_m (0.001 when not given) and show the same view as
the colour picture, in any size. Frames without a stamp get 1 s, then 1/30 s more each.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from lisa_ros.geometry import Camera, Frame
from lisa_ros.geometry.frame import ASPECT_TOLERANCE
from lisa_ros.sources.image_files import read_color, read_depth

_PICTURES = {".png", ".jpg", ".jpeg"}
_COLOR_WORD = re.compile(r"(?<![a-z])(colou?r|rgb)(?![a-z])", re.IGNORECASE)
_DEPTH_WORD = re.compile(r"(?<![a-z])depth(?![a-z])", re.IGNORECASE)
_CAMERA_FORM = '{"fx": 525, "fy": 525, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480, "depth_scale_m": 0.001}'
FIRST_STAMP_NS = 1_000_000_000  # not 0: tf2 takes time zero for "the latest"
STAMP_STEP_NS = 33_333_333


def read_folder(folder: str | Path) -> list[Frame]:
    """All frames of a folder, in the order of their names or of meta.json.

    Pictures with depth or a camera stay as they are stored (an EXIF orientation would part them from their depth);
    pictures without are turned upright. Raises `FileNotFoundError` or `ValueError` with the file's name and what to do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    if (folder / "meta.json").is_file():
        return _read_listed(folder)
    return _read_named(folder)


def _read_named(folder: Path) -> list[Frame]:
    """The layout with names that say what is what."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    depths = {_DEPTH_WORD.sub("", path.stem): path for path in pictures if _DEPTH_WORD.search(path.stem)}
    others = [path for path in pictures if not _DEPTH_WORD.search(path.stem)]
    colors = [path for path in others if _COLOR_WORD.search(path.stem)] or ([] if depths else others)
    if not colors:
        raise ValueError(f"{folder}: no colour picture; name it color*.png, color*.jpg (and depth*.png, camera.json)")
    camera, scale = _folder_camera(folder)
    if depths and camera is None:
        raise ValueError(f"{folder}: depth pictures but no camera.json; write one like {_CAMERA_FORM}")
    frames = []
    for index, path in enumerate(colors):
        depth = depths.get(_COLOR_WORD.sub("", path.stem))
        if depths and depth is None:
            wanted = _COLOR_WORD.sub("depth", path.stem)
            raise ValueError(f"{path}: no depth picture for it ({wanted}.png); add it, or take the colour picture away")
        stamp = FIRST_STAMP_NS + index * STAMP_STEP_NS
        frames.append(_read_frame(path, depth, camera, scale, stamp_ns=stamp, camera_file=folder / "camera.json"))
    return frames


def _folder_camera(folder: Path) -> tuple[Camera | None, float]:
    """The camera of camera.json, or of the only camera_*.json."""
    files = [folder / "camera.json"] if (folder / "camera.json").is_file() else sorted(folder.glob("camera_*.json"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{folder}: {names}: which one? Name the right one camera.json")
    return Camera.from_json(files[0]) if files else (None, 0.001)


def _read_listed(folder: Path) -> list[Frame]:
    """The layout with a meta.json that lists the frames."""
    file = folder / "meta.json"
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from error
    entries = meta.get("frames") if isinstance(meta, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f'{file}: no list "frames" of {{"color": file, "depth": file}}')
    if not entries:
        raise ValueError(f"{file}: the list of frames is empty: there are no pictures in this folder")
    poses = _read_trajectory(folder / "trajectory.log") if (folder / "trajectory.log").is_file() else []
    frames = []
    for index, entry in enumerate(entries):
        where = f"{file}: frame {index}"
        if not isinstance(entry, dict) or not isinstance(entry.get("color"), str):
            raise ValueError(f'{where}: no file name under "color"')
        numbers = {**meta, **entry}
        camera, scale = None, 0.001
        if numbers.get("fx") is not None or entry.get("depth"):
            camera, scale = Camera.from_mapping(numbers, where=where)
        frames.append(
            _read_frame(
                folder / entry["color"],
                folder / entry["depth"] if entry.get("depth") else None,
                camera,
                scale,
                stamp_ns=int(entry.get("stamp_ns", FIRST_STAMP_NS + index * STAMP_STEP_NS)),
                camera_to_world=_pose(entry, poses, where),
                camera_file=file,
            )
        )
    return frames


def _pose(entry: dict, poses: list[np.ndarray], where: str) -> np.ndarray | None:
    if entry.get("camera_to_world") is not None:
        pose = np.array(entry["camera_to_world"], dtype=np.float64)
        if pose.shape != (4, 4):
            raise ValueError(f"{where}: camera_to_world must be 4x4, got {list(pose.shape)}")
        return pose
    index = entry.get("pose_index")
    if index is None or not poses:
        return None
    if not 0 <= index < len(poses):
        raise ValueError(f"{where}: pose_index {index}, but trajectory.log has {len(poses)} poses")
    return poses[index]


def _read_trajectory(path: Path) -> list[np.ndarray]:
    """The poses of a Redwood .log: for each one line of three numbers, then 4x4 camera to world."""
    try:
        numbers = [[float(word) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]
        poses = [np.array(numbers[start + 1 : start + 5], dtype=np.float64) for start in range(0, len(numbers), 5)]
    except ValueError as error:
        raise ValueError(f"{path}: not a Redwood trajectory: {error}") from error
    if any(pose.shape != (4, 4) for pose in poses):
        raise ValueError(f"{path}: not a Redwood trajectory: each pose is one line of three numbers, then four of four")
    return poses


def _read_frame(color_file, depth_file, camera, scale, *, camera_file, stamp_ns, camera_to_world=None) -> Frame:
    color = read_color(color_file, upright=depth_file is None and camera is None)
    height, width = color.shape[:2]
    if camera is not None and (camera.width, camera.height) != (width, height):
        if abs(camera.width * height / (camera.height * width) - 1.0) > ASPECT_TOLERANCE:
            raise ValueError(
                f"{color_file} is {width}x{height} pixels, {camera_file} is for {camera.width}x{camera.height}: "
                "other proportions, so not the same view; give the camera of these pictures"
            )
        camera = camera.scaled_to(width, height)
    depth = read_depth(depth_file, scale) if depth_file is not None else None
    try:
        return Frame(color, camera, depth, stamp_ns=stamp_ns, camera_to_world=camera_to_world)
    except ValueError as error:
        raise ValueError(f"{depth_file or color_file}: {error}") from error
