"""Small camera bags for tests, written by rosbags without ROS."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)
WIDTH, HEIGHT = 160, 120
START_NS = 1_600_000_000_000_000_000
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, TRANSFORMS = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"


def write_bag(path: Path, messages: list[tuple[str, str, int, bytes]], plugin=StoragePlugin.MCAP) -> Path:
    """A bag of (topic, type, log time, CDR)."""
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for topic, kind, stamp_ns, data in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], stamp_ns, data)
    return path


def header(stamp_ns: int, frame_id: str = "camera"):
    time = TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    return TYPES.types["std_msgs/msg/Header"](time, frame_id)


def image(stamp_ns: int, pixels: np.ndarray, encoding: str) -> bytes:
    step = pixels.strides[0]
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    message = TYPES.types[IMAGE](header(stamp_ns), pixels.shape[0], pixels.shape[1], encoding, 0, step, data)
    return bytes(TYPES.serialize_cdr(message, IMAGE))


def jpeg(stamp_ns: int, rgb: np.ndarray) -> bytes:
    data = cv2.imencode(".jpg", rgb[:, :, ::-1])[1].reshape(-1)
    message = TYPES.types[COMPRESSED](header(stamp_ns), "rgb8; jpeg compressed bgr8", data)
    return bytes(TYPES.serialize_cdr(message, COMPRESSED))


def camera_info(stamp_ns: int) -> bytes:
    k = np.array([120.0, 0, 79.5, 0, 120.0, 59.5, 0, 0, 1])
    region = TYPES.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    p = np.array([120.0, 0, 79.5, 0, 0, 120.0, 59.5, 0, 0, 0, 1, 0])
    message = TYPES.types[CAMERA_INFO](
        header(stamp_ns), HEIGHT, WIDTH, "plumb_bob", np.zeros(5), k, np.eye(3).reshape(-1), p, 0, 0, region
    )
    return bytes(TYPES.serialize_cdr(message, CAMERA_INFO))


def transforms(*stamped: tuple[int, str, str]) -> bytes:
    """A TFMessage of (stamp, frame, child)."""
    vector, quaternion = TYPES.types["geometry_msgs/msg/Vector3"], TYPES.types["geometry_msgs/msg/Quaternion"]
    list_of = [
        TYPES.types["geometry_msgs/msg/TransformStamped"](
            header(stamp_ns, frame),
            child,
            TYPES.types["geometry_msgs/msg/Transform"](vector(1.0, 2.0, 3.0), quaternion(0.0, 0.0, 0.0, 1.0)),
        )
        for stamp_ns, frame, child in stamped
    ]
    return bytes(TYPES.serialize_cdr(TYPES.types[TRANSFORMS](list_of), TRANSFORMS))


def red_box() -> np.ndarray:
    """Grey with a red rectangle, which ColorEngine finds."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[40:80, 50:110] = (255, 0, 0)
    return picture


def camera_messages(frames: int, prefix: str = "/camera", step_ns: int = 50_000_000) -> list:
    """A RealSense-like recording: static TF, then TF, colour, registered depth and camera_info for each frame, logged
    20 ms after their stamp."""
    late = 20_000_000
    messages = [("/tf_static", TRANSFORMS, START_NS, transforms((START_NS, "camera_link", "camera")))]
    for number in range(frames):
        stamp = START_NS + number * step_ns
        logged = stamp + late
        messages += [
            ("/tf", TRANSFORMS, logged, transforms((stamp, "map", "base"), (stamp - 1000, "base", "camera_link"))),
            (f"{prefix}/color/camera_info", CAMERA_INFO, logged, camera_info(stamp)),
            (
                f"{prefix}/aligned_depth_to_color/image_raw", IMAGE, logged,
                image(stamp, np.full((HEIGHT, WIDTH), 1000 + number, np.uint16), "16UC1"),
            ),
            (f"{prefix}/color/image_raw", IMAGE, logged, image(stamp, red_box(), "rgb8")),
        ]  # fmt: skip
    return messages
