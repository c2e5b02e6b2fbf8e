"""Colour and depth pictures from files, checked while reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def read_color(path: str | Path, *, upright: bool) -> np.ndarray:
    """A picture as uint8 [H,W,3] RGB; grey is repeated, an alpha channel dropped.

    upright: turn it as its EXIF orientation says. Leave that out when depth or a camera belongs to the picture: those
    are given for the pixels as stored. Raises `FileNotFoundError`, or `ValueError` naming the file.
    """
    with _open(path) as image:
        if upright:
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            raise ValueError(f"{path}: one channel of over 8 bits: this looks like a depth image, not a colour picture")
        return np.asarray(image.convert("RGB"))


def read_depth(path: str | Path, scale: float) -> np.ndarray:
    """A 16-bit one-channel PNG (units of `scale` metres) or a 32-bit float TIFF (metres).

    Returns float32 [h,w] metres, 0 = no depth.

    Raises `FileNotFoundError`, or `ValueError` naming the file and what to do.
    """
    from lisa_ros.geometry import depth_to_metres

    with _open(path) as image:
        mode, raw = image.mode, np.asarray(image)
    if mode in ("I;16", "I;16B", "I;16L") or (mode == "I" and 0 <= raw.min() and raw.max() < 65536):
        return depth_to_metres(raw.astype(np.uint16), scale)
    if mode == "F":
        return depth_to_metres(raw)
    bits = {"1": "1 bit", "L": "8 bits", "P": "8 bits with a palette", "RGB": "3 channels of 8 bits"}.get(mode, mode)
    raise ValueError(
        f"{path}: {bits}; a depth image has one channel of 16 bits. Export the measured depth (16-bit PNG, millimetres "
        "or with depth_scale_m in the camera file), not a picture made for looking at"
    )


class _open:
    """Opens and fully decodes a picture, so that a truncated file is an error here and not a grey area later."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> Image.Image:
        try:
            self.image = Image.open(self.path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path}: no such file") from None
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self.path}: not a picture that can be read (PNG, JPEG, ...): {error}") from error
        try:
            self.image.load()
        except (OSError, SyntaxError, ValueError) as error:
            self.image.close()
            raise ValueError(f"{self.path}: damaged or cut short ({error}); copy the file again") from error
        return self.image

    def __exit__(self, *_) -> None:
        self.image.close()
