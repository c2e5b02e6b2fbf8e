"""ROS messages as bytes (CDR), made without ROS. Stamps in nanoseconds, lengths in metres, frames as in topics.py."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from lisa_ros.geometry import Camera, RigidTransform
from lisa_ros.sources.bag import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, TRANSFORMS
from scannet_tools.bag.topics import OPTICAL_FRAME

_NUMPY_ENCODINGS = {"rgb8": (np.uint8, 3), "16UC1": (np.uint16, 1), "mono16": (np.uint16, 1)}


@cache
def message_types() -> Typestore:
    """Definitions of Jazzy's messages."""
    return get_typestore(Stores.ROS2_JAZZY)


def image(stamp_ns: int, pixels: np.ndarray, encoding: str) -> bytes:
    """sensor_msgs/Image of uint8 [H,W,3] ("rgb8") or uint16 [H,W] ("16UC1", "mono16")."""
    kind, channels = _NUMPY_ENCODINGS[encoding]
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels, np.dtype(kind).newbyteorder("<")).view(np.uint8).reshape(-1)
    step = width * channels * np.dtype(kind).itemsize
    return _serialized(IMAGE, _header(stamp_ns), height, width, encoding, 0, step, data)


def compressed_image(stamp_ns: int, data: bytes, format: str) -> bytes:
    """sensor_msgs/CompressedImage; format: as image_transport's plugins name it, such as "rgb8; jpeg compressed bgr8"."""
    return _serialized(COMPRESSED_IMAGE, _header(stamp_ns), format, np.frombuffer(data, np.uint8))


def camera_info(stamp_ns: int, camera: Camera) -> bytes:
    """sensor_msgs/CameraInfo of a camera without distortion."""
    region = _new("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
    projection = np.hstack([camera.matrix, np.zeros((3, 1))])
    return _serialized(
        CAMERA_INFO, _header(stamp_ns), camera.height, camera.width, "plumb_bob", np.zeros(5),
        camera.matrix.reshape(-1), np.eye(3).reshape(-1), projection.reshape(-1), 0, 0, region,
    )  # fmt: skip


def transforms(stamp_ns: int, links: Sequence[tuple[str, str, RigidTransform]]) -> bytes:
    """tf2_msgs/TFMessage of (frame, child frame, frame_from_child)."""
    stamped = []
    for frame, child, frame_from_child in links:
        shift = _new("geometry_msgs/msg/Vector3", *map(float, frame_from_child.translation))
        turn = _new("geometry_msgs/msg/Quaternion", *map(float, frame_from_child.quaternion()))
        transform = _new("geometry_msgs/msg/Transform", shift, turn)
        stamped.append(_new("geometry_msgs/msg/TransformStamped", _header(stamp_ns, frame), child, transform))
    return _serialized(TRANSFORMS, stamped)


def _header(stamp_ns: int, frame: str = OPTICAL_FRAME) -> object:
    return _new("std_msgs/msg/Header", _new("builtin_interfaces/msg/Time", *divmod(stamp_ns, 1_000_000_000)), frame)


def _new(kind: str, *fields: object) -> object:
    return message_types().types[kind](*fields)


def _serialized(kind: str, *fields: object) -> bytes:
    return bytes(message_types().serialize_cdr(_new(kind, *fields), kind))
