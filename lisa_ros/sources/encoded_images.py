"""Encoded images to pixels: JPEG and PNG, and image_transport's compressedDepth. Bytes in, numpy out; no message types.

The size that an image declares is checked before anything of that size is allocated: a few kilobytes of PNG can claim
gigabytes of pixels. Whatever cannot be read raises `ConversionError` with a sentence for a person.
"""

from __future__ import annotations

import io
import math
import struct

import cv2
import numpy as np
from PIL import Image as Picture

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")
"""What compressed_depth_image_transport puts before the picture: format (enum), and A and B of the inverse depth."""

RVL_SIZE = struct.Struct("<II")
"""What it puts before RVL data: width and height."""

_LONGEST_RVL_NUMBER = 11
"""Nibbles of three bits that a 32-bit number takes."""


class ConversionError(ValueError):
    """A message holds something that cannot be used; the text says what."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image without pixels, or with more than max_pixels."""
    if width <= 0 or height <= 0:
        raise ConversionError(f"the image is {width}x{height} pixels")
    if width * height > max_pixels:
        raise ConversionError(f"the image is {width}x{height} pixels; max_image_pixels is {max_pixels}")


def decode_color(data: bytes, format: str, max_pixels: int) -> np.ndarray:
    """uint8 [H,W,3] RGB of a JPEG or PNG. format: as the message calls it, for error messages.

    The pixels are as stored: an EXIF orientation would turn them away from their camera_info.
    """
    pixels = _decoded(data, f'the compressed image (format "{format}", {len(data)} bytes)', max_pixels, color=True)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def decode_depth(data: bytes, format: str, max_pixels: int) -> np.ndarray:
    """uint16 [h,w] in the camera's unit ("16UC1; compressedDepth ...") or float32 [h,w] metres ("32FC1; ..."); 0 = none.

    format: "<encoding>; compressedDepth", with " png" (or nothing, as ROS 1 did) or " rvl" after it. Depth of 32FC1 comes
    as 16-bit steps s of its inverse, depth = A / (s - B), s = 0 for none. A bare PNG without the header of twelve bytes,
    as some drivers send it, is taken too.
    """
    encoding, _, coding = (part.strip() for part in format.partition(";"))
    what = f'the compressed depth image (format "{format}", {len(data)} bytes)'
    bare = data.startswith(PNG_SIGNATURE)
    if bare and encoding in ("", "png"):
        encoding = "16UC1"
    if encoding not in ("16UC1", "mono16", "32FC1"):
        raise ConversionError(f'{what} is no depth image: its format must begin with "16UC1" or "32FC1"')
    if bare:
        if encoding == "32FC1":
            raise ConversionError(f"{what} is a PNG without the header that holds its quantisation")
        return _depth_png(data, what, max_pixels)
    if len(data) <= COMPRESSED_DEPTH_HEADER.size:
        raise ConversionError(f"{what} is empty or truncated: its header alone takes {COMPRESSED_DEPTH_HEADER.size} bytes")
    _, a, b = COMPRESSED_DEPTH_HEADER.unpack_from(data)
    body = data[COMPRESSED_DEPTH_HEADER.size :]
    coding = coding.removeprefix("compressedDepth").strip()
    if coding in ("", "png"):
        pixels = _depth_png(body, what, max_pixels)
    elif coding == "rvl":
        pixels = decode_rvl(body, what, max_pixels)
    else:
        raise ConversionError(f'{what} is coded as "{coding}"; png and rvl are understood')
    return _metres(pixels, a, b, what) if encoding == "32FC1" else pixels


def decode_rvl(data: bytes, what: str, max_pixels: int) -> np.ndarray:
    """uint16 [h,w] of RVL (A. D. Wilson, "Fast Lossless Depth Image Compression", 2017). what: names it in errors.

    After width and height, 32-bit words are read nibble by nibble from the highest: three bits of a number, lowest first,
    and a bit that says whether it goes on. The numbers are, in turns: how many zeros follow, how many others follow, and
    for each of these its difference to the one before it (0 -1 1 -2 2 ... as 0 1 2 3 4 ...).
    """
    if len(data) <= RVL_SIZE.size:
        raise ConversionError(f"{what} is truncated: RVL data begins with {RVL_SIZE.size} bytes of width and height")
    width, height = RVL_SIZE.unpack_from(data)
    check_size(width, height, max_pixels)
    words = np.frombuffer(data, "<u4", offset=RVL_SIZE.size, count=(len(data) - RVL_SIZE.size) // 4)
    numbers = _rvl_numbers(words, what)
    pixels = np.zeros(width * height, np.uint16)
    at = read = previous = 0
    while at < len(pixels):
        if read + 2 > len(numbers):
            raise ConversionError(f"{what} is truncated: {at} of {len(pixels)} pixels")
        zeros, others = int(numbers[read]), int(numbers[read + 1])
        read += 2
        at += zeros
        if at + others > len(pixels) or zeros + others == 0:
            raise ConversionError(f"{what} is corrupt: its runs do not add up to {width}x{height} pixels")
        if read + others > len(numbers):
            raise ConversionError(f"{what} is truncated: {at} of {len(pixels)} pixels")
        steps = numbers[read : read + others]
        if others:
            pixels[at : at + others] = previous + np.cumsum((steps >> 1) ^ -(steps & 1))
            previous = int(pixels[at + others - 1])
        at, read = at + others, read + others
    return pixels.reshape(height, width)


def _rvl_numbers(words: np.ndarray, what: str) -> np.ndarray:
    """int64: all numbers of the stream, and zeros for the filling of its last word."""
    nibbles = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15).ravel()
    ends = np.flatnonzero(nibbles < 8)
    if not len(ends):
        raise ConversionError(f"{what} is corrupt: no number in its RVL data ends")
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= _LONGEST_RVL_NUMBER:
        raise ConversionError(f"{what} is corrupt: a number of its RVL data has more than 32 bits")
    nibbles = nibbles[: ends[-1] + 1].astype(np.int64)
    place = np.arange(len(nibbles)) - np.repeat(starts, ends - starts + 1)
    return np.add.reduceat((nibbles & 7) << (3 * place), starts)


def _metres(steps: np.ndarray, a: float, b: float, what: str) -> np.ndarray:
    """float32 metres of 16-bit steps of inverse depth."""
    if not (math.isfinite(a) and math.isfinite(b) and a > 0):
        raise ConversionError(f"{what} has an unusable quantisation in its header: A = {a:g}, B = {b:g}")
    above = steps.astype(np.float32) - np.float32(b)
    usable = (steps > 0) & (above > 0)
    return np.divide(np.float32(a), above, out=np.zeros_like(above), where=usable)


def _depth_png(data: bytes, what: str, max_pixels: int) -> np.ndarray:
    pixels = _decoded(data, what, max_pixels, color=False)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        raise ConversionError(f"{what} holds {channels} x {8 * pixels.itemsize} bit pixels, not 1 x 16 bit")
    return pixels


def _decoded(data: bytes, what: str, max_pixels: int, *, color: bool) -> np.ndarray:
    """The pixels of a JPEG or PNG as OpenCV has them: uint8 [H,W,3] BGR for color, else whatever is stored."""
    size = _declared_size(data, what)
    check_size(*size, max_pixels)
    flags = cv2.IMREAD_COLOR if color else cv2.IMREAD_UNCHANGED
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        pixels = None
    if pixels is None or _ends_early(data) or pixels.shape[1::-1] != size:
        raise ConversionError(f"{what} is corrupt or truncated")
    return pixels


def _declared_size(data: bytes, what: str) -> tuple[int, int]:
    """Width and height in the header of a JPEG or PNG; nothing is decoded."""
    try:
        with Picture.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            return picture.size
    except (Picture.DecompressionBombError, Picture.DecompressionBombWarning) as error:
        raise ConversionError(f"{what} is too large: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ConversionError(f"{what} is not a readable JPEG or PNG") from error


def _ends_early(data: bytes) -> bool:
    """Whether a JPEG has no end marker after its (last) scan: OpenCV before 5 fills what is missing with grey."""
    return data.startswith(b"\xff\xd8") and data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0
