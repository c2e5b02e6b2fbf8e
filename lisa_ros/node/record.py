"""Writes the node's outputs into a bag: `ros2 run lisa_ros lisa_record --ros-args -p out:=answers`.

Ends on SIGINT or SIGTERM with a whole bag in OUT and status 0. When the bag cannot be written any more (disk full) it
ends with status 1; then there is no OUT, and OUT.part holds what was written until then.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult
from lisa_ros.node.process import Spinning, ros_process
from lisa_ros.node.publishers import RESULT_DEPTH, overridable
from lisa_ros.node.recording import Recording, RecordingError

OUTPUTS = {
    "result": SegmentationResult,
    "mask": Image,
    "camera_info": CameraInfo,
    "instances": Image,
    "points": PointCloud2,
    "background": PointCloud2,
    "markers": MarkerArray,
    "overlay": Image,
    "scene": PointCloud2,
}
"""Outputs of the node that can be recorded. Known in advance, so that the node makes those that it only makes for a
listener from its first answer on."""

NOT_BY_DEFAULT = ("scene",)  # as large as the depth image, and all in it is in points and background too
PROGRESS_SECONDS = 5.0
WATCH_SECONDS = 0.2
LAST_WORDS_SECONDS = 1.0
"""The same Ctrl-C stops the node, whose last results (CANCELLED) shall be in the bag, too."""

_DEPTH = 10


class RecordNode(Node):
    """Subscribes to `lisa/<topic>` for each of the parameter `topics`. Raises RecordingError."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("lisa_record", **node_options)
        default = [name for name in OUTPUTS if name not in NOT_BY_DEFAULT]
        out = self._declare("out", "", "New folder for the bag.")
        chosen = self._declare(
            "topics", default, f"Outputs to record: {', '.join(OUTPUTS)}; of a camera with a name wrist/mask, ..."
        )
        if not out:
            raise RecordingError("parameter out is empty: give a folder for the bag")
        if not chosen:
            raise RecordingError(f"parameter topics is empty: give some of {', '.join(OUTPUTS)}")
        for name in chosen:
            if _output(name) not in OUTPUTS:
                raise RecordingError(f'parameter topics: "{name}" is no output of the node; use {", ".join(OUTPUTS)}')
        self.topics = {self.resolve_topic_name(f"lisa/{name}"): OUTPUTS[_output(name)] for name in chosen}
        self.recording = Recording(out, {name: _type_name(kind) for name, kind in self.topics.items()})
        for name, kind in self.topics.items():
            depth = RESULT_DEPTH if kind is SegmentationResult else _DEPTH
            qos = QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self.create_subscription(
                kind, name, self._writer_of(name), qos, raw=True, qos_overriding_options=overridable()
            )
        self._told = 0
        self.create_timer(PROGRESS_SECONDS, self._tell)

    def _declare(self, name: str, default: Any, description: str) -> Any:
        return self.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=True)).value

    def _writer_of(self, topic: str):
        def write(serialized: bytes) -> None:
            self.recording.write(topic, self.get_clock().now().nanoseconds, serialized)

        return write

    def _tell(self) -> None:
        if self.recording.messages > self._told:
            self._told = self.recording.messages
            self.get_logger().info(f"recorded {self.described()}")

    def described(self) -> str:
        """How much was recorded."""
        return f"{self.recording.messages} messages, {self.recording.bytes / 1e6:.1f} MB"


def _output(name: str) -> str:
    """wrist/mask -> mask"""
    return name.rpartition("/")[2]


def _type_name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def main(args: list[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM (status 0); 1 when the bag cannot be written."""
    with ros_process(args):
        try:
            _record()
        except (RecordingError, ValueError) as error:
            print(f"lisa_record: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass  # before anything began
    return 0


def _record() -> None:
    # Noted, not raised: a second Ctrl-C, or launch's own SIGINT right behind it, must not cut the bag short.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: signals.append(number))
    node = RecordNode()
    spinning = Spinning(node)
    try:
        node.get_logger().info(f"ready: recording {', '.join(node.topics)} in {node.recording.out}")
        while not signals and not spinning.ended.wait(WATCH_SECONDS):
            pass
        spinning.ended.wait(LAST_WORDS_SECONDS)
        spinning.stop()
        if spinning.failure is not None:
            raise spinning.failure
        if node.recording.finish():
            node.get_logger().info(f"recorded {node.described()} in {node.recording.out}")
        else:
            node.get_logger().warning("no message arrived: there is no bag")
    finally:
        spinning.stop()
        node.destroy_node()


if __name__ == "__main__":
    sys.exit(main())
