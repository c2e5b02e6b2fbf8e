"""What a person waits for: the first query on a frame and further ones, asked one at a time on synthetic frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lisa_ros.evaluation.timing import Timing, measure

FRAMES = 30
FURTHER = 3
"""Further queries on each frame."""


def query_seconds(engine: Any, frames: Iterable[Any], *, mode: str = "mask") -> dict[str, dict[str, float]]:
    """Seconds of encode and one question on a new frame, and of one question more on the same frame.

    One first query that does not count comes before all others. Frames are taken one by one, between the measurements.

    :param frames: synthetic frames with their questions; those without questions are left out.
    :return: {"first_query" and "further_query": {p50, p95, n}}, what was never measured is left out.
    """
    first, further = Timing("first_query", []), Timing("further_query", [])
    for frame in frames:
        queries = [question.text for question in frame.questions[: 1 + FURTHER]]
        if not queries:
            continue
        if not first.samples_ms:
            _new_frame(engine, frame, queries[0], mode)
        asking = _new_frame(engine, frame, queries[0], mode)
        first.samples_ms.append(asking[0])
        for query in queries[1:]:
            further.samples_ms += _once(lambda q=query, encoded=asking[1]: engine.ask(encoded, [q], mode=mode))
    return {
        timing.stage: {"p50": timing.p50 / 1000, "p95": timing.p95 / 1000, "n": len(timing.samples_ms)}
        for timing in (first, further)
        if timing.samples_ms
    }


def _new_frame(engine: Any, frame: Any, query: str, mode: str) -> tuple[float, Any]:
    """(milliseconds, encoded frame) of a first query."""
    encoded = None

    def ask() -> None:
        nonlocal encoded
        encoded = engine.encode(frame.color)
        engine.ask(encoded, [query], mode=mode)

    return _once(ask)[0], encoded


def _once(call: Any) -> list[float]:
    return measure(call, repeats=1, warmup=0)
