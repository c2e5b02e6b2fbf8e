"""The frame of the picture, the depth and the camera that `lisa segment` is given."""
from __future__ import annotations

from pathlib import Path

from lisa_ros.cli.errors import CommandError
from lisa_ros.geometry import Camera, Frame
from lisa_ros.geometry.frame import ASPECT_TOLERANCE
from lisa_ros.sources.image_files import read_color, read_depth


def read_frame(image: Path, depth: Path | None, camera: Path | None) -> Frame:
    """The frame of one picture; with depth and camera it can be lifted.

    The camera's size may be another than the picture's when it is the same view (ScanNet 640x480 / 1296x968): it is scaled. A
    picture on its own is turned as its EXIF orientation says; one with depth stays as stored, since its depth does too.

    :raises CommandError: a file cannot be used; the text names it.
    """
    try:
        if depth is None or camera is None:
            return Frame(read_color(image, upright=True))
        color = read_color(image, upright=False)
        height, width = color.shape[:2]
        given, scale = Camera.from_json(camera)
        if abs(given.width * height / (given.height * width) - 1) > ASPECT_TOLERANCE:
            raise ValueError(
                f"{camera} is for {given.width}x{given.height} pixels, {image} has {width}x{height}: not the same view; "
                "give the camera of this picture"
            )
        return Frame(color, camera=given.scaled_to(width, height), depth=read_depth(depth, scale))
    except IsADirectoryError as error:
        raise CommandError(f"{error.filename}: a folder; give a file") from error
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
