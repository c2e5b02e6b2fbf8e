"""The topics of one camera: raw messages go into the frame buffer; whatever keeps frames from coming is noticed and said,
with its cause.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.node.complaints import Listening, Offer, Situation, complaints
from lisa_ros.node.conversions import ConversionError, serialized_stamp_ns
from lisa_ros.node.frame_buffer import FrameBuffer
from lisa_ros.node.listener import Listener, NotByExecutor
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import overridable
from lisa_ros.node.traffic import Pairing, Traffic, pairing

WATCH_SECONDS = 1.0
WARN_SECONDS = 10.0
SIMILAR_TOPICS = 3

COLOR = {"raw": ("color/image_raw", Image), "compressed": ("color/image_raw/compressed", CompressedImage)}
DEPTH = {"raw": ("depth/image_raw", Image), "compressed": ("depth/image_raw/compressedDepth", CompressedImage)}
OTHER = {"raw": "compressed", "compressed": "raw"}


def sensor_data() -> QoSProfile:
    """SensorDataQoS, a new one each time: an override is written into the profile, and rclpy's own is shared by
    everybody. Less deep than that one's 5: the listener takes messages as they come, and Fast DDS never gives back
    the memory of the deepest queue that there once was.
    """
    return QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class TopicReport:
    """How an input topic is doing. rate: Hz. silence: seconds without a message. age: seconds since the newest stamp by
    the node's clock; None while there is none. complaint: what is wrong, empty when all is well.
    """

    topic: str
    count: int
    rate: float
    silence: float
    age: float | None
    complaint: str


@dataclass(frozen=True)
class CameraReport:
    """How a camera's topics are doing: colour, depth, camera_info, in this order."""

    camera: str
    topics: list[TopicReport]
    pairing: Pairing


@dataclass(eq=False)
class _Input:
    """One subscription. switch: parameter and value for the other coding of the same images, and the topic and type
    where those come; None for topics that have but one.
    """

    subscription: Subscription
    receive: Callable[[bytes], None]
    type: type
    traffic: Traffic
    switch: tuple[str, str, str, type] | None = None
    warned: float = -math.inf
    complaint: str = ""

    @property
    def topic(self) -> str:
        return self.subscription.topic_name


class Inputs:
    """Subscriptions to colour, depth and camera_info of one camera; with a name all topics are below it
    ("wrist/color/image_raw"). Messages stay serialized: only a query needs them as pixels.
    """

    def __init__(self, node: Node, parameters: Parameters, buffer: FrameBuffer, camera: str = "") -> None:
        self.camera = camera
        self._node, self._parameters = node, parameters
        self._group = NotByExecutor()
        self._color = self._open_image("color_transport", COLOR, buffer.add_color)
        self._depth = self._open_image("depth_transport", DEPTH, buffer.add_depth)
        self._camera_info = self._open(CameraInfo, self._below("color/camera_info"), buffer.add_camera_info)
        self._all = (self._color, self._depth, self._camera_info)
        self.color_type, self.depth_type = self._color.type, self._depth.type
        self.color_topic, self.depth_topic = self._color.topic, self._depth.topic
        self.camera_info_topic = self._camera_info.topic
        self._pairing = Pairing(0, 0)
        self._listener = Listener(node, [(one.subscription, one.receive) for one in self._all])
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock that stands still must not stop the watch
        self._timer = node.create_timer(WATCH_SECONDS, self._watch, clock=steady)

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        self._listener.close()
        for one in self._all:
            self._node.destroy_subscription(one.subscription)

    def report(self) -> CameraReport:
        """How things are, for diagnostics; pairing and complaints are those of the newest look, a second ago at most."""
        now, clock = time.monotonic(), self._now_ns()
        topics = []
        for one in self._all:
            last, traffic = one.traffic.last, one.traffic
            age = None if last is None else (clock - last[1]) / 1e9
            topics.append(
                TopicReport(one.topic, traffic.count, traffic.rate(now), traffic.silence(now), age, one.complaint)
            )
        return CameraReport(self.camera, topics, self._pairing)

    # ---- subscriptions ----
    def _below(self, topic: str) -> str:
        return f"{self.camera}/{topic}" if self.camera else topic

    def _open_image(
        self, parameter: str, transports: dict[str, tuple[str, type]], store: Callable[[bytes, int], None]
    ) -> _Input:
        chosen = self._parameters[parameter]
        topic, kind = transports[chosen]
        one = self._open(kind, self._below(topic), store)
        other_topic, other_kind = transports[OTHER[chosen]]
        one.switch = (parameter, OTHER[chosen], self._node.resolve_topic_name(self._below(other_topic)), other_kind)
        return one

    def _open(self, kind: type, topic: str, store: Callable[[bytes, int], None]) -> _Input:
        traffic = Traffic(time.monotonic())

        def receive(serialized: bytes) -> None:
            try:
                stamp = serialized_stamp_ns(serialized)
            except ConversionError as error:
                name = self._node.resolve_topic_name(topic)
                self._node.get_logger().warning(f"{name}: {error}", throttle_duration_sec=WARN_SECONDS)
                return
            traffic.note(stamp)
            store(serialized, stamp)

        subscription = self._node.create_subscription(
            kind,
            topic,
            receive,
            sensor_data(),
            raw=True,
            callback_group=self._group,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),  # `_watch` sees more than they do
            qos_overriding_options=overridable(),
        )
        return _Input(subscription, receive, kind, traffic)

    # ---- the watch ----
    def _watch(self) -> None:
        """Say of every topic what is wrong with it, once in a while."""
        now, tolerance = time.monotonic(), round(self._parameters["sync_tolerance"] * 1e9)
        kept = self._parameters["buffer_size"]
        self._pairing = pairing(self._color.traffic, self._depth.traffic, tolerance, kept, now)
        found = complaints(self._situation(now))
        for one in self._all:
            one.complaint = found.get(one.topic, "")
            if one.complaint and now - one.warned >= WARN_SECONDS:
                one.warned = now
                self._node.get_logger().warning(one.complaint)

    def _situation(self, now: float) -> Situation:
        parameters = self._parameters
        return Situation(
            *(self._listening(one, now) for one in self._all),
            pairing=self._pairing,
            input_timeout=parameters["input_timeout"],
            sync_tolerance=parameters["sync_tolerance"],
            buffer_size=parameters["buffer_size"],
            use_sim_time=self._node.get_parameter("use_sim_time").value,
            clock_runs=self._now_ns() > 0,
        )

    def _listening(self, one: _Input, now: float) -> Listening:
        last, silence = one.traffic.last, one.traffic.silence(now)
        age = None if last is None else (self._now_ns() - last[1]) / 1e9 - (now - last[0])
        listening = {"topic": one.topic, "type": type_name(one.type), "silence": silence, "count": one.traffic.count}
        if silence < self._parameters["input_timeout"]:
            return Listening(**listening, age=age)  # all is well: the network need not be asked
        offers = [_offer(info) for info in self._node.get_publishers_info_by_topic(one.topic)]
        reliable, durable = self._asked(one)
        return Listening(
            **listening,
            age=age,
            offers=offers,
            reliable=reliable,
            durable=durable,
            similar=() if offers else self._similar(one),
            switch=("", "") if offers else self._switch(one),
        )

    def _asked(self, one: _Input) -> tuple[bool, bool]:
        """Whether the subscription wants reliable and transient local, as the network knows it: a profile may say
        "system default".
        """
        own = (self._node.get_name(), self._node.get_namespace())
        for info in self._node.get_subscriptions_info_by_topic(one.topic):
            if (info.node_name, info.node_namespace) == own:
                return _strict(info)
        return False, False

    def _similar(self, one: _Input) -> list[str]:
        """The topics of this type with a publisher whose names are most alike; none of the node's own, none in use."""
        own, used = self._node.get_fully_qualified_name() + "/", [another.topic for another in self._all]
        names = [
            name
            for name, types in self._node.get_topic_names_and_types()
            if type_name(one.type) in types and name not in used and not name.startswith(own)
        ]
        alike = sorted(names, key=lambda name: -difflib.SequenceMatcher(None, name, one.topic).ratio())
        return [name for name in alike if self._node.count_publishers(name)][:SIMILAR_TOPICS]

    def _switch(self, one: _Input) -> tuple[str, str]:
        if one.switch is None:
            return "", ""
        parameter, value, topic, kind = one.switch
        published = any(info.topic_type == type_name(kind) for info in self._node.get_publishers_info_by_topic(topic))
        return (parameter, value) if published else ("", "")

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds


def type_name(kind: type) -> str:
    """As in "sensor_msgs/msg/Image"."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _offer(info: TopicEndpointInfo) -> Offer:
    node = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    return Offer(node, info.topic_type, *_strict(info))


def _strict(info: TopicEndpointInfo) -> tuple[bool, bool]:
    """Whether an endpoint is reliable, and whether it is transient local."""
    qos = info.qos_profile
    return qos.reliability == ReliabilityPolicy.RELIABLE, qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
