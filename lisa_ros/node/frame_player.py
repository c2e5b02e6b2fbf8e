"""Plays pictures on the node's camera topics: frames of files or synthetic scenes, made into messages once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from lisa_ros.geometry import Frame
from lisa_ros.node import conversions, messages
from lisa_ros.node.publishers import overridable

SYNTHETIC_SPLIT = "test"
"""Replayed scenes are held out from training."""


@dataclass
class ReplayedFrame:
    """The messages of one frame, made once."""

    color: Image
    depth: Image | None
    camera_info: CameraInfo | None
    stamp_ns: int


def read_source(source: str, count: int) -> list[Frame]:
    """Frames of "synthetic[:SEED]" (seeds SEED, SEED+1, ... of the held-out split), "arc2017", or a folder.

    Raises OSError, ValueError or ImportError.
    """
    if source == "arc2017":
        from lisa_ros.sources.arc2017 import read_arc2017

        return [read_arc2017()[0]]
    if source == "synthetic" or source.startswith("synthetic:"):
        return _synthetic(source.partition(":")[2] or "0", count)
    from lisa_ros.sources.folder import read_folder

    return list(read_folder(source))


def _synthetic(seed: str, count: int) -> list[Frame]:
    from scannet_tools.synthetic import make_frame

    scenes = [make_frame(int(seed) + number, split=SYNTHETIC_SPLIT) for number in range(count)]
    return [
        Frame(scene.color, scene.camera, scene.depth.astype(np.float32), camera_to_world=scene.camera_to_world)
        for scene in scenes
    ]


def to_messages(frame: Frame, depth_encoding: str) -> ReplayedFrame:
    """A frame as its camera would send it: rgb8, depth in the encoding asked for (0 = no depth), camera_info without
    distortion.
    """
    header = Header(frame_id=frame.frame_id)
    color = messages.to_image(header, np.ascontiguousarray(frame.color), "rgb8")
    depth = None
    if frame.depth is not None:
        metres = np.where(np.isfinite(frame.depth) & (frame.depth > 0), frame.depth, np.float32(0))
        if depth_encoding == "16UC1":
            metres = np.round(np.minimum(metres * 1000.0, 65535)).astype(np.uint16)
        depth = messages.to_image(header, metres, depth_encoding)
    camera_info = None if frame.camera is None else messages.to_camera_info(header, frame.camera)
    return ReplayedFrame(color, depth, camera_info, frame.stamp_ns)


class FramePlayer:
    """Publishes from construction to `close`, `rate` frames a second. `hold`: publish only this frame, -1 all of them.

    Raises ValueError when there is no frame, or not that many.
    """

    def __init__(
        self, node: Node, frames: list[Frame], *, rate: float, loop: bool, fresh: bool, encoding: str, hold: int
    ) -> None:
        if not frames:
            raise ValueError("there is no frame")
        self._node, self._loop, self._fresh = node, loop, fresh
        self._frames = [to_messages(frame, encoding) for frame in frames]
        self._next = 0
        self.hold(hold)
        qos = QoSProfile(depth=5)
        self._color = node.create_publisher(Image, "color/image_raw", qos, qos_overriding_options=overridable())
        self._depth = node.create_publisher(Image, "depth/image_raw", qos, qos_overriding_options=overridable())
        self._camera_info = node.create_publisher(
            CameraInfo, "color/camera_info", qos, qos_overriding_options=overridable()
        )
        self._timer = node.create_timer(1.0 / rate, self._publish)

    def describe(self) -> str:
        """What goes where."""
        return f"{len(self._frames)} frame(s) on {self._color.topic_name}"

    def hold(self, frame: int) -> None:
        """From now on publish only this frame; -1: all. Raises ValueError."""
        if frame >= len(self._frames):
            raise ValueError(
                f"parameter hold_frame is {frame}, but there are {len(self._frames)} frames (counted from 0)"
            )
        self._held = frame

    def pause(self, paused: bool) -> None:
        """Stop, or go on."""
        if paused:
            self._timer.cancel()
        else:
            self._timer.reset()

    def step(self) -> bool:
        """Publish the next frame, then stay paused. False when all were published."""
        self._timer.cancel()
        return self._publish()

    def close(self) -> None:
        """Stop publishing."""
        self._node.destroy_timer(self._timer)

    def _publish(self) -> bool:
        if self._held >= 0:
            frame = self._frames[self._held]
        else:
            if self._next == len(self._frames):
                if not self._loop:
                    self._timer.cancel()
                    self._node.get_logger().info("all frames published")
                    return False
                self._next = 0
            frame = self._frames[self._next]
            self._next += 1
        stamp = self._node.get_clock().now().to_msg() if self._fresh else conversions.to_stamp(frame.stamp_ns)
        for publisher, message in (
            (self._camera_info, frame.camera_info),
            (self._depth, frame.depth),
            (self._color, frame.color),
        ):
            if message is not None:
                message.header.stamp = stamp
                publisher.publish(message)
        return True
