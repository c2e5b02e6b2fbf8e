"""The process of the node: `ros2 run lisa_ros lisa_node`, exit status 0 after SIGINT or SIGTERM, 1 when it could not
start.
"""

from __future__ import annotations

import logging
import sys
import time

import cv2
from rclpy.lifecycle import TransitionCallbackReturn

from lisa_ros.node.lisa_node import EngineFactory, LisaNode, load_engine
from lisa_ros.node.parameters import ParameterError
from lisa_ros.node.process import Spinning, ros_process

FAREWELL_SECONDS = 0.5


def main(args: list[str] | None = None, *, engine_factory: EngineFactory = load_engine) -> int:
    """Run the node until SIGINT or SIGTERM."""
    cv2.setNumThreads(1)  # one target's window is small: waking other cores for it takes longer than the work
    try:
        with ros_process(args):
            return _run(engine_factory)
    except KeyboardInterrupt:
        return 0


def _run(engine_factory: EngineFactory) -> int:
    try:
        node = LisaNode(engine_factory=engine_factory)
    except ParameterError as error:
        print(f"lisa_node: {error}", file=sys.stderr)
        return 1
    spinning = Spinning(node)
    try:
        if node.parameters["autostart"] and not _start(node):
            return 1
        spinning.wait()
        return 0
    except KeyboardInterrupt:
        node.get_logger().info("stopping")
        return 0
    except Exception:
        logging.getLogger("lisa_node").exception("the node ends because of an error in a callback")
        return 1
    finally:
        node.close()
        end = time.monotonic() + FAREWELL_SECONDS
        while node.busy() and time.monotonic() < end:
            time.sleep(0.01)  # the executor sends the last answers of action and service
        spinning.stop()
        node.free()
        node.destroy_node()


def _start(node: LisaNode) -> bool:
    """Configure and activate; the reason of a failure is in the log already."""
    success = TransitionCallbackReturn.SUCCESS
    return node.trigger_configure() == success and node.trigger_activate() == success


if __name__ == "__main__":
    sys.exit(main())
