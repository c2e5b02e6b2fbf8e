"""The learning rate of an update: up in a line, down in a line (DeepSpeed's WarmupDecayLR, which the reference uses)."""

from __future__ import annotations


def learning_rate(update: int, *, peak: float, warmup: int, updates: int) -> float:
    """Of update 0, 1, ... ``updates`` - 1.

    0 at the first update and ``peak`` at update ``warmup``; it would be 0 again at update ``updates``.
    """
    if update < warmup:
        return peak * update / warmup
    return peak * max(0.0, (updates - update) / max(1, updates - warmup))
