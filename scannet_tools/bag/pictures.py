"""What a frame's stored colour and depth become in a message: pictures pass as they are, depth becomes millimetres."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
from PIL import Image as Picture
from PIL import UnidentifiedImageError

_COLOR_FORMATS = {"JPEG": "rgb8; jpeg compressed bgr8", "PNG": "rgb8; png compressed bgr8"}
DEPTH_FORMAT = "16UC1; compressedDepth png"

_DEPTH_HEADER = struct.pack("<iff", 0, 0.0, 0.0)
"""compressed_depth_image_transport's ConfigHeader: format, and two numbers that only 32FC1 uses."""

_PNG_OPTIONS = (
    cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
)  # fmt: skip
"""Each pixel less its left neighbour, of which runs are counted: a third of the time of OpenCV's way with this level."""

_FARTHEST = np.iinfo(np.uint16).max


def color_format(data: bytes) -> tuple[str, tuple[int, int]]:
    """(format of a CompressedImage, (width, height)) of an encoded picture, from its first bytes.

    Raises:
        ValueError: it is neither JPEG nor PNG.
    """
    try:
        with Picture.open(io.BytesIO(data)) as picture:
            kind, size = picture.format, picture.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"no picture ({len(data)} bytes)") from error
    if kind not in _COLOR_FORMATS:
        raise ValueError(f"a {kind} picture; JPEG and PNG are understood")
    return _COLOR_FORMATS[kind], size


def millimetres(depth: np.ndarray) -> np.ndarray:
    """uint16 [h,w] of metres [h,w]; 0 = no measurement, also for what is not finite or farther than 65.5 m."""
    scaled = np.round(depth * np.float32(1000.0))
    return np.where((scaled > 0) & (scaled <= _FARTHEST), scaled, 0).astype(np.uint16)


def compressed_depth(depth_mm: np.ndarray) -> bytes:
    """uint16 [h,w] as compressed_depth_image_transport sends it: a header of 12 bytes and a 16-bit PNG."""
    done, data = cv2.imencode(".png", depth_mm, _PNG_OPTIONS)
    if not done:
        raise ValueError(f"OpenCV cannot write a PNG of {list(depth_mm.shape)} {depth_mm.dtype}")
    return _DEPTH_HEADER + data.tobytes()
