"""Pictures to tensors, with PIL as the reference does it (torchvision's resampling differs and is kept out)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
SAM_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
SAM_STD = np.array([58.395, 57.12, 57.375], np.float32)


@dataclass(frozen=True)
class Preprocessed:
    """One picture for both towers.

    Attributes:
        clip: float32 [3,c,c].
        sam: float32 [3,s,s], zero padded on the right and below.
        resized: height and width of the picture inside ``sam``.
        original: height and width of the picture as it came.
    """

    clip: np.ndarray
    sam: np.ndarray
    resized: tuple[int, int]
    original: tuple[int, int]


def preprocess(image: np.ndarray, clip_size: int, sam_size: int, clip_fit: str = "crop") -> Preprocessed:
    """RGB uint8 [H,W,3] to both towers' inputs.

    Raises:
        ValueError: the array is no RGB uint8 picture, or ``clip_fit`` is unknown.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be uint8 [H,W,3] RGB, got {image.dtype} {list(image.shape)}")
    if clip_fit not in ("crop", "pad"):
        raise ValueError(f'clip_fit must be "crop" or "pad", got "{clip_fit}"')
    picture = Image.fromarray(image)
    clip = clip_crop(picture, clip_size) if clip_fit == "crop" else clip_pad(picture, clip_size)
    sam, resized = sam_input(picture, sam_size)
    return Preprocessed(clip, sam, resized, image.shape[:2])


def clip_crop(picture: Image.Image, size: int) -> np.ndarray:
    """Shortest side to ``size`` (bicubic), centre crop: [3,size,size] float32."""
    width, height = picture.size
    shortest = min(width, height)
    # as CLIPImageProcessor rounds: the long side is truncated
    width, height = (int(size * width / shortest), size) if height <= width else (size, int(size * height / shortest))
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return _clip_normalise(np.asarray(picture.crop((left, top, left + size, top + size))))


def clip_pad(picture: Image.Image, size: int) -> np.ndarray:
    """Longest side to ``size`` (bicubic), centred on a square of CLIP's mean colour: [3,size,size] float32."""
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = np.zeros((3, size, size), np.float32)  # zero is the mean colour once normalised
    left, top = (size - width) // 2, (size - height) // 2
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    square[:, top : top + height, left : left + width] = _clip_normalise(resized)
    return square


def _clip_normalise(pixels: np.ndarray) -> np.ndarray:
    scaled = (pixels * (1 / 255)).astype(np.float32)
    return ((scaled - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)


def sam_resize_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width after ResizeLongestSide(size)."""
    scale = size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def sam_input(picture: Image.Image, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Longest side to ``size`` (bilinear with antialiasing), normalised, zero padded: [3,size,size] float32, and (height, width) inside."""
    width, height = picture.size
    rows, columns = sam_resize_shape(height, width, size)
    pixels = np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR), np.float32)
    square = np.zeros((3, size, size), np.float32)
    square[:, :rows, :columns] = ((pixels - SAM_MEAN) / SAM_STD).transpose(2, 0, 1)
    return square, (rows, columns)
