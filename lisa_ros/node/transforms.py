"""TF behind one door: where a frame lay in another at a stamp, whether tf2_ros is installed or only its message.

Opened only when transforms are needed: listening costs time with every message of every robot on the network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, JumpThreshold
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.time import Time

from lisa_ros.geometry import RigidTransform
from lisa_ros.node.publishers import overridable
from lisa_ros.node.transform_buffer import KEPT_NS, WARN_SECONDS, NoTransform, TransformBuffer, frame_name, no_transform
from lisa_ros.node.transform_messages import transforms_in

__all__ = ["NoTransform", "Transforms", "open_transforms"]

RETRY_SECONDS = 0.01
"""Between two looks while a lookup waits."""

READ_SECONDS = 0.2
"""Between two readings of the topics, with no lookup waiting. Each waking of the executor costs about 1.5 ms."""

TF_DEPTH = 1000
"""Messages kept between two readings: tf2_ros' 100 would be a fifth of a second on a busy robot."""

STATIC_DEPTH = 100


class Transforms:
    """What was on /tf and /tf_static in the last minute. A lookup that may wait belongs in a worker thread, as the
    node's executor takes part in listening.
    """

    def lookup(
        self,
        target: str,
        source: str,
        stamp_ns: int,
        *,
        timeout: float = 0.0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RigidTransform:
        """target_from_source at a stamp, interpolated, never extrapolated.

        Waits up to `timeout` seconds of wall time for transforms that are still on their way, less when `should_stop`
        says so. A frame in itself needs no transforms. Raises `NoTransform`, which names both frames and the reason.
        """
        target, source = frame_name(target), frame_name(source)
        if target == source:
            return RigidTransform.identity()
        end = time.monotonic() + timeout
        while True:
            try:
                return self._find(target, source, stamp_ns)
            except NoTransform:
                left = end - time.monotonic()
                if left <= 0 or should_stop():
                    raise
            time.sleep(min(left, RETRY_SECONDS))

    def close(self) -> None:
        """Stop listening."""

    def _find(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        raise NotImplementedError


def open_transforms(node: Node) -> Transforms:
    """Start listening with the best that is installed: tf2_ros, else our own buffer if tf2_msgs is there.

    With neither, every lookup says so.
    """
    try:
        import tf2_ros
    except ImportError:
        pass
    else:
        return _Tf2Transforms(node, tf2_ros)
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return _NotInstalled()
    return _OwnTransforms(node, TFMessage)


class _Tf2Transforms(Transforms):
    """tf2_ros' buffer and listener; the node's executor brings the messages, in the listener's own callback group."""

    def __init__(self, node: Node, tf2_ros: Any) -> None:
        self._failure = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(cache_time=Duration(nanoseconds=KEPT_NS))
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)
        self._jump_handle = _on_jump_back(node, self._buffer.clear)

    def close(self) -> None:
        self._jump_handle.unregister()
        self._listener.unregister()

    def _find(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        # tf2 takes time zero for "the latest", and an image without a stamp must not get that
        stamp = Time(nanoseconds=max(stamp_ns, 1))
        try:
            found = self._buffer.lookup_transform(target, source, stamp).transform
        except self._failure as error:
            raise NoTransform(f"{no_transform(target, source, stamp_ns)}: {error}") from error
        rotation, translation = found.rotation, found.translation
        return RigidTransform.from_quaternion(
            (rotation.x, rotation.y, rotation.z, rotation.w), (translation.x, translation.y, translation.z)
        )


class _OwnTransforms(Transforms):
    """Our buffer, filled from /tf and /tf_static.

    rclpy's executor spends half a millisecond on each message, whatever it holds. So it is not asked for these: they
    stay in the subscription's queue and are read all at once, some times a second and at each lookup. Measured with 500
    messages of 10 transforms a second: 52 % of a core with callbacks, 26 % with callbacks that get them serialized,
    9 % this way.
    """

    def __init__(self, node: Node, message_type: type) -> None:
        self._node, self._type = node, message_type
        self._buffer = TransformBuffer(node.get_logger().warning)
        self._reading = threading.Lock()
        # names and QoS as tf2_ros has them
        volatile = QoSProfile(depth=TF_DEPTH)
        kept = QoSProfile(depth=STATIC_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._topics = ((self._subscribe("/tf_static", kept), True), (self._subscribe("/tf", volatile), False))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # goes on when a simulated clock stands still
        self._timer = node.create_timer(READ_SECONDS, self._read, clock=steady)
        self._jump_handle = _on_jump_back(node, self._forget)

    def close(self) -> None:
        self._jump_handle.unregister()
        self._node.destroy_timer(self._timer)
        with self._reading:
            topics, self._topics = self._topics, ()
        for subscription, _ in topics:
            self._node.destroy_subscription(subscription)

    def _find(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        self._read()
        return self._buffer.lookup(target, source, stamp_ns)

    def _read(self) -> None:
        """Take over what came since the last time; one thread at a time, so that messages keep their order."""
        with self._reading:
            for subscription, static in self._topics:
                for _ in range(TF_DEPTH):
                    if (serialized := self._take(subscription)) is None:
                        break
                    self._add(serialized, static)

    def _forget(self) -> None:
        """The clock jumped: what waits in the queues is from before the jump as well."""
        self._read()
        self._buffer.clear()

    def _take(self, subscription: Subscription) -> bytes | None:
        """As the executor takes a message."""
        with subscription.handle:
            taken = subscription.handle.take_message(self._type, True)
        return None if taken is None else taken[0]

    def _add(self, serialized: bytes, static: bool) -> None:
        try:
            for parent, child, stamp_ns, pose in transforms_in(serialized):
                self._buffer.add(parent, child, stamp_ns, pose, static)
        except ValueError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=WARN_SECONDS)

    def _subscribe(self, topic: str, qos: QoSProfile) -> Subscription:
        return self._node.create_subscription(
            self._type,
            topic,
            lambda serialized: self._add(serialized, topic == "/tf_static"),
            qos,
            raw=True,
            callback_group=_LeftToUs(),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=overridable(),
        )


class _LeftToUs(ReentrantCallbackGroup):
    """Keeps a subscription out of the executor's wait set."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False


class _NotInstalled(Transforms):
    """No TF on this machine."""

    def _find(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        raise NoTransform(
            f"{no_transform(target, source, stamp_ns)}: neither tf2_ros nor tf2_msgs is installed; install "
            "ros-jazzy-tf2-ros-py, or leave target_frame empty"
        )


def _on_jump_back(node: Node, clear: Callable[[], None]) -> Any:
    """Call `clear` when the node's clock jumps back or changes; returns the handle to unregister."""
    threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
    return node.get_clock().create_jump_callback(threshold, post_callback=lambda jump: clear())
