"""Memory that two processes see. It has no name in the file system, so nothing is left of it, however they end."""

from __future__ import annotations

import math
import mmap
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np


class SharedArea:
    """One stretch of memory, known to both processes by its file descriptor. It grows when it must and never shrinks.

    fd: that of an area which the other process made; None makes a new one. Closed with this object.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = os.memfd_create("lisa-engine") if fd is None else fd
        self._map: mmap.mmap | None = None
        weakref.finalize(self, os.close, self.fd)

    def array(self, shape: Sequence[int], dtype: Any, offset: int = 0) -> np.ndarray:
        """The memory from ``offset`` (bytes) on as an array, no copy. Either process may ask first.

        Raises:
            OSError: there is no memory for it.
        """
        end = max(1, offset + math.prod(shape) * np.dtype(dtype).itemsize)
        if self._map is None or len(self._map) < end:
            if os.fstat(self.fd).st_size < end:
                # unlike ftruncate, this fails here and now when memory is short, not with SIGBUS at the first write
                os.posix_fallocate(self.fd, 0, -(-end // mmap.PAGESIZE) * mmap.PAGESIZE)
            self._map = mmap.mmap(self.fd, 0)  # arrays of the old one keep it alive; both show the same memory
        return np.ndarray(shape, dtype, self._map, offset)
