"""Pictures to tensors, with PIL as the reference does it (torchvision's resampling differs and is kept out)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
LONGEST = 20
CLIP_FITS = ("crop", "pad", "unpad")


@dataclass(frozen=True)
class Preprocessed:
    """One picture for both towers.

    Attributes:
        clip: float32 [3,c,c], normalised.
        sam: uint8 [h,w,3], longest side SAM's input size; ``Sam.normalise`` makes the padded square of it, on the
            model's device.
        original: height and width of the picture as it came.
    """

    clip: np.ndarray
    sam: np.ndarray
    original: tuple[int, int]

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width of the picture inside SAM's square."""
        return self.sam.shape[:2]


def preprocess(image: np.ndarray, clip_size: int, sam_size: int, clip_fit: str = "crop") -> Preprocessed:
    """RGB uint8 [H,W,3] to both towers' inputs.

    Raises:
        ValueError: the array is no RGB uint8 picture, or ``clip_fit`` is unknown.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be uint8 [H,W,3] RGB, got {image.dtype} {list(image.shape)}")
    if clip_fit not in CLIP_FITS:
        raise ValueError(f'clip_fit must be one of {", ".join(CLIP_FITS)}, got "{clip_fit}"')
    picture = Image.fromarray(image)
    clip = clip_crop(picture, clip_size) if clip_fit == "crop" else clip_pad(picture, clip_size)
    return Preprocessed(clip, sam_resize(picture, sam_size), image.shape[:2])


def clip_crop(picture: Image.Image, size: int) -> np.ndarray:
    """Shortest side to ``size`` (bicubic), centre crop: [3,size,size] float32."""
    picture = _without_ends(picture)
    width, height = picture.size
    shortest = min(width, height)
    # as CLIPImageProcessor rounds: the long side is truncated
    width, height = (int(size * width / shortest), size) if height <= width else (size, int(size * height / shortest))
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return _clip_normalise(np.asarray(picture.crop((left, top, left + size, top + size))))


def _without_ends(picture: Image.Image) -> Image.Image:
    """The middle of a picture that is more than LONGEST times as long as wide: resized whole, a strip of one pixel
    would fill the memory."""
    width, height = picture.size
    most = LONGEST * min(width, height)
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return picture.crop((left, top, left + min(width, most), top + min(height, most)))


def clip_pad(picture: Image.Image, size: int) -> np.ndarray:
    """Longest side to ``size`` (bicubic), centred on a square of CLIP's mean colour: [3,size,size] float32."""
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = np.zeros((3, size, size), np.float32)  # zero is the mean colour once normalised
    left, top = (size - width) // 2, (size - height) // 2
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    square[:, top : top + height, left : left + width] = _clip_normalise(resized)
    return square


def patches_read(height: int, width: int, size: int, patch: int, clip_fit: str) -> tuple[slice, slice]:
    """Rows and columns of CLIP's patches that the language model reads of a picture so high and wide: all, or with "unpad" those of `clip_pad`'s square
    that show some of it."""

    def along(side: int) -> slice:
        if clip_fit != "unpad":
            return slice(0, size // patch)
        shown = max(1, round(side * size / max(height, width)))
        first = (size - shown) // 2
        return slice(first // patch, -(-(first + shown) // patch))

    return along(height), along(width)


def _clip_normalise(pixels: np.ndarray) -> np.ndarray:
    scaled = (pixels * (1 / 255)).astype(np.float32)
    return np.ascontiguousarray(((scaled - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1))


def sam_resize_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width after ResizeLongestSide(size)."""
    scale = size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def sam_resize(picture: Image.Image, size: int) -> np.ndarray:
    """Longest side to ``size`` (bilinear with antialiasing): uint8 [h,w,3]."""
    width, height = picture.size
    rows, columns = sam_resize_shape(height, width, size)
    return np.array(picture.resize((columns, rows), Image.Resampling.BILINEAR))
