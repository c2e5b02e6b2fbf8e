"""What comes in: ROS messages to numpy. With `messages.py`, which goes the other way, the only place that knows layouts.

Everything that cannot be converted raises `ConversionError` with a sentence for a person.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.geometry import Camera
from lisa_ros.node.serialized_image import SerializedImage, read_image
from lisa_ros.sources.encoded_images import ConversionError, check_size, decode_color, decode_depth

MAX_PIXELS = 25_000_000
"""Images with more pixels are refused unless the caller allows them (parameter max_image_pixels)."""

ENCODINGS = {  # encoding -> (numpy type, channels)
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
}
_DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")


# ---- time ----
def stamp_ns(stamp: Time) -> int:
    """A stamp as nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds as a stamp."""
    seconds, rest = divmod(int(nanoseconds), 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def serialized_stamp_ns(serialized: bytes) -> int:
    """header.stamp of a serialized message that begins with a std_msgs/Header, in nanoseconds, without deserialising
    the rest.

    CDR: four bytes of encapsulation (bit 0 of the second: little endian), then sec int32 and nanosec uint32.
    """
    if len(serialized) < 12:
        raise ConversionError(f"a message of {len(serialized)} bytes has no header")
    seconds, nanoseconds = struct.unpack_from("<iI" if serialized[1] & 1 else ">iI", serialized, 4)
    return seconds * 1_000_000_000 + nanoseconds


# ---- bytes in ----
def deserialized(serialized: bytes, kind: type) -> Any:
    """A message of this type, an Image as SerializedImage; raises ConversionError when the bytes are cut off or those
    of something else.
    """
    try:
        return read_image(serialized) if kind is Image else deserialize_message(serialized, kind)
    except (RuntimeError, ValueError, MemoryError) as error:  # rmw's own, text that is not UTF-8, a length of gigabytes
        raise ConversionError(
            f"a message of {len(serialized)} bytes cannot be read as {kind.__name__}: it is cut off or of another type"
        ) from error


# ---- images in ----
def image_array(message: Image | SerializedImage, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels as they are: [H,W] or [H,W,C] in the encoding's type and native byte order; any row step."""
    if message.encoding not in ENCODINGS:
        raise ConversionError(f'encoding "{message.encoding}" is not supported; use one of {", ".join(ENCODINGS)}')
    dtype, channels = ENCODINGS[message.encoding]
    dtype = np.dtype(dtype)
    height, width, step = message.height, message.width, message.step
    check_size(width, height, max_pixels)
    row = width * channels * dtype.itemsize
    if step < row:
        raise ConversionError(f"step is {step} bytes, but a row of {width} {message.encoding} pixels takes {row}")
    if len(message.data) < step * (height - 1) + row:  # the last row may come without padding
        raise ConversionError(
            f"the image data is truncated: {len(message.data)} bytes "
            f"for {width}x{height} {message.encoding}, step {step}"
        )
    rows = np.ndarray((height, row), np.uint8, message.data, strides=(step, 1))
    pixels = np.ascontiguousarray(rows).view(dtype)
    if bool(message.is_bigendian) != (sys.byteorder == "big") and dtype.itemsize > 1:
        pixels = pixels.byteswap()
    return pixels if channels == 1 else pixels.reshape(height, width, channels)


def color_image(message: Image | SerializedImage | CompressedImage, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """uint8 [H,W,3] RGB of a raw or compressed colour image."""
    if isinstance(message, CompressedImage):
        return decode_color(bytes(message.data), message.format, max_pixels)
    if message.encoding not in _TO_RGB and message.encoding != "rgb8":
        names = ", ".join(["rgb8", *_TO_RGB])
        raise ConversionError(
            f'encoding "{message.encoding}" is no colour image that is understood; use one of {names}'
        )
    pixels = image_array(message, max_pixels)
    return pixels if message.encoding == "rgb8" else cv2.cvtColor(pixels, _TO_RGB[message.encoding])


def depth_image(
    message: Image | SerializedImage | CompressedImage, depth_scale: float, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """float32 [h,w] metres, 0 = no depth, of a raw or compressedDepth image.

    depth_scale: metres of one unit of a 16-bit image; 32FC1 is metres already.
    """
    if isinstance(message, CompressedImage):
        pixels = decode_depth(bytes(message.data), message.format, max_pixels)
    elif message.encoding in _DEPTH_ENCODINGS:
        pixels = image_array(message, max_pixels)
    else:
        raise ConversionError(
            f'encoding "{message.encoding}" is no depth image; use 16UC1 (millimetres) or 32FC1 (metres)'
        )
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) * np.float32(depth_scale)
    return np.where(np.isfinite(pixels) & (pixels > 0), pixels, np.float32(0))


def camera_of(message: CameraInfo, width: int, height: int) -> Camera:
    """The pinhole camera of a colour image of width x height pixels; K is used, distortion is not."""
    if not any(message.k):
        raise ConversionError("camera_info has no intrinsics (k is all zero): the camera is not calibrated")
    if (message.width, message.height) != (width, height):
        raise ConversionError(
            f"camera_info is for {message.width}x{message.height} pixels, the colour image has {width}x{height}"
        )
    try:
        return Camera(message.k[0], message.k[4], message.k[2], message.k[5], width, height)
    except ValueError as error:
        raise ConversionError(f"camera_info is not usable: {error}") from error
