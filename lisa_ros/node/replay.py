"""A camera made of files, synthetic scenes or a bag: publishes frames as a depth camera's driver would. `ros2 run
lisa_ros lisa_replay`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from lisa_ros.node.bag_player import BagPlayer
from lisa_ros.node.frame_player import FramePlayer, read_source
from lisa_ros.node.process import Spinning, ros_process
from lisa_ros.sources.bag import is_bag

FRAME_RATE = 10.0
"""Frames a second of pictures, when the parameter rate is 0."""


class SourceError(ValueError):
    """The source cannot be played; the text says which and why."""


class ReplayNode(Node):
    """Publishes `color/image_raw`, `depth/image_raw` and `color/camera_info`, of a bag also in their compressed forms,
    /tf and /tf_static. Services: `~/pause` (SetBool: true stops, false goes on) and `~/step` (Trigger: one frame more,
    then paused). Raises SourceError.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("lisa_replay", **node_options)
        source = self._declare(
            "source",
            "synthetic",
            "synthetic, synthetic:SEED, arc2017, a folder of colour + depth + camera JSON, a bag (folder or file).",
        )
        count = self._declare("frames", 5, "Number of synthetic scenes.", 1, 1000)
        rate = self._declare(
            "rate",
            0.0,
            "Pictures: frames per second, 0 = 10. Bags: how many times faster than recorded, 0 = 1.",
            0.0,
            1000.0,
        )
        loop = self._declare("loop", True, "Start again after the last frame; otherwise stop publishing.")
        stamps = self._declare("stamps", "fresh", "fresh: stamped when published; file: as recorded.")
        encoding = self._declare("depth_encoding", "16UC1", "Of pictures: 16UC1 (millimetres) or 32FC1 (metres).")
        hold = self._declare(
            "hold_frame", -1, "Publish only this picture; -1 plays all.", -1, 1_000_000, read_only=False
        )
        clock = self._declare("clock", 0.0, "Of bags: Hz of /clock, the time of recording; 0: none.", 0.0, 1000.0)
        paused = self._declare("paused", False, "Begin paused; the services pause and step go on.")
        camera = {
            name: self._declare(f"{name}_topic", "", f"The bag's {name} topic; empty: found by its name.")
            for name in ("color", "depth", "camera_info")
        }
        for name, value, choices in (
            ("stamps", stamps, ("fresh", "file")),
            ("depth_encoding", encoding, ("16UC1", "32FC1")),
        ):
            if value not in choices:
                raise SourceError(f'parameter {name} must be one of {", ".join(choices)}, got "{value}"')
        fresh = stamps == "fresh"
        try:
            if is_bag(source):
                self._player = BagPlayer(self, source, camera, rate=rate or 1.0, loop=loop, fresh=fresh, clock=clock)
                self._player.hold(hold)
            elif clock:
                raise ValueError("parameter clock is for bags; pictures have no time of recording: leave it at 0")
            else:
                self._player = FramePlayer(
                    self,
                    read_source(source, count),
                    rate=rate or FRAME_RATE,
                    loop=loop,
                    fresh=fresh,
                    encoding=encoding,
                    hold=hold,
                )
        except (OSError, ValueError, ImportError) as error:
            raise SourceError(f'source "{source}" cannot be played: {error}') from error
        self._player.pause(paused)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/step", self._on_step)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.get_logger().info(f"ready: {source}: {self._player.describe()}")

    def close(self) -> None:
        """Stop publishing."""
        self._player.close()

    def _declare(
        self,
        name: str,
        default: Any,
        description: str,
        low: float | None = None,
        high: float | None = None,
        *,
        read_only: bool = True,
    ) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=read_only)
        if isinstance(default, float) and low is not None:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif low is not None:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        return self.declare_parameter(name, default, descriptor).value

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._player.pause(request.data)
        response.success, response.message = True, "paused" if request.data else "playing"
        return response

    def _on_step(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._player.step()
        response.message = "one frame was published" if response.success else "everything was published"
        return response

    def _on_parameters(self, changed: Sequence[Parameter]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name == "hold_frame":
                try:
                    self._player.hold(parameter.value)
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def main(args: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM (status 0); 1 when the source cannot be read, from the start or further on."""
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
            except ValueError as error:  # a damaged bag
                print(f"lisa_replay: {error}", file=sys.stderr)
                return 1
            finally:
                spinning.stop()
                node.close()
                node.destroy_node()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
