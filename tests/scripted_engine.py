"""Engines for node tests: tests/fakes.py's ColorEngine made slow, broken or observable. rclpy is never faked."""

from __future__ import annotations

import threading
import time

from fakes import ColorEngine

from lisa_ros.engine.segmentation import Cancelled


class ScriptedEngine(ColorEngine):
    """Finds colours; words in the query steer it: "slow" waits for `release` (heeding should_stop),
    "deaf" ignores should_stop,
    "raise" raises. `pace`: seconds before each word of a chat. `options`: those of the latest call of `ask`."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.threads: set[str] = set()
        self.asked: list[str] = []
        self.options: dict = {}
        self.pace = 0.0
        self.started = threading.Event()
        self.release = threading.Event()

    def encode(self, image):
        self.threads.add(threading.current_thread().name)
        return super().encode(image)

    def between_words(self):
        time.sleep(self.pace)

    def ask(self, encoded, queries, *, mode="mask", should_stop=None, **options):
        self.asked += queries
        self.options = options
        self.threads.add(threading.current_thread().name)
        text = " ".join(queries)
        self.started.set()
        if "raise" in text:
            raise RuntimeError("CUDA error: out of memory (simulated)")
        end = time.monotonic() + 20
        while ("slow" in text or "deaf" in text) and not self.release.wait(0.005) and time.monotonic() < end:
            if "slow" in text and should_stop is not None and should_stop():
                raise Cancelled
        return super().ask(encoded, queries, mode=mode, **options)

    def close(self):
        self.closed = True


def load(model, **options):
    """An engine factory; the model "missing" cannot be read, as a bad checkpoint path."""
    if model == "missing":
        raise FileNotFoundError("missing: no such checkpoint; give lisa-mini, a folder, or a hub id")
    return ScriptedEngine()
