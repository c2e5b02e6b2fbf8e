"""A camera made of files or synthetic scenes: publishes frames as a depth camera's driver would. `ros2 run lisa_ros
lisa_replay`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from lisa_ros.geometry import Frame
from lisa_ros.node import conversions, messages
from lisa_ros.node.process import Spinning, ros_process
from lisa_ros.node.publishers import overridable

SYNTHETIC_SPLIT = "test"
"""Replayed scenes are held out from training."""


class SourceError(ValueError):
    """The source cannot be read; the text says which and why."""


@dataclass
class ReplayedFrame:
    """The messages of one frame, made once."""

    color: Image
    depth: Image | None
    camera_info: CameraInfo | None
    stamp_ns: int


def read_source(source: str, count: int) -> list[Frame]:
    """Frames of "synthetic[:SEED]" (seeds SEED, SEED+1, ... of the held-out split), "arc2017", or a folder. Raises
    SourceError.
    """
    try:
        if source == "arc2017":
            from lisa_ros.sources.arc2017 import read_arc2017

            frames = [read_arc2017()[0]]
        elif source == "synthetic" or source.startswith("synthetic:"):
            frames = _synthetic(source.partition(":")[2] or "0", count)
        else:
            from lisa_ros.sources.folder import read_folder

            frames = list(read_folder(source))
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f'source "{source}" cannot be read: {error}') from error
    if not frames:
        raise SourceError(f'source "{source}" holds no frame')
    return frames


def _synthetic(seed: str, count: int) -> list[Frame]:
    from scannet_tools.synthetic import make_frame

    scenes = [make_frame(int(seed) + number, split=SYNTHETIC_SPLIT) for number in range(count)]
    return [
        Frame(scene.color, scene.camera, scene.depth.astype(np.float32), camera_to_world=scene.camera_to_world)
        for scene in scenes
    ]


def to_messages(frame: Frame, depth_encoding: str) -> ReplayedFrame:
    """A frame as its camera would send it: rgb8, depth in the encoding asked for (0 = no depth), camera_info without
    distortion.
    """
    header = Header(frame_id=frame.frame_id)
    color = messages.to_image(header, np.ascontiguousarray(frame.color), "rgb8")
    depth = None
    if frame.depth is not None:
        metres = np.where(np.isfinite(frame.depth) & (frame.depth > 0), frame.depth, np.float32(0))
        if depth_encoding == "16UC1":
            metres = np.round(np.minimum(metres * 1000.0, 65535)).astype(np.uint16)
        depth = messages.to_image(header, metres, depth_encoding)
    camera_info = None if frame.camera is None else messages.to_camera_info(header, frame.camera)
    return ReplayedFrame(color, depth, camera_info, frame.stamp_ns)


class ReplayNode(Node):
    """Publishes `color/image_raw`, `depth/image_raw` and `color/camera_info` at a rate."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("lisa_replay", **node_options)
        source = self._declare(
            "source",
            "synthetic",
            "synthetic, synthetic:SEED, arc2017, or a folder of colour + depth + camera JSON.",
            read_only=True,
        )
        count = self._declare("frames", 5, "Number of synthetic scenes.", 1, 1000, read_only=True)
        rate = self._declare("rate", 10.0, "Frames per second.", 0.01, 1000.0, read_only=True)
        self._loop = self._declare(
            "loop", True, "Start again after the last frame; otherwise stop publishing.", read_only=True
        )
        self._stamps = self._declare(
            "stamps", "fresh", "fresh: stamped when published; file: as recorded.", read_only=True
        )
        encoding = self._declare("depth_encoding", "16UC1", "16UC1 (millimetres) or 32FC1 (metres).", read_only=True)
        self._held = self._declare("hold_frame", -1, "Publish only this frame; -1 plays all.", -1, 1_000_000)
        for name, value, choices in (
            ("stamps", self._stamps, ("fresh", "file")),
            ("depth_encoding", encoding, ("16UC1", "32FC1")),
        ):
            if value not in choices:
                raise SourceError(f'parameter {name} must be one of {", ".join(choices)}, got "{value}"')
        self._frames = [to_messages(frame, encoding) for frame in read_source(source, count)]
        if self._held >= len(self._frames):
            raise SourceError(
                f"parameter hold_frame is {self._held}, but {source} has {len(self._frames)} frames (counted from 0)"
            )
        self._next = 0
        qos = QoSProfile(depth=5)
        self._color = self.create_publisher(Image, "color/image_raw", qos, qos_overriding_options=overridable())
        self._depth = self.create_publisher(Image, "depth/image_raw", qos, qos_overriding_options=overridable())
        self._camera_info = self.create_publisher(
            CameraInfo, "color/camera_info", qos, qos_overriding_options=overridable()
        )
        self.add_on_set_parameters_callback(self._on_parameters)
        self._timer = self.create_timer(1.0 / rate, self._publish)
        self.get_logger().info(
            f"ready: {len(self._frames)} frame(s) of {source} at {rate:g} Hz on {self._color.topic_name}"
        )

    def _declare(
        self,
        name: str,
        default: Any,
        description: str,
        low: float | None = None,
        high: float | None = None,
        *,
        read_only: bool = False,
    ) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=read_only)
        if isinstance(default, float) and low is not None:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif low is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        return self.declare_parameter(name, default, descriptor).value

    def _on_parameters(self, changed: Sequence[Parameter]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name == "hold_frame":
                if parameter.value >= len(self._frames):
                    reason = (
                        f"parameter hold_frame is {parameter.value}, "
                        f"but there are {len(self._frames)} frames (counted from 0)"
                    )
                    return SetParametersResult(successful=False, reason=reason)
                self._held = parameter.value
        return SetParametersResult(successful=True)

    def _publish(self) -> None:
        if self._held >= 0:
            frame = self._frames[self._held]
        else:
            if self._next == len(self._frames):
                if not self._loop:
                    self._timer.cancel()
                    self.get_logger().info("all frames published")
                    return
                self._next = 0
            frame = self._frames[self._next]
            self._next += 1
        stamp = self.get_clock().now().to_msg() if self._stamps == "fresh" else conversions.to_stamp(frame.stamp_ns)
        for publisher, message in (
            (self._camera_info, frame.camera_info),
            (self._depth, frame.depth),
            (self._color, frame.color),
        ):
            if message is not None:
                message.header.stamp = stamp
                publisher.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM (status 0); 1 when the source cannot be read."""
    try:
        with ros_process(args):
            try:
                node = ReplayNode()
            except (SourceError, ValueError) as error:
                print(f"lisa_replay: {error}", file=sys.stderr)
                return 1
            spinning = Spinning(node)
            try:
                spinning.wait()
            finally:
                spinning.stop()
                node.destroy_node()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
