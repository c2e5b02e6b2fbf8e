"""Transforms of the last minute, kept and looked up at a stamp: our own buffer, for machines without tf2_ros. No rclpy.

It keeps to tf2's rules: a tree of frames, each with one parent; every moving edge interpolated between the two messages
around the stamp and never extrapolated; static edges hold at any time.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import isfinite

from lisa_ros.geometry.transform import RigidTransform, is_unit

KEPT_NS = 60_000_000_000
"""How far the stamps of an edge reach back from its newest one; a large model may answer seconds after the image."""

TIME_JUMP_NS = 500_000_000
"""A stamp this much older than the newest of the same edge means that time jumped back (bag loop, simulation reset).

Only within an edge: publishers of different edges have latencies of their own, and some date their transforms into the
future. Within one, messages of one publisher come in order. Two publishers of the same edge whose clocks differ by more
look like a jump as well; the warning says so.
"""

MOST_SAMPLES = 200_000
"""Of one edge, however close its stamps are: 13 MB."""

WARN_SECONDS = 10.0
_NAMED_FRAMES = 10
_POSE = 7  # x, y, z of the translation, x, y, z, w of the quaternion


class NoTransform(LookupError):
    """There is no transform between two frames at a stamp; the text names both and says why."""


class _Edge:
    """Where a child frame lies in its parent, over time. stamps: ascending nanoseconds; poses: seven numbers each. A
    static edge has one pose and no stamps.
    """

    def __init__(self, child: str, parent: str, static: bool) -> None:
        self.child, self.parent, self.static = child, parent, static
        # arrays, not objects: ten edges at 500 Hz are 300 000 samples a minute, 72 bytes each
        self.stamps = array("q")
        self.poses = array("d")

    def add(self, stamp_ns: int, pose: Sequence[float]) -> None:
        """Keep a sample; of two with the same stamp the one that came last."""
        stamps = self.stamps
        if not stamps or stamp_ns > stamps[-1]:
            stamps.append(stamp_ns)
            self.poses.extend(pose)
            self._shorten()
            return
        at = bisect_left(stamps, stamp_ns)
        same = stamps[at] == stamp_ns
        self.poses[at * _POSE : (at + same) * _POSE] = array("d", pose)
        if not same:
            stamps.insert(at, stamp_ns)

    def at(self, stamp_ns: int) -> RigidTransform:
        """parent_from_child at a stamp; raises `NoTransform` with the reason only."""
        if self.static:
            return self._pose(0)
        stamps = self.stamps
        early, late = stamps[0] - stamp_ns, stamp_ns - stamps[-1]
        if early > 0 or late > 0:
            gap = f"{early / 1e9:.3f} s before the oldest" if early > 0 else f"{late / 1e9:.3f} s newer than the newest"
            raise NoTransform(f'the stamp is {gap} transform of "{self.child}" in "{self.parent}"')
        after = bisect_left(stamps, stamp_ns)
        if stamps[after] == stamp_ns:
            return self._pose(after)
        share = (stamp_ns - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
        return self._pose(after - 1).interpolated(self._pose(after), share)

    def _pose(self, row: int) -> RigidTransform:
        values = self.poses[row * _POSE : (row + 1) * _POSE]
        return RigidTransform.from_quaternion(values[3:], values[:3])

    def _shorten(self) -> None:
        """Drop what is too old, a tenth at a time: each time moves all that stays."""
        stamps = self.stamps
        if len(stamps) > MOST_SAMPLES:
            drop = MOST_SAMPLES // 10
        elif stamps[-1] - stamps[0] > KEPT_NS + KEPT_NS // 10:
            drop = bisect_left(stamps, stamps[-1] - KEPT_NS)
        else:
            return
        del stamps[:drop], self.poses[: drop * _POSE]


class TransformBuffer:
    """All edges of the tree. Any thread may add and look up.

    warn: told, at most every WARN_SECONDS, about a message that was ignored or made the buffer forget.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn, self._quiet_until = warn, 0.0
        self._edges: dict[str, _Edge] = {}  # by child
        self._lock = threading.Lock()

    def add(self, parent: str, child: str, stamp_ns: int, pose: Sequence[float], static: bool) -> None:
        """Keep where `child` lies in `parent`: pose is x, y, z in metres and a quaternion x, y, z, w.

        Plain numbers, because thousands come in each second and few are asked for. What is no transform is ignored, as
        tf2 does. A child that gets another parent, or turns from static to moving or back, loses its history.
        """
        parent, child = frame_name(parent), frame_name(child)
        if fault := _fault(parent, child, pose):
            self._complain(f'ignored the transform of "{child}" in "{parent}": {fault}')
            return
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                if edge is not None and edge.parent != parent:
                    self._complain(
                        f'frame "{child}" is now in "{parent}" and no longer in "{edge.parent}": its history is '
                        "forgotten. If this comes again, two publishers disagree about its parent"
                    )
                edge = self._edges[child] = _Edge(child, parent, static)
            if static:
                edge.poses = array("d", pose)
                return
            if edge.stamps and stamp_ns < edge.stamps[-1] - TIME_JUMP_NS:
                back = (edge.stamps[-1] - stamp_ns) / 1e9
                self._complain(
                    f'the stamps of "{child}" in "{parent}" jumped back by {back:.3f} s: all transforms but the static '
                    "ones are forgotten. If this comes again and no bag loops, two publishers with different clocks "
                    "send it"
                )
                self._forget_moving()
                edge = self._edges[child] = _Edge(child, parent, static)
            edge.add(stamp_ns, pose)

    def clear(self) -> None:
        """Forget all but the static transforms: the clock jumped."""
        with self._lock:
            self._forget_moving()

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """target_from_source at a stamp. Raises `NoTransform`, saying which frame or edge is to blame."""
        target, source = frame_name(target), frame_name(source)
        with self._lock:
            try:
                return self._find(target, source, stamp_ns)
            except NoTransform as error:
                raise NoTransform(f"{no_transform(target, source, stamp_ns)}: {error}") from None

    def _find(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        known = self._edges.keys() | {edge.parent for edge in self._edges.values()}
        for frame in (source, target):
            if frame not in known:
                raise NoTransform(_unknown(frame, known))
        from_source, from_target = self._ancestors(source), self._ancestors(target)
        common = next((frame for frame in from_source if frame in from_target), None)
        up, down = (line[: line.index(common)] if common else line for line in (from_source, from_target))
        for line in (from_source, from_target):
            loop = self._loop(line)
            if not set(loop).isdisjoint(up + down):
                named = ", ".join(f'"{frame}"' for frame in loop)
                raise NoTransform(f"frames lie in each other in a loop, so one has a wrong parent: {named}")
        if common is None:
            roots = f'"{source}" is in the tree of "{from_source[-1]}", "{target}" in that of "{from_target[-1]}"'
            raise NoTransform(f"they are not connected: {roots}")
        return self._climb(down, stamp_ns).inverse() @ self._climb(up, stamp_ns)

    def _ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on to the root; in a loop, to the last one before a frame comes again."""
        line = [frame]
        while (edge := self._edges.get(line[-1])) is not None and edge.parent not in line:
            line.append(edge.parent)
        return line

    def _loop(self, line: list[str]) -> list[str]:
        """The frames of the loop that these ancestors end in; none when they end in a root."""
        edge = self._edges.get(line[-1])
        return [] if edge is None else line[line.index(edge.parent) :]

    def _climb(self, frames: list[str], stamp_ns: int) -> RigidTransform:
        """From the first of these frames to the parent of the last."""
        parent_from_first = RigidTransform.identity()
        for frame in frames:
            parent_from_first = self._edges[frame].at(stamp_ns) @ parent_from_first
        return parent_from_first

    def _forget_moving(self) -> None:
        self._edges = {child: edge for child, edge in self._edges.items() if edge.static}

    def _complain(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + WARN_SECONDS
            self._warn(text)


def frame_name(name: str) -> str:
    """A frame as tf2 calls it: without the leading slash that ROS 1 drivers put in front."""
    return name[1:] if name.startswith("/") else name


def no_transform(target: str, source: str, stamp_ns: int) -> str:
    """How every `NoTransform` begins."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return f'no transform from frame "{source}" to frame "{target}" at {seconds}.{nanoseconds:09d} s'


def _fault(parent: str, child: str, pose: Sequence[float]) -> str:
    """What keeps this from being a transform; empty when nothing does."""
    if not parent or not child:
        return "a frame has no name"
    if parent == child:
        return "a frame cannot lie in itself"
    x, y, z = pose[:3]
    if not isfinite(x + y + z):
        return f"its translation is {x}, {y}, {z}"
    if not is_unit(pose[3:]):
        return "its quaternion is not of length 1 (x, y, z, w: {}, {}, {}, {})".format(*pose[3:])
    return ""


def _unknown(frame: str, known: set[str]) -> str:
    if not known:
        return "no transform has been received"
    named = ", ".join(sorted(known)[:_NAMED_FRAMES]) + (", ..." if len(known) > _NAMED_FRAMES else "")
    return f'frame "{frame}" is unknown (known: {named})'
