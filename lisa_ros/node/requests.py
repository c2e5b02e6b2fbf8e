"""Requests and the one worker that answers them. No rclpy here: the same path serves topic, action and service."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_numbers = itertools.count(1)


@dataclass(eq=False)
class Request:
    """One query under way. It ends exactly once: `end` does nothing the second time.

    mode: "" = the node's parameter. max_age: seconds, 0 = the node's parameter. image: the service's own images, None =
    the camera's. continues: id of the request whose conversation goes on, "" = a new one.
    on_end: called once with the result, from whichever thread ended it. on_stage: called with the name of each stage
    that begins. on_text: called with the model's text so far while it writes; None = nobody listens.
    """

    query: str
    mode: str = ""
    max_age: float = 0.0
    target_frame: str = ""
    image: Any = None
    continues: str = ""
    on_end: Callable[[Any], None] = lambda result: None
    on_stage: Callable[[str], None] = lambda stage: None
    on_text: Callable[[str], None] | None = None
    id: str = field(default_factory=lambda: f"q{next(_numbers)}")
    created: float = field(default_factory=time.monotonic)
    cancel_reason: str = ""
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants this request to stop."""
        return bool(self.cancel_reason)

    def cancel(self, reason: str) -> None:
        """Ask for a stop; the worker heeds it between stages. The first reason stays."""
        self.cancel_reason = self.cancel_reason or reason

    def claim(self) -> bool:
        """True for the first caller only: whoever gets it must publish the result and call `on_end`."""
        with self._lock:
            first, self._ended = not self._ended, True
            return first


class Requests:
    """One thread that answers requests one after the other; the newest query wins.

    answer: called in the worker thread with a request; it must end it. conclude: ends a request without answering it
    (request, reason) -> None; used for cancelled ones. fail: ends a request after `answer` raised (request, error) ->
    None.
    """

    def __init__(
        self,
        answer: Callable[[Request], None],
        conclude: Callable[[Request, str], None],
        fail: Callable[[Request, Exception], None],
    ) -> None:
        self._answer, self._conclude, self._fail = answer, conclude, fail
        self._waiting: deque[Request] = deque()
        self._running: Request | None = None
        self._open = True
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="lisa-worker", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request. One that still waits makes room and ends as CANCELLED."""
        with self._condition:
            if not self._open:
                replaced, refused = [], True
            else:
                replaced, refused = list(self._waiting), False
                self._waiting.clear()
                self._waiting.append(request)
                self._condition.notify()
        if refused:
            self._conclude(request, "the node is being stopped")
        for old in replaced:
            self._conclude(old, f"replaced by the newer query {request.id} before it was started")

    def cancel(self, request: Request, reason: str) -> None:
        """Stop a request: at once while it waits, between stages once it runs."""
        request.cancel(reason)
        with self._condition:
            waiting = request in self._waiting
            if waiting:
                self._waiting.remove(request)
        if waiting:
            self._conclude(request, reason)

    def close(self, reason: str, *, timeout: float) -> bool:
        """End all requests as CANCELLED and the worker with them; False when the engine did not return in time.

        A request that the engine holds beyond the timeout is ended here; what the engine says later is dropped.
        """
        with self._condition:
            self._open = False
            waiting = list(self._waiting)
            self._waiting.clear()
            running = self._running
            self._condition.notify()
        for request in waiting:
            self._conclude(request, reason)
        if running is not None:
            running.cancel(reason)
        self._thread.join(timeout)
        if running is not None:
            self._conclude(running, reason)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or not self._open)
                if not self._waiting:
                    return
                self._running = request = self._waiting.popleft()
            try:
                if request.cancelled:
                    self._conclude(request, request.cancel_reason)
                else:
                    self._answer(request)
            except Exception as error:  # noqa: BLE001 - whatever a model, a driver or a bad image throws: the node goes on
                self._fail(request, error)
            finally:
                with self._condition:
                    self._running = None
