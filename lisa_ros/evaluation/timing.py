"""How long the stages of one query take, measured from outside the engine (what a user of it waits for)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LIFT_LIMIT_MS = 30.0
"""Lifting a full ScanNet frame, 1296x968, on one core."""
OVERHEAD_LIMIT_MS = 15.0
"""Query in to result out over ROS, less the engine."""


@dataclass
class Timing:
    """Milliseconds of one stage over several runs."""

    stage: str
    samples_ms: list[float]
    limit_ms: float | None = None
    remark: str = ""
    share: float | None = None
    """Of the first query's time."""
    reference_ms: list[float] = field(default_factory=list)
    """The same work done the reference's way."""

    @property
    def p50(self) -> float:
        """The median."""
        return float(np.percentile(self.samples_ms, 50))

    @property
    def p95(self) -> float:
        """95 of 100 runs are faster."""
        return float(np.percentile(self.samples_ms, 95))

    def as_dict(self) -> dict[str, Any]:
        """For JSON. What was not measured is left out."""
        row = {
            "stage": self.stage,
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "n": len(self.samples_ms),
            "limit_ms": self.limit_ms,
            "remark": self.remark,
        }
        if self.share is not None:
            row["share"] = self.share
        if self.reference_ms:
            row |= {
                "reference_p50_ms": float(np.percentile(self.reference_ms, 50)),
                "reference_p95_ms": float(np.percentile(self.reference_ms, 95)),
                "reference_n": len(self.reference_ms),
            }
        return row


def measure(
    call: Callable[[], Any],
    *,
    repeats: int,
    warmup: int = 2,
    budget_s: float = 20.0,
    at_least: int = 3,
    hurry: bool = False,
) -> list[float]:
    """Milliseconds of `repeats` calls after `warmup` calls that do not count; fewer when the budget is used up.

    :param at_least: calls that count whatever they take.
    :param hurry: for calls that may take minutes. Warm-up ends once it took a quarter of the budget, and a first call
        that took all of it counts.
    """
    warming = 0.0
    for _ in range(warmup):
        took = _milliseconds(call)
        warming += took
        if hurry and took > 1000 * budget_s:
            return [took]
        if hurry and warming > 250 * budget_s:
            break
    samples: list[float] = []
    end = time.perf_counter() + budget_s
    while len(samples) < repeats and (len(samples) < at_least or time.perf_counter() < end):
        samples.append(_milliseconds(call))
    return samples


def _milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def engine_timings(engine: Any, color: np.ndarray, queries: Sequence[str], *, repeats: int = 10) -> list[Timing]:
    """Encode, first query, further query and chat answer of one engine on one picture.

    :param color: uint8 [H,W,3] RGB.
    :param queries: asked in turn, so that no answer can be a remembered one; at least two.
    """
    size = f"{color.shape[1]}x{color.shape[0]}"
    turn = 0

    def next_query() -> list[str]:
        nonlocal turn
        turn += 1
        return [queries[turn % len(queries)]]

    def encode() -> Any:
        encoded = engine.encode(color)
        _wait(engine)
        return encoded

    encoded = encode()
    answers = engine.ask(encoded, [queries[0]], mode="chat")
    tokens = len(answers[0].output_ids)
    first = measure(lambda: engine.ask(engine.encode(color), next_query(), mode="mask"), repeats=repeats)
    further = measure(lambda: engine.ask(encoded, next_query(), mode="mask"), repeats=repeats)
    batch = measure(lambda: engine.ask(encoded, (list(queries) * 8)[:8], mode="mask"), repeats=repeats, warmup=1)
    chat = measure(lambda: engine.ask(encoded, [queries[0]], mode="chat"), repeats=repeats)
    return [
        Timing("encode", measure(encode, repeats=repeats), remark=f"{size}, once per frame"),
        Timing("first query", first, remark="encode + one question"),
        Timing("further query", further, remark="same frame"),
        Timing("batch of 8", batch, remark="8 questions at once, same frame"),
        Timing("chat answer", chat, remark=f"same frame, {tokens} tokens"),
    ]


def lift_timings(frame: Any, mask: np.ndarray, *, repeats: int = 20) -> list[Timing]:
    """Mask + depth to cleaned cloud, at the frame's own size and at 1296x968, and the oriented box of the larger cloud.

    :param frame: a `lisa_ros.geometry.Frame` with depth and camera.
    :param mask: bool [H,W] of the target in it.
    """
    from lisa_ros.geometry.box import oriented_box
    from lisa_ros.geometry.depth import resample
    from lisa_ros.geometry.lift import lift

    timings = []
    for width, height, limit in ((frame.color.shape[1], frame.color.shape[0], None), (1296, 968, LIFT_LIMIT_MS)):
        color, depth, target = (resample(image, height, width) for image in (frame.color, frame.depth, mask))
        arguments = (target, depth, frame.camera.scaled_to(width, height), color)
        cloud = lift(*arguments)
        samples = measure(lambda a=arguments: lift(*a), repeats=repeats)
        remark = f"{100 * target.mean():.0f} % of the frame, {len(cloud)} points"
        timings.append(Timing(f"lift {width}x{height}", samples, limit, remark))
    samples = measure(lambda: oriented_box(cloud.points), repeats=repeats)
    return [*timings, Timing("oriented box", samples, remark="of those points")]


def _wait(engine: Any) -> None:
    """Let the device finish: only then is an encoding's time its whole time."""
    if str(engine.device).startswith("cuda"):
        import torch

        torch.cuda.synchronize()
