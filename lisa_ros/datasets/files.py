"""Files of a data set, with errors that say which one is missing or damaged, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from lisa_ros.datasets.example import DatasetError
from lisa_ros.sources.image_files import read_color


def read_picture(path: Path) -> np.ndarray:
    """uint8 [H,W,3] RGB, turned as its EXIF orientation says (as the reference's cv2.imread does)."""
    try:
        return read_color(path, upright=True)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: copy the pictures there, see docs/training.md") from None
    except ValueError as error:
        raise DatasetError(str(error)) from error


def read_labels(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A label picture [H,W] of one channel, values as stored (of a palette: the indices).

    Args:
        shape: the picture's height and width.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            labels = np.array(image)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: copy the label pictures there, see docs/training.md") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path}: not a PNG, damaged or cut short ({error}); copy the file again") from error
    if labels.shape != shape:
        raise DatasetError(f"{path} is {list(labels.shape)}, its picture {list(shape)}: they do not belong together")
    return labels


def read_json(path: Path) -> Any:
    """A JSON file, UTF-8 or (as some annotations are) cp1252."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: copy it there, see docs/training.md") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    try:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not JSON, or cut short ({error}); copy the file again") from error


def listed(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder by name. Raises DatasetError when there is none."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise DatasetError(f"{folder}: no {pattern} there; copy the data set there, see docs/training.md")
    return found


def fields_of(item: Any, where: str, *keys: str) -> list[Any]:
    """Values of a JSON object. Raises DatasetError naming the key that is not there."""
    if not isinstance(item, dict):
        raise DatasetError(f"{where}: expected an object, got {type(item).__name__}")
    for key in keys:
        if key not in item:
            raise DatasetError(f"{where}: it has no '{key}'")
    return [item[key] for key in keys]


def coco_image_id(name: str) -> int | None:
    """The id in a COCO file name ("000000581857.jpg", "COCO_train2014_000000581857.jpg"); None when it has none."""
    digits = Path(name).stem.rpartition("_")[2]
    return int(digits) if digits.isdigit() else None
