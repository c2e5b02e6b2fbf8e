"""Where the seconds of a request go."""

from __future__ import annotations

import time

from lisa_ros.engine.segmentation import Cancelled
from lisa_ros.node.requests import Request


class Stages:
    """Where the seconds go: `begin` closes the stage before it and tells the client what comes."""

    def __init__(self, request: Request) -> None:
        self.seconds: list[tuple[str, float]] = [("wait", time.monotonic() - request.created)]
        self._request = request
        self._running: tuple[str, float] | None = None

    def begin(self, stage: str) -> None:
        """Start a stage; raises Cancelled when the client wants no more."""
        self.end()
        if self._request.cancelled:
            raise Cancelled
        self._running = (stage, time.monotonic())
        self._request.on_stage(stage)

    def end(self) -> None:
        """Close the running stage."""
        if self._running:
            stage, begun = self._running
            self.seconds.append((stage, time.monotonic() - begun))
            self._running = None

    def replace(self, seconds: list[tuple[str, float]]) -> None:
        """Close the running stage with finer figures in its place. What they leave open goes to the stage before it: a
        GPU was still at work on that when this one began.
        """
        if self._running and self.seconds:
            open_rest = time.monotonic() - self._running[1] - sum(spent for _, spent in seconds)
            name, spent = self.seconds[-1]
            self.seconds[-1] = (name, spent + max(0.0, open_rest))
        self._running = None
        self.seconds += seconds
