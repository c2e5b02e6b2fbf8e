"""Peak resident memory of this process."""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np


def peak_resident_mb() -> float:
    """Most memory that this process ever held since it began, in MB (10^6 bytes): libraries, weights and everything that
    was done so far. Memory of a GPU is not in it.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_after_a_query_mb(engine: Any) -> float:
    """The same once a black picture, 640x480, has been encoded and asked about in both modes. Called right after loading, it
    is what a process needs that does nothing but load the model and answer.
    """
    encoded = engine.encode(np.zeros((480, 640, 3), np.uint8))
    for mode in ("mask", "chat"):
        engine.ask(encoded, ["the thing"], mode=mode)
    return peak_resident_mb()
