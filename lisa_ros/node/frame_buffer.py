"""The newest camera messages, as they came; paired by stamp when somebody asks for a frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

TIME_JUMP_NS = 500_000_000
"""A stamp this much older than the one before it means that time jumped back (bag loop, simulation reset)."""

FOLLOW_SECONDS = 2.0
"""Within this time of one topic's jump, a jump of the other one is the same."""

MAX_BYTES = 256 << 20
"""Of one image topic's messages together; the newest is kept whatever its size."""

PARTNER_SECONDS = 0.2
"""How long a new colour image waits for its depth image, where depth comes at all."""

STOP_PERIOD = 0.05
"""Seconds between two looks at whether a waiting reader is still wanted."""


@dataclass(frozen=True, eq=False)
class Received:
    """One message as received. stamp_ns: its header's stamp. arrived: time.monotonic()."""

    message: bytes
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


@dataclass
class _Stream:
    """The newest messages of one image topic. last_stamp_ns: of the newest one that ever came."""

    messages: deque[Received]
    last_stamp_ns: int | None = None
    bytes: int = 0

    def add(self, received: Received) -> None:
        if len(self.messages) == self.messages.maxlen:
            self._drop_oldest()
        self.messages.append(received)
        self.last_stamp_ns = received.stamp_ns
        self.bytes += len(received.message)
        while self.bytes > MAX_BYTES and len(self.messages) > 1:
            self._drop_oldest()

    def clear(self) -> None:
        self.messages.clear()
        self.bytes = 0

    def _drop_oldest(self) -> None:
        self.bytes -= len(self.messages.popleft().message)


class FrameBuffer:
    """Bounded, thread-safe, and unimpressed by time that jumps back: order of arrival decides what is new.

    When the stamps of one topic jump back, its older messages go. Those of the other topic go with them unless it has
    just jumped itself, so that nothing from before a jump is paired with something from after it. (What is still on its
    way then can only be paired if its stamp fits, and a bag that loops sends the same picture under the same stamp.)
    """

    def __init__(self, size: int) -> None:
        self._colors, self._depths = _Stream(deque(maxlen=size)), _Stream(deque(maxlen=size))
        self._camera_info: Received | None = None
        self._first_color: float | None = None
        self._jumped: tuple[_Stream | None, float] = (None, 0.0)  # the topic that the other one has still to follow
        self._changed = threading.Condition()

    def frames(self) -> int:
        """Colour images that are kept."""
        return len(self._colors.messages)

    def add_color(self, message: bytes, stamp_ns: int) -> None:
        """Keep a colour image."""
        self._add(self._colors, self._depths, message, stamp_ns)

    def add_depth(self, message: bytes, stamp_ns: int) -> None:
        """Keep a depth image."""
        self._add(self._depths, self._colors, message, stamp_ns)

    def add_camera_info(self, message: bytes, stamp_ns: int) -> None:
        """Keep the newest camera_info; it need not carry a frame's stamp, cameras that publish it once exist."""
        with self._changed:
            self._camera_info = Received(message, stamp_ns, time.monotonic())
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget all images (the node's clock jumped)."""
        with self._changed:
            self._colors.clear()
            self._depths.clear()

    def newest(
        self, tolerance_ns: int, *, timeout: float = 0.0, should_stop: Callable[[], bool] = lambda: False
    ) -> Pair | None:
        """The newest colour image that has a depth partner, else the newest colour image.

        Waits up to `timeout` seconds for a first colour image (None when none came), and, as topics of one camera are
        discovered one after the other, until `timeout` after that first image for the first depth and camera_info. Later
        calls do not wait; after a jump of time all begins anew.
        """
        colors, depths = self._colors.messages, self._depths.messages
        with self._changed:
            self._wait(lambda: bool(colors), time.monotonic() + timeout, should_stop)
            if not colors:
                return None
            self._wait(lambda: bool(depths and self._camera_info), self._first_color + timeout, should_stop)
            return self._newest_of(list(colors), tolerance_ns) if colors else None

    def wait_newer(
        self,
        than: Received | None,
        tolerance_ns: int,
        *,
        timeout: float,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Pair | None:
        """As `newest`, but only of colour images that arrived after `than` (a Pair's color; None = any).

        Waits up to `timeout` seconds for one, and where depth comes at all PARTNER_SECONDS for its partner. What came
        between is skipped: however slow the reader is, it gets the newest. None when nothing newer came.
        """

        def newer() -> list[Received]:  # oldest first; a `than` that is gone already leaves only newer ones
            return list(takewhile(lambda color: color is not than, reversed(self._colors.messages)))[::-1]

        def paired() -> bool:
            return any(self._partner(color, tolerance_ns) for color in newer())

        with self._changed:
            self._wait(lambda: bool(newer()), time.monotonic() + timeout, should_stop)
            colors = newer()
            if not colors or should_stop():
                return None
            if self._depths.last_stamp_ns is not None:  # a jump forgets images, not that they come
                self._wait(lambda: not newer() or paired(), colors[0].arrived + PARTNER_SECONDS, should_stop)
            colors = newer()
            return self._newest_of(colors, tolerance_ns) if colors else None

    def _newest_of(self, colors: list[Received], tolerance_ns: int) -> Pair:
        for color in reversed(colors):
            if (depth := self._partner(color, tolerance_ns)) is not None:
                return Pair(color, depth, self._camera_info)
        color = colors[-1]
        gaps = [abs(depth.stamp_ns - color.stamp_ns) for depth in self._depths.messages]
        return Pair(color, None, self._camera_info, min(gaps, default=None))

    def _partner(self, color: Received, tolerance_ns: int) -> Received | None:
        """The depth image nearest in time, if near enough; of several with the same stamp the one that came last."""
        depths = reversed(self._depths.messages)
        depth = min(depths, key=lambda depth: abs(depth.stamp_ns - color.stamp_ns), default=None)
        near = depth is not None and abs(depth.stamp_ns - color.stamp_ns) <= tolerance_ns
        return depth if near else None

    def _wait(self, condition: Callable[[], bool], end: float, should_stop: Callable[[], bool]) -> None:
        while not condition() and not should_stop() and (left := end - time.monotonic()) > 0:
            self._changed.wait(min(left, STOP_PERIOD))

    def _add(self, stream: _Stream, other: _Stream, message: bytes, stamp_ns: int) -> None:
        with self._changed:
            if stream.last_stamp_ns is not None and stamp_ns < stream.last_stamp_ns - TIME_JUMP_NS:
                self._jump(stream, other)
            received = Received(message, stamp_ns, time.monotonic())
            if stream is self._colors and not stream.messages:  # the first one, or the first after a jump
                self._first_color = received.arrived
            stream.add(received)
            self._changed.notify_all()

    def _jump(self, stream: _Stream, other: _Stream) -> None:
        now = time.monotonic()
        leader, when = self._jumped
        follows = leader is other and now - when < FOLLOW_SECONDS
        stream.clear()
        if not follows:
            other.clear()
        self._jumped = (None if follows else stream, now)
