"""Times of frames that can be trusted, whatever the recording says.

ScanNet's time stamps are zero in many scans and random in a few frames of others (ScanNet issue 9), so they are taken
only when those of the whole file make sense together; else frames are 1/30 s apart.
"""

from __future__ import annotations

import numpy as np

FIRST_NS = 1_000_000_000
"""Of stamps that had to be made up, and the earliest of all: tf2 and simulated clocks take 0 for "no time"."""
RATE = 30
_SHORTEST_US, _LONGEST_US = 1_000, 10_000_000
_LAST_US = 4_000_000_000_000_000  # the year 2096; a ROS stamp ends in 2106


def plausible(stamps_us: np.ndarray) -> bool:
    """Whether stamps [n] in microseconds increase from each frame to the next, by 1 ms to 10 s."""
    stamps = np.asarray(stamps_us, np.uint64)
    if len(stamps) < 2 or stamps.max(initial=0) > _LAST_US:
        return False
    steps = np.diff(stamps.astype(np.int64))
    return bool((steps >= _SHORTEST_US).all() and (steps <= _LONGEST_US).all())


def stamps_ns(stamps_us: np.ndarray) -> np.ndarray:
    """int64 [n] nanoseconds, strictly increasing, none before FIRST_NS: those of the file where they are plausible
    (moved by FIRST_NS if they begin near 0), else one every 1/RATE s.
    """
    if not plausible(stamps_us):
        return FIRST_NS + np.arange(len(stamps_us), dtype=np.int64) * 1_000_000_000 // RATE
    stamps = np.asarray(stamps_us).astype(np.int64) * 1000
    return stamps + (FIRST_NS if stamps[0] < FIRST_NS else 0)
