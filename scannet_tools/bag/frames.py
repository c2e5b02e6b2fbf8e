"""The frames of a bag that `write_bag` wrote, read in code: no player, no ROS, every frame on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import yaml

from lisa_ros.geometry import Camera, Frame, RigidTransform
from lisa_ros.sources.bag import COMPRESSED_IMAGE, IMAGE, TF, Bag, BagMessage
from lisa_ros.sources.encoded_images import decode_color, decode_depth
from scannet_tools.bag.messages import message_types
from scannet_tools.bag.topics import (
    COLOR_CAMERA,
    COLOR_COMPRESSED,
    COLOR_RAW,
    DEPTH_COMPRESSED,
    DEPTH_RAW,
    MAP_FRAME,
    OPTICAL_FRAME,
)

MAX_PIXELS = 25_000_000
"""Larger pictures are refused."""

_TOPICS = {topic.name for topic in (COLOR_COMPRESSED, COLOR_RAW, DEPTH_COMPRESSED, DEPTH_RAW, COLOR_CAMERA)} | {TF}


def scene_of(path: str | Path) -> str:
    """The name of the scene that a bag was written of; "" where no metadata.yaml says.

    Raises:
        OSError, ValueError: there is no such bag, or its metadata cannot be read.
    """
    path = Path(path)
    if path.is_file():  # a lone .mcap has no metadata beside it
        return ""
    try:
        metadata = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
        return str((metadata["rosbag2_bagfile_information"].get("custom_data") or {}).get("scannet_scene", ""))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path / 'metadata.yaml'}: not a bag's metadata: {error}; write the bag again") from error


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Every frame in the order of its stamps; without a pose where the bag has none for it.

    Raises:
        ValueError: it is no bag, it is damaged, or a frame lacks colour, depth or camera_info; names it.
    """
    with Bag(path) as bag:
        for stamp_ns, messages in groupby(bag.messages(_TOPICS), key=lambda message: message.stamp_ns):
            yield _frame(path, stamp_ns, {message.topic: message for message in messages}, bag.topics)


def _frame(path: str | Path, stamp_ns: int, messages: dict[str, BagMessage], kinds: dict[str, str]) -> Frame:
    """The frame of the messages of one stamp."""

    def read(*topics: str) -> object:
        for topic in topics:
            if topic in messages:
                return message_types().deserialize_cdr(messages[topic].serialized, kinds[topic])
        raise ValueError(f"{path}: there is no message on {' or '.join(topics)} at {stamp_ns} ns; write the bag again")

    info = read(COLOR_CAMERA.name)
    k = info.k
    return Frame(
        _color(read(COLOR_COMPRESSED.name, COLOR_RAW.name)),
        Camera(k[0], k[4], k[2], k[5], info.width, info.height),
        _depth(read(DEPTH_COMPRESSED.name, DEPTH_RAW.name)),
        stamp_ns=stamp_ns,
        frame_id=info.header.frame_id,
        camera_to_world=_pose(read(TF)) if TF in messages else None,
    )


def _color(message: object) -> np.ndarray:
    """uint8 [H,W,3] RGB."""
    if message.__msgtype__ == COMPRESSED_IMAGE:
        return decode_color(message.data.tobytes(), message.format, MAX_PIXELS)
    return message.data.reshape(message.height, message.width, 3)


def _depth(message: object) -> np.ndarray:
    """float32 [h,w] metres."""
    if message.__msgtype__ == IMAGE:
        millimetres = message.data.view("<u2").reshape(message.height, message.width)
    else:
        millimetres = decode_depth(message.data.tobytes(), message.format, MAX_PIXELS)
    return millimetres.astype(np.float32) * np.float32(0.001)


def _pose(message: object) -> np.ndarray | None:
    """float64 [4,4] of the camera in the map; None when the message is about other frames."""
    for stamped in message.transforms:
        if (stamped.header.frame_id, stamped.child_frame_id) == (MAP_FRAME, OPTICAL_FRAME):
            turn, shift = stamped.transform.rotation, stamped.transform.translation
            map_from_camera = RigidTransform.from_quaternion(
                (turn.x, turn.y, turn.z, turn.w), (shift.x, shift.y, shift.z)
            )
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = map_from_camera.rotation, map_from_camera.translation
            return pose
    return None
