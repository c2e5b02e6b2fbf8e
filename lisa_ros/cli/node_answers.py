"""Asks a running node about pictures, one after the other, over its service `~/segment_image`."""

from __future__ import annotations

import array
import os
import sys
import time
from collections.abc import Sequence

import numpy as np
import rclpy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from lisa_ros.cli.demo.client import STATUS_NAMES, cloud_arrays, image_array
from lisa_ros.geometry import Camera, Frame
from lisa_ros.srv import SegmentImage
from scannet_tools.evaluation.engine_answers import FrameReplies, FrameReply

FOUND_NODE_SECONDS = 10.0
ANSWER_SECONDS = 300.0
ANSWERED = ("FOUND", "NOT_FOUND", "NO_DEPTH")


class NodeAnswers:
    """A client of one node, as a context manager. Its answers have the form of `scannet_tools.evaluation.engine_answers`.

    node: the node's full name, e.g. "/lisa". mode: "mask" or "chat".

    Attributes:
        model, device: as the node's last answer names them; "" before the first.

    Raises:
        ValueError: no such node answers.
    """

    def __init__(self, node: str = "/lisa", mode: str = "mask") -> None:
        self._mode, self._service = mode, f"{node}/segment_image"
        self.model = self.device = ""
        rclpy.init()
        self._node = rclpy.create_node(f"scannet_evaluate_{os.getpid()}")
        self._client = self._node.create_client(SegmentImage, self._service)
        if not self._client.wait_for_service(FOUND_NODE_SECONDS):
            self.close()
            raise ValueError(
                f"no node answers at {self._service} within {FOUND_NODE_SECONDS:.0f} s; start one with ros2 launch "
                "lisa_ros lisa.launch.py, or name it with --node"
            )

    def __enter__(self) -> NodeAnswers:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the ROS graph."""
        self._node.destroy_node()
        rclpy.try_shutdown()

    def ask(self, frame: Frame, questions: Sequence[str]) -> FrameReplies:
        """Answers about a frame with depth and camera. seconds: "round trip", from each request to its answer here.

        Raises:
            ValueError: the node did not answer a question; says why.
        """
        request = SegmentImage.Request(mode=self._mode)
        header = Header(frame_id=frame.frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(frame.stamp_ns, 1_000_000_000)
        request.color = _image(header, frame.color, "rgb8")
        request.depth = _image(header, frame.depth, "32FC1")
        request.camera_info = _camera_info(header, frame.camera)
        said = FrameReplies([], {"round trip": []})
        for question in questions:
            request.query = question
            begun = time.perf_counter()
            response = self._call(request)
            said.seconds["round trip"].append(time.perf_counter() - begun)
            said.replies.append(self._reply(frame, response))
        return said

    def _call(self, request: SegmentImage.Request) -> SegmentImage.Response:
        future = self._client.call_async(request)
        rclpy.spin_until_future_complete(self._node, future, timeout_sec=ANSWER_SECONDS)
        if not future.done():
            raise ValueError(f"{self._service}: no answer within {ANSWER_SECONDS:.0f} s to: {request.query}")
        return future.result()

    def _reply(self, frame: Frame, response: SegmentImage.Response) -> FrameReply:
        result = response.result
        status = STATUS_NAMES.get(result.status, str(result.status))
        if status not in ANSWERED:
            raise ValueError(f'{self._service}: {status} for "{result.query}": {result.message}')
        self.model, self.device = result.model, result.device
        points = np.zeros((0, 3), np.float32)
        if response.points.width:
            if response.points.header.frame_id != frame.frame_id:
                raise ValueError(
                    f"{self._service}: the points are in {response.points.header.frame_id}; leave the node's parameter "
                    "target_frame empty"
                )
            points, _ = cloud_arrays(response.points)
        return FrameReply(image_array(response.mask) > 0, points, result.target_probability)


def _image(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """Pixels [H,W] or [H,W,3] as a message."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=pixels[0].nbytes)
    message.is_bigendian = sys.byteorder == "big"
    message.data = array.array("B", pixels.tobytes())  # rclpy copies any other type byte by byte
    return message


def _camera_info(header: Header, camera: Camera) -> CameraInfo:
    """A camera without distortion."""
    message = CameraInfo(header=header, width=camera.width, height=camera.height, distortion_model="plumb_bob")
    message.d, message.k, message.r = [0.0] * 5, camera.matrix.reshape(-1), np.eye(3).reshape(-1)
    message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1)
    return message
