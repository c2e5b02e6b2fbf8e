"""Plays the camera of a bag on the node's topics: messages go out as they were recorded, never deserialised, at the
recorded pace times `rate`.
"""

from __future__ import annotations

import time
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.node.conversions import ConversionError
from lisa_ros.node.publishers import overridable
from lisa_ros.node.restamping import restamped, restamped_transforms
from lisa_ros.sources.bag import (
    COMPRESSED_IMAGE,
    TF,
    TF_STATIC,
    TRANSFORMS,
    Bag,
    BagMessage,
    CameraTopics,
    camera_topics,
)

_SOON_NS = 1_000  # a timer needs a period, also for what is due already
_TF_DEPTH = 100


class BagPlayer:
    """Publishes from construction to `close`.

    camera: options of `camera_topics`. fresh: stamps count from now on, with the distances they had, over `rate`, so
    colour and depth stay a pair and /tf stays with them; otherwise they are as recorded.
    Raises ValueError when nothing can be read. A damaged bag raises ValueError later, out of the node's executor.
    """

    def __init__(self, node: Node, path: Path, camera: dict[str, str], *, rate: float, loop: bool, fresh: bool) -> None:
        self._node, self._path, self._rate, self._loop, self._fresh = node, path, rate, loop, fresh
        self._bag = Bag(path)
        self._publishers = self._open_topics(camera_topics(self._bag.topics, **camera))
        self._begin()
        if self._next is None:
            raise ValueError(f"the bag has no message on {', '.join(self._publishers)}")
        self._timer = node.create_timer(_SOON_NS / 1e9, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def describe(self) -> str:
        """Which topic of the bag goes where."""
        return ", ".join(f"{name} -> {publisher.topic_name}" for name, publisher in self._publishers.items())

    def hold(self, frame: int) -> None:
        """Only pictures can be held: raises ValueError for anything but -1."""
        if frame >= 0:
            raise ValueError(f"parameter hold_frame is {frame}, but a bag cannot be held; leave it at -1")

    def close(self) -> None:
        """Stop publishing."""
        self._node.destroy_timer(self._timer)
        self._bag.close()

    def _open_topics(self, topics: CameraTopics) -> dict[str, Publisher]:
        """{topic of the bag: publisher}"""
        found = {
            topics.color: ("color/image_raw", "/compressed"),
            topics.depth: ("depth/image_raw", "/compressedDepth"),
        }
        publishers = {}
        for name, (ours, transport) in found.items():
            if name and self._bag.topics[name] == COMPRESSED_IMAGE:
                publishers[name] = self._publisher(CompressedImage, ours + transport)
            elif name:
                publishers[name] = self._publisher(Image, ours)
        if topics.camera_info:
            publishers[topics.camera_info] = self._publisher(CameraInfo, "color/camera_info")
        if any(self._bag.topics.get(name) == TRANSFORMS for name in (TF, TF_STATIC)):
            publishers |= self._open_transforms()
        return publishers

    def _open_transforms(self) -> dict[str, Publisher]:
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self._node.get_logger().warning("the bag's /tf is left out: tf2_msgs is not installed")
            return {}
        static = QoSProfile(depth=_TF_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        return {
            name: self._node.create_publisher(TFMessage, name, qos, qos_overriding_options=overridable())
            for name, qos in ((TF, QoSProfile(depth=_TF_DEPTH)), (TF_STATIC, static))
            if name in self._bag.topics
        }

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self._node.create_publisher(kind, topic, QoSProfile(depth=5), qos_overriding_options=overridable())

    def _begin(self) -> None:
        self._messages = self._bag.messages(set(self._publishers))
        self._next = next(self._messages, None)
        self._started_ns = time.monotonic_ns()
        self._first_log_ns = self._next.stamp_ns if self._next else 0
        self._clock_start_ns = self._node.get_clock().now().nanoseconds
        self._first_stamp_ns: int | None = None

    def _on_timer(self) -> None:
        """One message a call, so that the executor stays free for others."""
        if self._next is None:
            if not self._loop:
                self._timer.cancel()
                self._node.get_logger().info("the whole bag was published")
                return
            self._begin()
        if self._wait_ns() <= 0:
            self._publish(self._next)
            self._next = next(self._messages, None)
        self._timer.timer_period_ns = max(self._wait_ns(), _SOON_NS)
        self._timer.reset()

    def _wait_ns(self) -> int:
        """How long until the next message is due."""
        if self._next is None:
            return 0
        due_ns = self._started_ns + round((self._next.stamp_ns - self._first_log_ns) / self._rate)
        return due_ns - time.monotonic_ns()

    def _publish(self, message: BagMessage) -> None:
        try:
            serialized = self._fresh_message(message) if self._fresh else message.serialized
        except ConversionError as error:
            raise ValueError(f"{self._path}: {message.topic}: the bag is damaged: {error}") from error
        self._publishers[message.topic].publish(serialized)

    def _fresh_message(self, message: BagMessage) -> bytes:
        if message.topic == TF_STATIC:
            return message.serialized  # such transforms hold at any time
        renew = restamped_transforms if message.topic == TF else restamped
        return renew(message.serialized, self._fresh_stamp)

    def _fresh_stamp(self, stamp_ns: int) -> int:
        """The first stamp of a pass becomes the time at which the pass began."""
        if self._first_stamp_ns is None:
            self._first_stamp_ns = stamp_ns
        return max(0, self._clock_start_ns + round((stamp_ns - self._first_stamp_ns) / self._rate))
