"""A mask as a short text, for rows of JSON."""

from __future__ import annotations

import base64
import zlib

import numpy as np


def pack_mask(mask: np.ndarray) -> str:
    """A bool mask [H,W] as a short text: "H,W:" and its zlib-packed bits in base64."""
    bits = base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 6)).decode()
    return f"{mask.shape[0]},{mask.shape[1]}:{bits}"


def unpack_mask(text: str) -> np.ndarray:
    """The mask that :func:`pack_mask` packed."""
    shape, bits = text.split(":", 1)
    height, width = (int(side) for side in shape.split(","))
    packed = np.frombuffer(zlib.decompress(base64.b64decode(bits)), dtype=np.uint8)
    return np.unpackbits(packed, count=height * width).astype(bool).reshape(height, width)
