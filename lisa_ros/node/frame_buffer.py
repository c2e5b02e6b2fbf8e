"""The newest camera messages, as they came; paired by stamp when somebody asks for a frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TIME_JUMP_NS = 500_000_000
"""A stamp this much older than the one before it means that time jumped back (bag loop, simulation reset)."""


STOP_PERIOD = 0.05
"""Seconds between two looks at whether a waiting reader is still wanted."""


@dataclass(frozen=True, eq=False)
class Received:
    """One message as received. stamp_ns: its header's stamp. arrived: time.monotonic()."""

    message: Any
    stamp_ns: int
    arrived: float


@dataclass(frozen=True)
class Pair:
    """What belongs to one frame: colour, and depth when there is one whose stamp is near enough, and the newest
    camera_info.

    stamp_gap_ns: distance to the nearest depth message that was too far away; None when there is none at all.
    """

    color: Received
    depth: Received | None
    camera_info: Received | None
    stamp_gap_ns: int | None = None


class FrameBuffer:
    """Bounded, thread-safe, and unimpressed by time that jumps back: order of arrival decides what is new."""

    def __init__(self, size: int) -> None:
        self._colors: deque[Received] = deque(maxlen=size)
        self._depths: deque[Received] = deque(maxlen=size)
        self._camera_info: Received | None = None
        self._first_color: float | None = None
        self._changed = threading.Condition()

    def add_color(self, message: Any, stamp_ns: int) -> None:
        """Keep a colour image."""
        self._add(self._colors, message, stamp_ns)

    def add_depth(self, message: Any, stamp_ns: int) -> None:
        """Keep a depth image."""
        self._add(self._depths, message, stamp_ns)

    def add_camera_info(self, message: Any, stamp_ns: int) -> None:
        """Keep the newest camera_info; it need not carry a frame's stamp, cameras that publish it once exist."""
        with self._changed:
            self._camera_info = Received(message, stamp_ns, time.monotonic())
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget all images (time jumped)."""
        with self._changed:
            self._colors.clear()
            self._depths.clear()

    def newest(
        self, tolerance_ns: int, *, timeout: float = 0.0, should_stop: Callable[[], bool] = lambda: False
    ) -> Pair | None:
        """The newest colour image that has a depth partner, else the newest colour image.

        Waits up to `timeout` seconds for a first colour image (None when none came), and, as topics of one camera are
        discovered one
        after the other, until `timeout` after that first image for the first depth and camera_info. Later calls do not
        wait.
        """
        with self._changed:
            self._wait(lambda: bool(self._colors), time.monotonic() + timeout, should_stop)
            if not self._colors:
                return None
            self._wait(lambda: bool(self._depths and self._camera_info), self._first_color + timeout, should_stop)
            for color in reversed(self._colors):
                depth = min(self._depths, key=lambda depth: abs(depth.stamp_ns - color.stamp_ns), default=None)
                if depth is not None and abs(depth.stamp_ns - color.stamp_ns) <= tolerance_ns:
                    return Pair(color, depth, self._camera_info)
            color = self._colors[-1]
            gaps = [abs(depth.stamp_ns - color.stamp_ns) for depth in self._depths]
            return Pair(color, None, self._camera_info, min(gaps, default=None))

    def _wait(self, condition: Callable[[], bool], end: float, should_stop: Callable[[], bool]) -> None:
        while not condition() and not should_stop() and (left := end - time.monotonic()) > 0:
            self._changed.wait(min(left, STOP_PERIOD))

    def _add(self, queue: deque[Received], message: Any, stamp_ns: int) -> None:
        with self._changed:
            if queue and stamp_ns < queue[-1].stamp_ns - TIME_JUMP_NS:
                self._colors.clear()
                self._depths.clear()
            received = Received(message, stamp_ns, time.monotonic())
            queue.append(received)
            if queue is self._colors and self._first_color is None:
                self._first_color = received.arrived
            self._changed.notify_all()
