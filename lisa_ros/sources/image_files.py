"""Colour and depth pictures from files, checked while reading.

Colour pictures become 8-bit RGB as cv2.imread makes them, with which the reference reads: what lies under a transparent
pixel counts, not the transparency; 16 bits become 8 by leaving out the lower ones, whatever the picture's brightest value
is. Animations give their first frame.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""What Pillow may take a file for. It knows more, some of which run other programs (EPS: Ghostscript)."""


def read_color(path: str | Path, *, upright: bool) -> np.ndarray:
    """A picture as uint8 [H,W,3] RGB; grey is repeated, palettes and CMYK are converted, an alpha channel is dropped.

    upright: turn it as its EXIF orientation says. Leave that out when depth or a camera belongs to the picture: those
    are given for the pixels as stored. Raises `FileNotFoundError`, or `ValueError` naming the file.
    """
    with _open(path) as image:
        has_16_bits = _has_16_bits(image)  # asked here: a turned copy does not know its format
        if upright:
            image = ImageOps.exif_transpose(image)
        if has_16_bits:
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        if image.mode in ("I", "F"):
            raise ValueError(
                f"{path}: one channel of 32 bits, whose white is not known; export it with 8 or 16 bits a channel"
            )
        image.info.pop("transparency", None)  # of a palette: Pillow would warn that it is lost
        return np.asarray(image.convert("RGB"))


def _has_16_bits(image: Image.Image) -> bool:
    """Whether it is grey of 16 bits. Pillow keeps those of some formats in 32-bit integers."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


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
            with warnings.catch_warnings():
                # Pillow warns of half of what it refuses; that many pixels are a panorama, not an attack
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                self.image = Image.open(self.path, formats=FORMATS)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path}: no such file") from None
        except IsADirectoryError:
            raise ValueError(f"{self.path}: a folder; give a file") from None
        except UnidentifiedImageError:
            raise ValueError(f"{self.path}: not a picture that can be read ({', '.join(FORMATS)})") from None
        except Image.DecompressionBombError as error:
            raise ValueError(f"{self.path}: too large for a picture ({error}); scale it down first") from error
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) is not None:  # the system's, it names the file: no permission, bad disk
                raise
            raise self._damaged(error) from error  # cut off before the picture's size
        try:
            self.image.load()
        except (OSError, SyntaxError, ValueError) as error:
            self.image.close()
            raise self._damaged(error) from error
        return self.image

    def __exit__(self, *_) -> None:
        self.image.close()

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path}: damaged or cut short ({error}); copy the file again")
