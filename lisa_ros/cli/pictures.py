"""Reading the picture, the depth and the camera that `lisa segment` is given, with errors that say what to do."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from lisa_ros.cli.errors import CommandError
from lisa_ros.geometry import Camera, Frame
from lisa_ros.geometry.depth import depth_to_metres


def read_frame(image: Path, depth: Path | None, camera: Path | None) -> Frame:
    """The frame of one picture; with depth and camera it can be lifted.

    The camera's size may be another than the picture's when it is the same view (ScanNet 640x480 / 1296x968): it is scaled.
    """
    color = read_color(image)
    if depth is None or camera is None:
        return Frame(color)
    height, width = color.shape[:2]
    try:
        of_depth, scale = Camera.from_json(camera)
        of_color = of_depth.scaled_to(width, height)
        if abs(of_depth.width * height / (of_depth.height * width) - 1) > 0.02:
            raise ValueError(
                f"{camera} is for {of_depth.width}x{of_depth.height} pixels, {image} has {width}x{height}: not the same view; "
                "give the camera of this picture"
            )
        return Frame(color, camera=of_color, depth=depth_to_metres(read_raw(depth), scale))
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error


def read_color(path: Path) -> np.ndarray:
    """A picture as uint8 [H,W,3] RGB, turned as its EXIF tag says; grey is repeated, alpha dropped, 16 bits cut to 8."""
    import cv2

    data = _decode(path, cv2.IMREAD_COLOR, "a picture (PNG, JPEG, ...)")
    return np.ascontiguousarray(data[:, :, ::-1])


def read_raw(path: Path) -> np.ndarray:
    """A depth image as it is in the file, [h,w] uint16 or float."""
    import cv2

    data = _decode(path, cv2.IMREAD_UNCHANGED, "a depth image (16-bit PNG)")
    if data.ndim != 2 or data.dtype not in (np.uint16, np.float32):
        raise CommandError(
            f"{path} has {1 if data.ndim == 2 else data.shape[2]} channel(s) of {data.dtype}: a depth image has one channel, "
            "16 bits (or 32-bit float metres); is it a picture made for looking at?"
        )
    return data


def _decode(path: Path, flags: int, what: str) -> np.ndarray:
    import cv2

    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    try:
        decoded = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        decoded = None
    if decoded is None:
        raise CommandError(f"{path} is not {what} that can be read ({data.size} bytes); check the file")
    return decoded
