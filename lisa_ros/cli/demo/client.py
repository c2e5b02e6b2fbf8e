"""The demo's own ROS node: asks over the query topic and collects what comes back, as any robot program would."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String

from lisa_ros.msg import SegmentationResult

STATUS_NAMES = {
    getattr(SegmentationResult, name): name
    for name in ("FOUND", "NOT_FOUND", "NO_FRAME", "NO_DEPTH", "NO_TRANSFORM", "CANCELLED", "REJECTED", "FAILED")
}
STATUSES_3D = {0: "LIFTED", 1: "NO_DEPTH", 2: "TOO_FEW_POINTS"}
WITH_MASK = ("FOUND", "NOT_FOUND", "NO_DEPTH", "NO_TRANSFORM")
"""Statuses that come with a mask."""


@dataclass
class Reply:
    """Everything that came back for one query, as numpy."""

    query: str
    results: list[SegmentationResult] = field(default_factory=list)
    seconds: float = 0.0
    """From publishing the query to receiving its result, in this process."""
    mask: np.ndarray | None = None
    """uint8 [H,W] as received."""
    instances: np.ndarray | None = None
    """uint16 [H,W] as received."""
    overlay: np.ndarray | None = None
    """uint8 [H,W,3] RGB."""
    points: np.ndarray | None = None
    """float32 [N,3], metres."""
    colors: np.ndarray | None = None
    """uint8 [N,3] RGB."""
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Header stamp of each message that came, by topic."""

    @property
    def result(self) -> SegmentationResult | None:
        """The first result, None when none came."""
        return self.results[0] if self.results else None

    @property
    def status(self) -> str:
        """Name of the result's status; "NO RESULT" when none came."""
        return STATUS_NAMES.get(self.result.status, str(self.result.status)) if self.result else "NO RESULT"


class Client:
    """Asks `/lisa/query` and listens to the node's outputs. Not thread-safe: it spins its node itself."""

    def __init__(self) -> None:
        rclpy.init()
        self._node = rclpy.create_node("lisa_demo")
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
        self._query = self._node.create_publisher(String, "/lisa/query", qos)
        self._results: list[SegmentationResult] = []
        self._last: dict[str, Any] = {}
        self._subscriptions = [self._node.create_subscription(SegmentationResult, "/lisa/result", self._results.append, qos)]
        for topic, kind in (("mask", Image), ("instances", Image), ("overlay", Image), ("points", PointCloud2)):
            keep = partial(self._last.__setitem__, topic)
            self._subscriptions.append(self._node.create_subscription(kind, f"/lisa/{topic}", keep, qos))

    def ready(self) -> bool:
        """True when the node listens to queries and every subscription has found its publisher."""
        matched = all(subscription.get_publisher_count() > 0 for subscription in self._subscriptions)
        return matched and self._query.get_subscription_count() > 0

    def spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Handle messages until the condition holds; False when it did not within that time."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            rclpy.spin_once(self._node, timeout_sec=min(left, 0.1))
        return True

    def ask(self, text: str, *, seconds: float, alive: Callable[[], bool] = lambda: True) -> Reply:
        """Publish one query, wait for its result and for the messages that belong to it.

        :param seconds: how long to wait for the result.
        :param alive: asked now and then; when it says False the wait ends.
        """
        reply = Reply(text)
        self._last.clear()
        self._results.clear()
        started = time.perf_counter()
        self._query.publish(String(data=text))
        self.spin_until(lambda: self._collect(reply) or not alive(), seconds)
        reply.seconds = time.perf_counter() - started
        if reply.result is not None:
            self.spin_until(lambda: self._complete(reply), 3.0)
            self._unpack(reply)
        return reply

    def late_results(self, reply: Reply) -> None:
        """Give a second result of a finished query the chance to show up (there must be none)."""
        self.spin_until(lambda: False, 0.2)
        self._collect(reply)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._node.destroy_node()
        rclpy.try_shutdown()

    def _collect(self, reply: Reply) -> bool:
        mine = [result for result in self._results if result.query == reply.query]
        self._results[:] = [result for result in self._results if result.query != reply.query]
        reply.results.extend(mine)
        return bool(reply.results)

    def _complete(self, reply: Reply) -> bool:
        wanted = {"mask", "instances", "overlay"} if reply.status in WITH_MASK else set()
        if any(instance.point_count for instance in reply.result.instances):
            wanted.add("points")
        stamp = _stamp(reply.result)
        return all(topic in self._last and _stamp(self._last[topic]) == stamp for topic in wanted)

    def _unpack(self, reply: Reply) -> None:
        reply.stamps = {topic: _stamp(message) for topic, message in self._last.items()}
        if "mask" in self._last:
            reply.mask = image_array(self._last["mask"])
        if "instances" in self._last:
            reply.instances = image_array(self._last["instances"])
        if "overlay" in self._last:
            reply.overlay = image_array(self._last["overlay"])
        if "points" in self._last:
            reply.points, reply.colors = cloud_arrays(self._last["points"])


def _stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def image_array(message: Image) -> np.ndarray:
    """An image message of the node's outputs as [H,W] or [H,W,3]; decoded here from the wire format on purpose, as a client would."""
    dtype, channels = {"mono8": (np.uint8, 1), "16UC1": (np.uint16, 1), "rgb8": (np.uint8, 3)}[message.encoding]
    order = ">" if message.is_bigendian else "<"
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    row_bytes = message.width * channels * np.dtype(dtype).itemsize
    pixels = np.ascontiguousarray(rows[:, :row_bytes]).view(np.dtype(dtype).newbyteorder(order)).astype(dtype)
    return pixels.reshape((message.height, message.width) if channels == 1 else (message.height, message.width, 3))


def cloud_arrays(message: PointCloud2) -> tuple[np.ndarray, np.ndarray]:
    """(points float32 [N,3], colors uint8 [N,3] RGB) of a cloud with the fields x, y, z, rgb."""
    offsets = {point_field.name: point_field.offset for point_field in message.fields}
    layout = np.dtype(
        {
            "names": ["x", "y", "z", "rgb"],
            "formats": ["<f4", "<f4", "<f4", "<u4"],
            "offsets": [offsets[name] for name in ("x", "y", "z", "rgb")],
            "itemsize": message.point_step,
        }
    )
    records = np.frombuffer(message.data, layout, count=message.width * message.height)
    points = np.stack([records["x"], records["y"], records["z"]], axis=1)
    packed = records["rgb"]
    colors = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    return points, colors
