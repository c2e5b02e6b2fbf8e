"""What came in lately on an input topic: how often, how old, and how well the stamps of two topics fit together.

A message costs one entry in a bounded queue; everything else is worked out when somebody asks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

WINDOW_SECONDS = 5.0
"""What "lately" means."""

SETTLE_SECONDS = 0.25
"""Colour images younger than this are not judged yet: their depth may be on its way."""

_KEPT = 1000


class Traffic:
    """Arrivals on one topic; one thread notes them, others may ask. opened: time.monotonic() since when messages could come."""

    def __init__(self, opened: float) -> None:
        self.opened = opened
        self.count = 0
        self.last: tuple[float, int] | None = None
        self._recent: deque[tuple[float, int]] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def note(self, stamp_ns: int) -> None:
        """A message has arrived."""
        with self._lock:
            self.last = (time.monotonic(), stamp_ns)
            self._recent.append(self.last)
            self.count += 1

    def silence(self, now: float) -> float:
        """Seconds without a message."""
        return now - (self.opened if self.last is None else self.last[0])

    def rate(self, now: float) -> float:
        """Messages per second."""
        times, _ = self.recent(now - WINDOW_SECONDS)
        return len(times) / min(WINDOW_SECONDS, max(1.0, now - self.opened))

    def recent(self, since: float) -> tuple[np.ndarray, np.ndarray]:
        """Arrivals (time.monotonic(), float64 [n]) and stamps (nanoseconds, int64 [n]) of messages that came after
        `since`, in order of arrival.
        """
        with self._lock:
            recent = [entry for entry in self._recent if entry[0] >= since]
        return np.array([arrived for arrived, _ in recent]), np.array([stamp for _, stamp in recent], np.int64)


@dataclass(frozen=True)
class Pairing:
    """Of `colors` colour images that came lately, `paired` found a depth image. gap: seconds from the stamps of the
    others to that of the depth image that had just come then (negative: depth is behind), their median; None: none had.
    """

    colors: int
    paired: int
    gap: float | None = None


def pairing(colors: Traffic, depths: Traffic, tolerance_ns: int, kept: int, now: float) -> Pairing:
    """How well two topics fit together in a buffer that keeps `kept` messages of each.

    Only messages that are in the buffer together can become a pair: depth that comes a second late finds its colour
    image gone, however well the stamps fit.
    """
    c_arrived, c_stamp = colors.recent(now - WINDOW_SECONDS)
    d_arrived, d_stamp = depths.recent(now - 2 * WINDOW_SECONDS)
    c_dropped, d_dropped = _dropped(c_arrived, kept), _dropped(d_arrived, kept)
    judged = int(np.searchsorted(c_arrived, now - SETTLE_SECONDS))
    first = np.searchsorted(d_dropped, c_arrived, "right")  # depth images that were there when the colour image came ...
    last = np.searchsorted(d_arrived, c_dropped, "left")  # ... or came before it had to go
    newest = np.searchsorted(d_arrived, c_arrived, "right") - 1
    if not judged or not len(d_stamp):
        return Pairing(judged, 0)
    together = first[:judged, None] + np.arange((last - first)[:judged].max())  # [colour, depth image beside it]
    there = together < last[:judged, None]
    gaps = d_stamp[np.minimum(together, len(d_stamp) - 1)] - c_stamp[:judged, None]
    paired = (there & (np.abs(gaps) <= tolerance_ns)).any(1)
    lonely = ~paired & (newest[:judged] >= 0)
    to_newest = (d_stamp[newest] - c_stamp)[:judged][lonely]
    return Pairing(judged, int(paired.sum()), float(np.median(to_newest)) / 1e9 if len(to_newest) else None)


def _dropped(arrived: np.ndarray, kept: int) -> np.ndarray:
    """When each message had to make room for a newer one; infinity: it is still there."""
    return np.concatenate([arrived[kept:], np.full(min(kept, len(arrived)), np.inf)])
