"""The node's outputs. Reliable and transient local, so planners and late comers get them; every QoS can be overridden
by parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult

RESULT_DEPTH = 1000
"""Results that a slow reader may lag behind: with depth 1 a burst of cancelled queries would overwrite results not yet
delivered.
"""

_POLICIES = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def overridable() -> QoSOverridingOptions:
    """Lets parameters `qos_overrides.<topic>.<publisher|subscription>.<policy>` change an endpoint's QoS at start."""
    return QoSOverridingOptions(policy_kinds=_POLICIES)


@dataclass
class Outputs:
    """The messages of one answered query, all with the header of its colour image. None = not to be published."""

    mask: Image
    instances: Image
    points: PointCloud2 | None = None
    camera_info: CameraInfo | None = None
    overlay: Image | None = None
    markers: MarkerArray | None = None


class Publishers:
    """One publisher per output topic."""

    def __init__(self, node: Node, camera: str = "") -> None:
        self._node = node
        self._all: list[Publisher] = []
        self.mask = self._add(Image, (f"~/{camera}/" if camera else "~/")+"mask")
        self.camera_info = self._add(CameraInfo, "~/camera_info")
        self.instances = self._add(Image, "~/instances")
        self.points = self._add(PointCloud2, "~/points")
        self.overlay = self._add(Image, "~/overlay")
        self.markers = self._add(MarkerArray, "~/markers")

    def wants_detections(self): return False
    def wants_background(self): return False
    def wants_scene(self): return False
    def wants_overlay(self) -> bool:
        """Whether somebody listens; drawing costs milliseconds."""
        return self.overlay.get_subscription_count() > 0

    def wants_markers(self) -> bool:
        """Whether somebody listens."""
        return self.markers.get_subscription_count() > 0

    def publish(self, outputs: Outputs) -> None:
        """Send all outputs of one query; the result comes after them."""
        for publisher, message in (
            (self.camera_info, outputs.camera_info),
            (self.mask, outputs.mask),
            (self.instances, outputs.instances),
            (self.points, outputs.points),
            (self.overlay, outputs.overlay),
            (self.markers, outputs.markers),
        ):
            if message is not None:
                publisher.publish(message)

    def destroy(self) -> None:
        """Take the topics off the network."""
        for publisher in self._all:
            self._node.destroy_publisher(publisher)

    def _add(self, kind: type, topic: str, depth: int = 1) -> Publisher:
        qos = QoSProfile(
            depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        publisher = self._node.create_publisher(kind, topic, qos, qos_overriding_options=overridable())
        self._all.append(publisher)
        return publisher

class ResultPublisher:
    def __init__(self, node):
        self._node=node
        qos = QoSProfile(depth=RESULT_DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._p=node.create_publisher(SegmentationResult, "~/result", qos, qos_overriding_options=overridable())
    def publish(self, m): self._p.publish(m)
    def destroy(self): self._node.destroy_publisher(self._p)
