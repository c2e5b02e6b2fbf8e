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
from lisa_ros.node.messages import Detection3DArray

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
    """The messages of one answered query, all with the stamp of its colour image. None = not to be published.

    mask, camera_info, instances and overlay are in the image's frame; points, background, scene, detections and markers
    in the one that was asked for.
    """

    mask: Image
    instances: Image
    points: PointCloud2 | None = None
    camera_info: CameraInfo | None = None
    background: PointCloud2 | None = None
    scene: PointCloud2 | None = None
    detections: Detection3DArray | None = None
    overlay: Image | None = None
    markers: MarkerArray | None = None


class Publishers:
    """One publisher per output topic of one camera: `~/mask` and so on, `~/<camera>/mask` of a camera with a name.

    Detections exist only where vision_msgs is installed.
    """

    def __init__(self, node: Node, camera: str = "") -> None:
        self._node = node
        here = f"~/{camera}/" if camera else "~/"
        kinds = {
            "camera_info": CameraInfo,
            "mask": Image,
            "instances": Image,
            "points": PointCloud2,
            "background": PointCloud2,
            "scene": PointCloud2,
            "detections": Detection3DArray,
            "overlay": Image,
            "markers": MarkerArray,
        }
        self._by_name = {
            name: None if kind is None else create_output(node, kind, here + name) for name, kind in kinds.items()
        }

    def wants(self, name: str) -> bool:
        """Whether somebody listens to an output (a field of `Outputs`): some take milliseconds to make."""
        publisher = self._by_name[name]
        return publisher is not None and publisher.get_subscription_count() > 0

    def publish(self, outputs: Outputs) -> None:
        """Send all outputs of one query; the result comes after them."""
        for name, publisher in self._by_name.items():
            message = getattr(outputs, name)
            if message is not None and publisher is not None:
                publisher.publish(message)

    def destroy(self) -> None:
        """Take the topics off the network."""
        for publisher in filter(None, self._by_name.values()):
            self._node.destroy_publisher(publisher)


class ResultPublisher:
    """`~/result`: of all cameras, one for every query."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = create_output(node, SegmentationResult, "~/result", RESULT_DEPTH)

    def publish(self, result: SegmentationResult) -> None:
        """Send a result; its query's outputs have been sent."""
        self._publisher.publish(result)

    def destroy(self) -> None:
        """Take the topic off the network."""
        self._node.destroy_publisher(self._publisher)


def create_output(node: Node, kind: type, topic: str, depth: int = 1) -> Publisher:
    """A publisher as planners and late comers need it."""
    qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return node.create_publisher(kind, topic, qos, qos_overriding_options=overridable())
