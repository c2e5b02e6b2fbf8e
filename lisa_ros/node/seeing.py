"""What a request is about: messages of a camera or of the request itself become a frame, and what is missing is named."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from lisa_ros.engine.segmentation import Cancelled
from lisa_ros.geometry import Frame
from lisa_ros.node import conversions
from lisa_ros.node.camera_port import CameraPort
from lisa_ros.node.conversions import ConversionError
from lisa_ros.node.frame_buffer import Pair, Received
from lisa_ros.node.inputs import Inputs
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.requests import Request
from lisa_ros.node.serialized_image import SerializedImage
from lisa_ros.perception import Status

NEXT_FRAME_SECONDS = 0.2
"""How long a standing query waits for a frame before others get their turn."""


class Refused(Exception):
    """The request ends here with this status and this message."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Seen:
    """A frame as numpy, with what its outputs need: header, camera_info as received, and why something is missing.

    key: identifies the colour message for reuse of its encoding; None = never reuse.
    """

    frame: Frame
    header: Header
    camera_info: CameraInfo | None = None
    missing: list[str] = field(default_factory=list)
    key: Received | None = None
    remark: str = ""


class Seeing:
    """Frames for requests. now_ns: the node's clock."""

    def __init__(self, parameters: Parameters, now_ns: Callable[[], int]) -> None:
        self._parameters, self._now_ns = parameters, now_ns

    def next_pair(self, port: CameraPort, than: Pair | None, should_stop: Callable[[], bool]) -> Pair | None:
        """The newest pair that came after `than`; None when none comes within a moment."""
        if (buffer := port.buffer) is None:
            return None
        newest = than.color if than is not None else None
        return buffer.wait_newer(newest, self._tolerance_ns(), timeout=NEXT_FRAME_SECONDS, should_stop=should_stop)

    def camera_frame(self, request: Request, port: CameraPort) -> Seen:
        """The frame of a camera that the request is about: the one it names, else the newest. Raises Refused."""
        inputs, buffer, parameters = port.inputs, port.buffer, self._parameters
        if inputs is None or buffer is None:
            raise Refused(Status.NO_FRAME, "the node is not active")
        pair = request.frame or buffer.newest(
            self._tolerance_ns(), timeout=parameters["frame_timeout"], should_stop=lambda: request.cancelled
        )
        if request.cancelled:
            raise Cancelled
        if pair is None:
            raise Refused(Status.NO_FRAME, f"no image has arrived on {inputs.color_topic}")
        age = (self._now_ns() - pair.color.stamp_ns) / 1e9
        max_age = request.max_age or parameters["max_age"]
        if max_age and age > max_age:
            raise Refused(
                Status.NO_FRAME,
                f"the newest image on {inputs.color_topic} is {age:.2f} s old; max_age is {max_age:g} s",
            )
        try:
            message = conversions.deserialized(pair.color.message, inputs.color_type)
            color = conversions.color_image(message, parameters["max_image_pixels"])
        except ConversionError as error:
            raise Refused(Status.FAILED, f"{inputs.color_topic}: {error}") from error
        depth: Image | SerializedImage | CompressedImage | str = self._why_no_depth(pair, inputs)
        if pair.depth is not None:
            depth = _read(pair.depth, inputs.depth_type, inputs.depth_topic)
        camera_info: CameraInfo | str = f"no message has arrived on {inputs.camera_info_topic}"
        if pair.camera_info is not None:
            camera_info = _read(pair.camera_info, CameraInfo, inputs.camera_info_topic)
        names = {"depth": inputs.depth_topic, "camera_info": inputs.camera_info_topic}
        seen = self._assemble(color, message.header, depth, camera_info, names)
        seen.key = pair.color
        silence = time.monotonic() - pair.color.arrived
        if silence > parameters["input_timeout"]:
            seen.remark = f"the newest image on {inputs.color_topic} arrived {silence:.1f} s ago"
        return seen

    def own_frame(self, image: Any) -> Seen:
        """The frame that a SegmentImage request brings along. Raises Refused when its colour cannot be read."""
        try:
            color = conversions.color_image(image.color, self._parameters["max_image_pixels"])
        except ConversionError as error:
            raise Refused(Status.REJECTED, f"color: {error}") from error
        has_depth, has_camera = len(image.depth.data) > 0, any(image.camera_info.k)
        return self._assemble(
            color,
            image.color.header,
            image.depth if has_depth else "the request has no depth image",
            image.camera_info if has_camera else "the request has no camera_info",
            {"depth": "depth", "camera_info": "camera_info"},
        )

    def _tolerance_ns(self) -> int:
        return round(self._parameters["sync_tolerance"] * 1e9)

    def _why_no_depth(self, pair: Pair, inputs: Inputs) -> str:
        if pair.stamp_gap_ns is None:
            return f"no depth image has arrived on {inputs.depth_topic}"
        gap = pair.stamp_gap_ns / 1e9
        where = f"the nearest image on {inputs.depth_topic} is {gap:.3f} s away from the colour image"
        return f"{where}; sync_tolerance is {self._parameters['sync_tolerance']:g} s"

    def _assemble(
        self,
        color: Any,
        header: Header,
        depth: Image | SerializedImage | CompressedImage | str,
        camera_info: CameraInfo | str,
        names: dict[str, str],
    ) -> Seen:
        """A frame of what is there; a text in place of a message says why it is not."""
        missing, camera, pixels = [], None, None
        height, width = color.shape[:2]
        if isinstance(camera_info, str):
            missing.append(camera_info)
        else:
            try:
                camera = conversions.camera_of(camera_info, width, height)
            except ConversionError as error:
                missing.append(f"{names['camera_info']}: {error}")
        if isinstance(depth, str):
            missing.append(depth)
        else:
            try:
                pixels = conversions.depth_image(
                    depth, self._parameters["depth_scale"], self._parameters["max_image_pixels"]
                )
                Frame(color, depth=pixels)
            except ValueError as error:
                missing.append(f"{names['depth']}: {error}")
                pixels = None
        stamp = conversions.stamp_ns(header.stamp)
        frame = Frame(color, camera, pixels, stamp, header.frame_id)
        info = None
        if camera is not None:
            info, info.header = camera_info, header
        return Seen(frame, header, info, missing)


def _read(received: Received, kind: type, topic: str) -> Any:
    """A message, or the text that says why it cannot be read."""
    try:
        return conversions.deserialized(received.message, kind)
    except ConversionError as error:
        return f"{topic}: {error}"
