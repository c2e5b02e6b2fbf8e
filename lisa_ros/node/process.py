"""What a ROS process of ours needs around its node: memory settings, signals, and an executor that leaves the main
thread free.
"""

from __future__ import annotations

import ctypes
import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20

SWITCH_SECONDS = 0.0005
"""How long one Python thread may keep another waiting. A query goes through three of them; Python's own 5 ms each are
more than the rest of the node's work on it.
"""


def keep_image_memory() -> None:
    """Let glibc reuse the memory of image messages instead of returning it to the kernel after each one.

    Measured at 30 Hz 1296x968 rgb8 + 640x480 16UC1: 38 % of a core without, 12 % with it; the difference is page
    faults. One arena for all threads: memory of a picture that one thread freed serves the next picture of any other.
    Other C libraries have no mallopt; then nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, 8 * _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_ARENA_MAX, 1)


@contextmanager
def ros_process(args: list[str] | None) -> Iterator[None]:
    """rclpy from init to shutdown; the first SIGINT or SIGTERM raises KeyboardInterrupt in the main thread.

    rclpy's own handler would shut the context down at once, and then the last results could not be published any more.
    The handlers are set explicitly because processes that a script started in the background ignore SIGINT.
    """
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.signal(signal.SIGTERM, _interrupt_once)
    keep_image_memory()
    sys.setswitchinterval(SWITCH_SECONDS)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        # A lifecycle node's state machine keeps its rcl node alive until the Python objects go; without a farewell on the
        # network others would go on talking to this process until its lease ends (20 s).
        gc.collect()
        rclpy.try_shutdown()


def _interrupt_once(number: int, frame: object) -> None:
    """A second signal must not cut the shutdown short: ros2 launch sends one right after a terminal's Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


class Spinning:
    """Executes a node's callbacks in a thread of its own, from construction to `stop`."""

    def __init__(self, node: Node) -> None:
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self.failure: BaseException | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="lisa-executor", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Block until the executor ends; interrupted by KeyboardInterrupt. Raises what a callback raised."""
        self.ended.wait()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """No more callbacks."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(1.0)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            self.failure = error
        finally:
            self.ended.set()
