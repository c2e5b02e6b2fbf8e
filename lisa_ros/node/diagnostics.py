"""`/diagnostics` once a second: how the engine is, what each camera sends, how the queries fare."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile

from lisa_ros.node.inputs import CameraReport, TopicReport
from lisa_ros.node.publishers import overridable
from lisa_ros.perception import Status

PERIOD_SECONDS = 1.0
REMEMBERED = 100
"""Answers that the percentiles are of."""

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
MIB = 1 << 20


@dataclass(frozen=True)
class Queue:
    """The queries under way. waiting: how many have not begun. running: seconds since the one that runs began; None =
    none runs.
    """

    waiting: int = 0
    running: float | None = None


class Tally:
    """How requests ended, and how long the newest answers took. Any thread may note one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[Status] = Counter()
        self._stages: dict[str, deque[float]] = {}
        self._ages: deque[float] = deque(maxlen=REMEMBERED)
        self._failure = ""

    def note(
        self,
        status: int,
        stages: Iterable[tuple[str, float]] = (),
        age: float | None = None,
        message: str = "",
    ) -> None:
        """A request has ended. status, message: of its result. stages: (name, seconds), a name that comes twice counts
        as one. age: seconds from the image's stamp to the publishing of the result; None when there was no image.
        """
        together: Counter[str] = Counter()
        for name, seconds in stages:
            together[name] += seconds
        with self._lock:
            self._statuses[Status(status)] += 1
            self._failure = message if status == Status.FAILED else ""
            for name, seconds in together.items():
                self._stages.setdefault(name, deque(maxlen=REMEMBERED)).append(seconds)
            if age is not None:
                self._ages.append(age)

    @property
    def failure(self) -> str:
        """Why the newest request FAILED; empty when it did not."""
        with self._lock:
            return self._failure

    def values(self) -> dict[str, str]:
        """Counts by status, and p50 and p95 of each stage and of the age."""
        with self._lock:
            statuses = dict(self._statuses)
            lasting = {f"stage {name}": list(seconds) for name, seconds in self._stages.items()}
            ages = list(self._ages)
        values = {"answered": str(sum(statuses.values()))}
        values |= {status.name: str(count) for status, count in sorted(statuses.items())}
        values |= {name: _percentiles(seconds) for name, seconds in lasting.items()}
        if ages:
            values["age from stamp to publish"] = _percentiles(ages)
        return values


class Diagnostics:
    """Publishes from construction to `close`, whatever the node's lifecycle state.

    engine: called for the engine, None while no model is loaded. It has name, device, dtype, and, when it is in a process
    of its own, state ("ready" or what is the matter), restarts and memory() (bytes by name).
    cameras: called for the report of each open camera. queue: called for the queries under way.
    """

    def __init__(
        self,
        node: Node,
        engine: Callable[[], Any],
        cameras: Callable[[], Sequence[CameraReport]],
        queue: Callable[[], Queue],
        tally: Tally,
    ) -> None:
        self._node, self._engine, self._cameras, self._queue, self._tally = node, engine, cameras, queue, tally
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._publisher = node.create_publisher(
            DiagnosticArray,
            "/diagnostics",
            QoSProfile(depth=1),
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=overridable(),
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock that stands still is worth a report
        self._timer = node.create_timer(PERIOD_SECONDS, self.publish, clock=steady)

    def publish(self) -> None:
        """Send one report now."""
        statuses = [
            engine_status(self._engine()),
            *(camera_status(report) for report in self._cameras()),
            requests_status(self._queue(), self._tally),
        ]
        for status in statuses:
            status.name = f"{self._name}: {status.name}"
            status.hardware_id = self._name
        array = DiagnosticArray(status=statuses)
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def close(self) -> None:
        """Publish no more."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)


def engine_status(engine: Any) -> DiagnosticStatus:
    """ "engine": OK when it can be asked, WARN while it is started again, ERROR when that failed, STALE without a model."""
    node = {"memory of the node [MiB]": _mebibytes(resident_bytes())}
    if engine is None:
        return _status("engine", STALE, "no model is loaded", node)
    state = getattr(engine, "state", "ready")
    restarts = getattr(engine, "restarts", 0)
    memory = engine.memory() if hasattr(engine, "memory") else {}
    values = {"model": engine.name, "device": engine.device, "dtype": engine.dtype, "state": state, "restarts": restarts}
    values |= node | {f"memory of the engine, {name} [MiB]": _mebibytes(size) for name, size in memory.items()}
    if state == "ready":
        return _status("engine", OK, f"{engine.name} on {engine.device}", values)
    return _status("engine", WARN if state == "restarting" else ERROR, f"engine: {state}", values)


def camera_status(report: CameraReport) -> DiagnosticStatus:
    """ "camera" or "camera <name>": WARN when something is wrong, ERROR when no colour image ever came, STALE when
    nothing did.
    """
    pairing, values = report.pairing, {}
    for topic in report.topics:
        values |= _topic_values(topic)
    values["paired of newest colour images"] = f"{pairing.paired} of {pairing.colors}"
    if pairing.gap is not None and pairing.paired < pairing.colors:
        values["depth stamps behind colour where not paired [s]"] = f"{-pairing.gap:.3f}"
    wrong = [topic.complaint for topic in report.topics if topic.complaint]
    color = report.topics[0]
    if not any(topic.count for topic in report.topics):
        level, message = STALE, wrong[0] if wrong else f"nothing has come yet on {color.topic}"
    elif not color.count and wrong:
        level, message = ERROR, wrong[0]
    elif wrong:
        level, message = WARN, wrong[0]
    else:
        level, message = OK, f"{color.rate:.1f} Hz, {pairing.paired} of {pairing.colors} paired"
    return _status(f"camera {report.camera}".rstrip(), level, message, values)


def requests_status(queue: Queue, tally: Tally) -> DiagnosticStatus:
    """ "requests": WARN after a request that FAILED, until one does not."""
    running = "no" if queue.running is None else f"for {queue.running:.1f} s"
    values = {"waiting": queue.waiting, "running": running, **tally.values()}
    if failure := tally.failure:
        return _status("requests", WARN, f"the newest query failed: {failure}", values)
    return _status("requests", OK, f"{values['answered']} ended, {queue.waiting} waiting", values)


def resident_bytes() -> int:
    """What this process holds in memory; 0 where there is no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _topic_values(topic: TopicReport) -> dict[str, str]:
    age = "none" if topic.age is None else f"{topic.age:.3f}"
    values = {
        f"{topic.topic} rate [Hz]": f"{topic.rate:.1f}",
        f"{topic.topic} age [s]": age,
        f"{topic.topic} messages": str(topic.count),
    }
    return values | ({f"{topic.topic} complaint": topic.complaint} if topic.complaint else {})


def _percentiles(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p50, p95 = (1000 * ordered[round(part * (len(ordered) - 1))] for part in (0.5, 0.95))
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def _mebibytes(size: int) -> str:
    return f"{size / MIB:.0f}"


def _status(name: str, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)
