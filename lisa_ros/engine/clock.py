"""Seconds by stage, without making a GPU wait: on CUDA stages are bracketed by events that are read only when somebody
asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StageClock:
    """Times stages on a device. On CUDA a stage's time is that of the stream it was begun on; stages on two streams may
    overlap."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._stages: list[tuple[str, object, object]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block under a name."""
        begin = self._now()
        yield
        self._stages.append((name, begin, self._now()))

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds, in the order they ended. Waits for the device."""
        if self._cuda:
            for _, _, end in self._stages:
                end.synchronize()
            return {name: begin.elapsed_time(end) / 1000 for name, begin, end in self._stages}
        return {name: end - begin for name, begin, end in self._stages}

    def _now(self) -> object:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
