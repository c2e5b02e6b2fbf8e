"""The camera topics: raw messages go into the frame buffer; silence is noticed and said, with the topic's name."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.node.conversions import ConversionError, serialized_stamp_ns
from lisa_ros.node.frame_buffer import FrameBuffer
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import overridable

WATCH_SECONDS = 1.0
WARN_SECONDS = 10.0


def sensor_data() -> QoSProfile:
    """SensorDataQoS, a new one each time: an override is written into the profile, and rclpy's own is shared by
    everybody.
    """
    return QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Inputs:
    """Subscriptions to colour, depth and camera_info. Messages stay serialized: only a query needs them as pixels."""

    def __init__(self, node: Node, parameters: Parameters, buffer: FrameBuffer) -> None:
        self._node, self._parameters = node, parameters
        compressed = parameters["color_transport"] == "compressed"
        self.color_type = CompressedImage if compressed else Image
        self._opened = time.monotonic()
        self._arrived: dict[str, float] = {}
        self._warned: dict[str, float] = {}
        self._subscriptions: list[Subscription] = []
        color_topic = "color/image_raw/compressed" if compressed else "color/image_raw"
        self.color_topic = self._add(self.color_type, color_topic, buffer.add_color)
        self.depth_topic = self._add(Image, "depth/image_raw", buffer.add_depth)
        self.camera_info_topic = self._add(CameraInfo, "color/camera_info", buffer.add_camera_info)
        self._timer = node.create_timer(WATCH_SECONDS, self._watch)

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def silences(self) -> dict[str, float]:
        """Seconds since the last message (or since opening), by topic."""
        now = time.monotonic()
        return {
            subscription.topic_name: now - self._arrived.get(subscription.topic_name, self._opened)
            for subscription in self._subscriptions
        }

    def _add(self, kind: type, topic: str, store: Callable[[bytes, int], None]) -> str:
        name = self._node.resolve_topic_name(topic)

        def receive(serialized: bytes) -> None:
            try:
                store(serialized, serialized_stamp_ns(serialized))
            except ConversionError as error:
                self._node.get_logger().warning(f"{name}: {error}", throttle_duration_sec=WARN_SECONDS)
                return
            self._arrived[name] = time.monotonic()

        subscription = self._node.create_subscription(
            kind, topic, receive, sensor_data(), raw=True, qos_overriding_options=overridable()
        )
        self._subscriptions.append(subscription)
        return name

    def _watch(self) -> None:
        """Name every topic that is silent, once in a while."""
        now = time.monotonic()
        for topic, silence in self.silences().items():
            if (
                silence < self._parameters["input_timeout"]
                or now - self._warned.get(topic, -WARN_SECONDS) < WARN_SECONDS
            ):
                continue
            self._warned[topic] = now
            publishers = self._node.count_publishers(topic)
            since = "since the node was activated" if topic not in self._arrived else f"for {silence:.1f} s"
            hint = (
                "nobody publishes it"
                if publishers == 0
                else f"{publishers} publisher(s): silent, or their QoS does not fit (see warnings above)"
            )
            self._node.get_logger().warning(f"no message on {topic} {since}: {hint}")
