"""Plays the camera of a bag on the node's topics: messages go out as they were recorded, never deserialised, at the
recorded pace times `rate`, or one frame at a time.
"""

from __future__ import annotations

import time
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.node.conversions import ConversionError, to_stamp
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
    colour and depth stay a pair and /tf stays with them; otherwise they are as recorded. clock: Hz of /clock, 0 = none;
    it shows the time of recording, so stamps must not be fresh.
    Raises ValueError when nothing can be read. A damaged bag raises ValueError later, out of the node's executor.
    """

    def __init__(
        self,
        node: Node,
        path: Path,
        camera: dict[str, str],
        *,
        rate: float,
        loop: bool,
        fresh: bool,
        clock: float = 0.0,
    ) -> None:
        if clock and fresh:
            raise ValueError("/clock shows the time of recording: set parameter stamps to file")
        self._node, self._path, self._rate, self._loop, self._fresh = node, path, rate, loop, fresh
        self._bag = Bag(path)
        topics = camera_topics(self._bag.topics, **camera)
        self._color = topics.color
        self._publishers = self._open_topics(topics)
        self._paused_at_ns: int | None = None
        self._begin()
        if self._next is None:
            raise ValueError(f"the bag has no message on {', '.join(self._publishers)}")
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_SOON_NS / 1e9, self._on_timer, clock=steady)
        self._clock_publisher = node.create_publisher(ClockMessage, "/clock", 10) if clock else None
        self._clock_timer = node.create_timer(1 / clock, self._tell_time, clock=steady) if clock else None

    def describe(self) -> str:
        """Which topic of the bag goes where."""
        return ", ".join(f"{name} -> {publisher.topic_name}" for name, publisher in self._publishers.items())

    def hold(self, frame: int) -> None:
        """Only pictures can be held: raises ValueError for anything but -1."""
        if frame >= 0:
            raise ValueError(f"parameter hold_frame is {frame}, but a bag cannot be held; leave it at -1")

    def pause(self, paused: bool) -> None:
        """Stop, /clock with it; or go on from there."""
        if paused and self._paused_at_ns is None:
            self._paused_at_ns = self._time_ns()
        elif not paused and self._paused_at_ns is not None:
            self._go_on_from(self._paused_at_ns)

    def step(self) -> bool:
        """Publish what comes up to the next colour image and all of its time, paused or not until now; then stay
        paused. False when the bag is over (and does not loop).
        """
        if self._next is None and self._loop:
            self._begin()
        until_ns = None
        while self._next is not None and (until_ns is None or self._next.stamp_ns <= until_ns):
            if self._next.topic == self._color:
                until_ns = self._next.stamp_ns
            self._paused_at_ns = self._next.stamp_ns
            self._publish(self._next)
            self._next = next(self._messages, None)
        return until_ns is not None

    def close(self) -> None:
        """Stop publishing."""
        self._node.destroy_timer(self._timer)
        if self._clock_timer is not None:
            self._node.destroy_timer(self._clock_timer)
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
        self._first_log_ns = self._next.stamp_ns if self._next else 0
        self._last_log_ns = self._first_log_ns
        self._started_ns = time.monotonic_ns()
        if self._paused_at_ns is not None:
            self._paused_at_ns = self._first_log_ns
        self._clock_start_ns = self._node.get_clock().now().nanoseconds
        self._first_stamp_ns: int | None = None

    def _on_timer(self) -> None:
        """One message a call, so that the executor stays free for others."""
        if self._paused_at_ns is not None:
            self._timer.cancel()
            return
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

    def _go_on_from(self, time_ns: int) -> None:
        self._paused_at_ns = None
        self._started_ns = time.monotonic_ns() - round((time_ns - self._first_log_ns) / self._rate)
        self._timer.timer_period_ns = _SOON_NS
        self._timer.reset()

    def _time_ns(self) -> int:
        """The bag's time: what was recorded until then has been published."""
        if self._paused_at_ns is not None:
            return self._paused_at_ns
        if self._next is None:
            return self._last_log_ns
        passed_ns = round((time.monotonic_ns() - self._started_ns) * self._rate)
        return min(self._first_log_ns + passed_ns, self._next.stamp_ns)

    def _tell_time(self) -> None:
        if self._clock_publisher is not None:
            self._clock_publisher.publish(ClockMessage(clock=to_stamp(self._time_ns())))

    def _publish(self, message: BagMessage) -> None:
        if message.stamp_ns != self._last_log_ns:
            self._last_log_ns = message.stamp_ns
            self._tell_time()  # before what is of that time: nothing comes from the future
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
