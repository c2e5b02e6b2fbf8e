"""What the client of a goal hears while it waits: every stage as it begins, and the model's text as it grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lisa_ros.action import Segment

TEXT_SECONDS = 0.1
"""Between two messages with more text: it is seen to grow, and a fast model does not flood the network."""


class Feedback:
    """Stages and text of one request as feedback messages; may be called from any thread.

    publish: sends one message. A text that comes too soon after the last one waits for the next text, the next stage or
    `close`, whichever is first; so the last one is never lost.
    """

    def __init__(
        self,
        publish: Callable[[Segment.Feedback], None],
        request_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish, self._request_id, self._clock = publish, request_id, clock
        self._begun = clock()
        self._stage, self._answer, self._frames = "", "", 0
        self._told = ""
        self._quiet_until = self._begun
        self._closed = False
        self._lock = threading.Lock()

    def begin(self, stage: str) -> None:
        """A stage begins."""
        with self._lock:
            self._tell_rest()
            self._stage = stage
            self._tell()

    def write(self, answer: str) -> None:
        """The model's text so far, all of it."""
        with self._lock:
            self._answer = answer
            if self._clock() >= self._quiet_until:
                self._tell_rest()

    def count(self, frames: int) -> None:
        """A standing query has been answered for so many frames."""
        with self._lock:
            self._frames = frames
            self._tell()

    def close(self) -> None:
        """The request has ended: what was not told yet, and then nothing more."""
        with self._lock:
            self._tell_rest()
            self._closed = True

    def _tell_rest(self) -> None:
        if self._answer != self._told:
            self._tell()
            self._told, self._quiet_until = self._answer, self._clock() + TEXT_SECONDS

    def _tell(self) -> None:
        if self._closed:
            return
        seconds = self._clock() - self._begun
        self._publish(
            Segment.Feedback(
                request_id=self._request_id,
                stage=self._stage,
                answer=self._answer,
                seconds=seconds,
                frames=self._frames,
            )
        )
