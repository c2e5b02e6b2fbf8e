"""The bag's topics, frames and qualities of service: what a node must know to read one of our bags."""

from __future__ import annotations

from dataclasses import dataclass

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from lisa_ros.sources.bag import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, TF, TF_STATIC, TRANSFORMS

MAP_FRAME = "map"
"""The mesh's frame: metres, z up, as it was scanned (not aligned with the walls)."""

OPTICAL_FRAME = "camera_color_optical_frame"
"""Of colour and depth alike, as depth is registered: x right, y down, z forward (REP 103)."""

BODY_FRAME = "camera_link"
"""The same point, x forward, y left, z up."""

_FOREVER = QosTime(9223372036, 854775807)


@dataclass(frozen=True)
class Topic:
    """name, message type, and how many of its latest messages a player keeps. latched: late subscribers get them too."""

    name: str
    kind: str
    depth: int = 10
    latched: bool = False

    def qos(self) -> Qos:
        """As a Jazzy publisher offers it. A player that finds none offers volatile topics: no one would get /tf_static."""
        durability = QosDurability.TRANSIENT_LOCAL if self.latched else QosDurability.VOLATILE
        return Qos(
            QosHistory.KEEP_LAST, self.depth, QosReliability.RELIABLE, durability, _FOREVER, _FOREVER,
            QosLiveliness.AUTOMATIC, _FOREVER, False,
        )  # fmt: skip


STATIC_TRANSFORMS = Topic(TF_STATIC, TRANSFORMS, depth=1, latched=True)
POSES = Topic(TF, TRANSFORMS, depth=100)
COLOR_CAMERA = Topic("/color/camera_info", CAMERA_INFO)
DEPTH_CAMERA = Topic("/depth/camera_info", CAMERA_INFO)
COLOR_COMPRESSED = Topic("/color/image_raw/compressed", COMPRESSED_IMAGE)
COLOR_RAW = Topic("/color/image_raw", IMAGE)
DEPTH_COMPRESSED = Topic("/depth/image_raw/compressedDepth", COMPRESSED_IMAGE)
DEPTH_RAW = Topic("/depth/image_raw", IMAGE)
TRUE_INSTANCES = Topic("/truth/instance", IMAGE)
TRUE_LABELS = Topic("/truth/label", IMAGE)
