"""Requests and the one worker that answers them. No rclpy here: the same path serves topic, action and service."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lisa_ros.perception import Status

_numbers = itertools.count(1)

MOST_STANDING = 16
"""Standing queries that share the worker; more are REJECTED."""

FAILED_PAUSE = 1.0
"""Seconds between two frames of a standing query when the first one FAILED."""


@dataclass(eq=False)
class Request:
    """One query under way. It ends exactly once: `claim` is true for the first caller only.

    mode: "" = the node's parameter. max_age: seconds, 0 = the node's parameter. target_frame: "" = the node's parameter.
    camera: "" = the first one. image: the service's own images, None = the camera's. continues: id of the request whose
    conversation goes on, "" = a new one. background: whether background and scene are wanted for sure.
    standing: answer again for each new frame. frame: what the request is about, when that is decided already (a standing
    query's: the last one that it was answered for). parent: the standing query that this one is a part of.
    on_end: called once with the result, from whichever thread ended it. on_stage: called with the name of each stage
    that begins. on_text: called with the model's text so far while it writes; None = nobody listens. on_frame: called
    when a standing query has been answered for one more frame, with their number.
    """

    query: str
    mode: str = ""
    max_age: float = 0.0
    target_frame: str = ""
    camera: str = ""
    image: Any = None
    continues: str = ""
    background: bool = False
    standing: bool = False
    frame: Any = None
    parent: Request | None = None
    on_end: Callable[[Any], None] = lambda result: None
    on_stage: Callable[[str], None] = lambda stage: None
    on_text: Callable[[str], None] | None = None
    on_frame: Callable[[int], None] = lambda count: None
    id: str = field(default_factory=lambda: f"q{next(_numbers)}")
    created: float = field(default_factory=time.monotonic)
    frames: int = 0
    _reason: str = ""
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants this request to stop."""
        return bool(self.cancel_reason)

    @property
    def cancel_reason(self) -> str:
        """Why it is to stop; empty when it is not."""
        return self._reason or (self.parent.cancel_reason if self.parent is not None else "")

    def cancel(self, reason: str) -> None:
        """Ask for a stop. The first reason stays."""
        self._reason = self._reason or reason

    def claim(self) -> bool:
        """True for the first caller only: whoever gets it must publish the result and call `on_end`."""
        with self._lock:
            first, self._ended = not self._ended, True
            return first

    def about(self, frame: Any) -> Request:
        """A standing query's part about its next frame: it has a result of its own."""
        self.frame, self.frames = frame, self.frames + 1
        return Request(
            self.query,
            self.mode,
            self.max_age,
            self.target_frame,
            self.camera,
            background=self.background,
            frame=frame,
            parent=self,
            on_stage=self.on_stage,
            on_text=self.on_text,
            id=f"{self.id}/{self.frames}",
        )


class Requests:
    """One thread that answers requests one after the other; standing queries get the time that is left.

    answer: called in the worker thread with a request; it must end it. next_frame: (standing request, should_stop) -> a
    frame that came after the last one it was answered for, None when none comes within a moment. end: ends a request without answering
    it (request, status, reason). fail: ends a request after `answer` raised (request, error). policy, queue_size,
    max_rate: asked at each submission: "newest", "preempt" or "fifo"; requests that may wait with fifo; requests in a
    second, 0 = any number.
    """

    def __init__(
        self,
        answer: Callable[[Request], None],
        next_frame: Callable[[Request, Callable[[], bool]], Any],
        end: Callable[[Request, Status, str], None],
        fail: Callable[[Request, Exception], None],
        *,
        policy: Callable[[], str] = lambda: "newest",
        queue_size: Callable[[], int] = lambda: 20,
        max_rate: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._answer, self._next_frame, self._end, self._fail = answer, next_frame, end, fail
        self._policy, self._queue_size, self._max_rate = policy, queue_size, max_rate
        self._waiting: deque[Request] = deque()
        self._standing: deque[Request] = deque()
        self._running: Request | None = None
        self._running_since = 0.0
        self._accepted: deque[float] = deque()
        self._open = True
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="lisa-worker", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request; what has to make room for it ends as CANCELLED, what finds no room as REJECTED."""
        policy = self._policy()
        replaced: list[Request] = []
        with self._condition:
            refusal = self._refusal(request, policy)
            if refusal is None:
                if request.standing:
                    self._standing.append(request)
                else:
                    if policy != "fifo":
                        replaced = list(self._waiting)
                        self._waiting.clear()
                    if policy == "preempt" and self._running is not None:
                        replaced.append(self._running)
                    self._waiting.append(request)
                self._condition.notify()
        if refusal is not None:
            self._end(request, *refusal)
        for old in replaced:
            self._cancel(old, f"replaced by the newer query {request.id}")

    def cancel(self, request: Request, reason: str) -> None:
        """End a request as CANCELLED, at once. What the engine still says about it is dropped."""
        with self._condition:
            for queue in (self._waiting, self._standing):
                if request in queue:
                    queue.remove(request)
        self._cancel(request, reason)

    def report(self) -> tuple[int, float | None]:
        """(requests that wait, seconds since the running one began; None = none runs)."""
        with self._condition:
            running = time.monotonic() - self._running_since if self._running is not None else None
            return len(self._waiting), running

    def close(self, reason: str, *, timeout: float) -> bool:
        """End all requests as CANCELLED and the worker with them; False when the engine did not return in time."""
        with self._condition:
            self._open = False
            ended = [*self._waiting, *self._standing]
            if self._running is not None:
                ended.append(self._running)
            self._waiting.clear()
            self._standing.clear()
            self._condition.notify()
        for request in ended:
            self._cancel(request, reason)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- in the worker thread ----
    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._standing or not self._open)
                if not self._open:
                    return
                if self._waiting:
                    request, standing = self._waiting.popleft(), None
                    self._begin(request)
                else:
                    standing = self._standing[0]
                    self._standing.rotate(-1)
            if standing is not None:
                self._answer_next_frame(standing)
            else:
                self._run(request)

    def _answer_next_frame(self, standing: Request) -> None:
        """Answer a standing query once more, unless a query comes first or no frame does."""
        frame = self._next_frame(standing, lambda: bool(self._waiting) or standing.cancelled)
        if frame is None:
            return
        request = standing.about(frame)
        with self._condition:
            self._begin(request)
        if not self._run(request):  # the next frame would most likely fail as well: not thirty times a second
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or standing.cancelled or not self._open, FAILED_PAUSE)
        standing.on_frame(standing.frames)

    def _begin(self, request: Request) -> None:
        self._running, self._running_since = request, time.monotonic()

    def _run(self, request: Request) -> bool:
        try:
            self._answer(request)
            return True
        except Exception as error:  # noqa: BLE001 - whatever a model, a driver or a bad image throws: the node goes on
            self._fail(request, error)
            return False
        finally:
            with self._condition:
                self._running = None

    # ---- rules ----
    def _cancel(self, request: Request, reason: str) -> None:
        request.cancel(reason)
        self._end(request, Status.CANCELLED, reason)

    def _refusal(self, request: Request, policy: str) -> tuple[Status, str] | None:
        """Why a request is not taken; None when it is."""
        if not self._open:
            return Status.CANCELLED, "the node is being stopped"
        if request.standing and len(self._standing) >= MOST_STANDING:
            return Status.REJECTED, f"{MOST_STANDING} standing queries are being answered already: cancel one"
        if policy == "fifo" and not request.standing and len(self._waiting) >= self._queue_size():
            return Status.REJECTED, f"{len(self._waiting)} queries wait already; queue_size is {self._queue_size()}"
        if (rate := self._max_rate()) > 0:
            now = time.monotonic()
            while self._accepted and self._accepted[0] <= now - max(1.0, 1.0 / rate):
                self._accepted.popleft()
            if len(self._accepted) >= max(1.0, rate):
                return Status.REJECTED, f"too many queries; max_query_rate is {rate:g} per second"
            self._accepted.append(now)
        return None
