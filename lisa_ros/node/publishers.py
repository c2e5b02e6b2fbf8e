"""The node's outputs. Reliable and transient local, so planners and late comers get them; every QoS can be overridden
by parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult

try:
    from vision_msgs.msg import Detection3DArray
except ImportError:  # part of a ROS distribution, not of the wheels
    Detection3DArray = None

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
    """The messages of one answered query, all with the stamp of its colour image, in the order in which they are sent.
    None = not to be published.
    """

    camera_info: CameraInfo | None = None
    mask: Image | None = None
    instances: Image | None = None
    points: PointCloud2 | None = None
    background: PointCloud2 | None = None
    scene: PointCloud2 | None = None
    overlay: Image | None = None
    markers: MarkerArray | None = None
    detections: Any = None


TYPES = {
    "camera_info": CameraInfo,
    "mask": Image,
    "instances": Image,
    "points": PointCloud2,
    "background": PointCloud2,
    "scene": PointCloud2,
    "overlay": Image,
    "markers": MarkerArray,
}
"""Message type by the name of an output, which is also the name of its topic."""


class Publishers:
    """The output topics of one camera: "~/mask", or "~/<camera>/mask" when it has a name."""

    def __init__(self, node: Node, camera: str = "") -> None:
        self._node = node
        types = TYPES if Detection3DArray is None else TYPES | {"detections": Detection3DArray}
        prefix = f"~/{camera}/" if camera else "~/"
        self._all = {name: _publisher(node, kind, prefix + name, 1) for name, kind in types.items()}

    def wants(self, output: str) -> bool:
        """Whether somebody listens; some outputs cost milliseconds."""
        return output in self._all and self._all[output].get_subscription_count() > 0

    def publish(self, outputs: Outputs) -> None:
        """Send all outputs of one query; the result comes after them."""
        for field in fields(outputs):
            message = getattr(outputs, field.name)
            if message is not None and field.name in self._all:
                self._all[field.name].publish(message)

    def destroy(self) -> None:
        """Take the topics off the network."""
        for publisher in self._all.values():
            self._node.destroy_publisher(publisher)


class ResultPublisher:
    """`~/result`, for all cameras."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = _publisher(node, SegmentationResult, "~/result", RESULT_DEPTH)

    def publish(self, result: SegmentationResult) -> None:
        """Send the one result of a request."""
        self._publisher.publish(result)

    def destroy(self) -> None:
        """Take the topic off the network."""
        self._node.destroy_publisher(self._publisher)


def _publisher(node: Node, kind: type, topic: str, depth: int) -> Publisher:
    qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return node.create_publisher(kind, topic, qos, qos_overriding_options=overridable())
