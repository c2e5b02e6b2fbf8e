"""One camera of the node: its topics in, its frames, its topics out."""

from __future__ import annotations

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

from lisa_ros.node.frame_buffer import FrameBuffer
from lisa_ros.node.inputs import Inputs
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import Publishers

_JUMP_BACK = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)


class CameraPort:
    """Outputs from construction to `destroy`; inputs and buffer between `open` and `close`, None otherwise.

    name: of the parameter `cameras`; "" for the one whose topics have no prefix.
    """

    def __init__(self, node: Node, parameters: Parameters, name: str) -> None:
        self.name = name
        self.publishers = Publishers(node, name)
        self.inputs: Inputs | None = None
        self.buffer: FrameBuffer | None = None
        self._node, self._parameters = node, parameters
        self._jump_handle = None

    def open(self) -> None:
        """Listen to the camera."""
        buffer = FrameBuffer(self._parameters["buffer_size"])
        self.inputs, self.buffer = Inputs(self._node, self._parameters, buffer, self.name), buffer
        self._jump_handle = self._node.get_clock().create_jump_callback(
            _JUMP_BACK, post_callback=lambda jump: buffer.clear()
        )

    def close(self) -> None:
        """Stop listening, forget the frames."""
        if self._jump_handle is not None:
            self._jump_handle.unregister()
            self._jump_handle = None
        if self.inputs is not None:
            self.inputs.close()
        self.inputs = self.buffer = None

    def destroy(self) -> None:
        """Take the outputs off the network."""
        self.publishers.destroy()
