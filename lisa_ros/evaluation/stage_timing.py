"""Where the time of a query goes: the engine's stages, whole queries, and the same queries done the reference's way.

Both ways are measured in one run over one set of weights, so that their ratio holds whatever the machine is. The
weights are random and never end an answer (see random_weights.py): an answer takes as many tokens as it is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lisa_ros.evaluation.reference_way import ReferenceWay
from lisa_ros.evaluation.timing import Timing, measure, wait

BATCH, SHORT, LONG = 8, 5, 32
"""Queries at once; tokens of "Sure, [SEG].</s>", as published models answer; tokens of an explanation."""
FIRST, FURTHER = "first query", "further query"
EIGHT_FURTHER, EIGHT = f"batch of {BATCH}", f"{BATCH} queries, new frame"
ANSWER, ANSWER_NEW = f"{LONG}-token answer", f"{LONG}-token answer, new frame"
SHORT_NEW, EIGHT_SHORT = f"{SHORT}-token answer, new frame", f"{BATCH} x {SHORT} tokens, new frame"
STAGES = (
    ("preprocess", "preprocess", "resizing on the CPU, upload"),
    ("CLIP", "clip", "with projector"),
    ("SAM encoder", "sam", "on CUDA beside CLIP and prefix"),
    ("prefix", "prefix", "language model: picture, text before it"),
    ("question prefill", "language", "language model: text behind it"),
    ("mask decode", "decode", "text_hidden_fcs, SAM's decoder"),
    ("upsample", "upscale", "mask to the picture's size"),
    ("copy", "copy", "mask to the host"),
)
"""Row, the engine's name of that stage, remark."""
QUERY_ROWS = {
    FIRST: "encode and one question",
    FURTHER: "reference: all anew",
    EIGHT_FURTHER: "reference: all anew",
    EIGHT: "one batch in both ways",
    SHORT_NEW: "reference: chat.py",
    EIGHT_SHORT: "one batch; reference: one by one",
    ANSWER: "reference: all anew",
    ANSWER_NEW: "reference: chat.py",
}
"""Row, remark."""
NOTHING_KEPT = {FURTHER: FIRST, EIGHT_FURTHER: EIGHT, ANSWER: ANSWER_NEW}
"""Rows that the reference computes as if the frame were new."""


def query_timings(
    engine: Any,
    color: np.ndarray,
    queries: Sequence[str],
    *,
    repeats: int,
    budget_s: float = 20.0,
    on_row: Callable[[str], None] = lambda row: None,
) -> list[Timing]:
    """The engine's stages and whole queries.

    :param color: uint8 [H,W,3] RGB.
    :param queries: at least BATCH; asked in turn, so that no answer can be a remembered one.
    :param repeats: runs a row after one that does not count; fewer when `budget_s` is used up, at least one.
    :param on_row: called with each row's name before it is measured.
    """
    asked, eight = _Turn(queries), list(queries[:BATCH])
    stages: list[dict[str, float]] = []
    tokens: list[float] = []

    def timed(row: str, call: Callable[[], Any]) -> Timing:
        on_row(row)
        warmup = _warmup(engine.device)
        samples = measure(call, repeats=repeats, warmup=warmup, budget_s=budget_s, at_least=1)
        return Timing(row, samples, remark=QUERY_ROWS[row])

    def first() -> None:
        encoded = engine.encode(color)
        answer = engine.ask(encoded, [asked.query()])[0]
        stages.append({**encoded.seconds, **answer.seconds})

    def chat(encoded: Any, questions: list[str], length: int) -> dict[str, float]:
        return engine.ask(encoded, questions, mode="chat", max_new_tokens=length)[0].seconds

    first_query = timed(FIRST, first)
    encoded = engine.encode(color)
    wait(engine)
    whole = [
        first_query,
        timed(FURTHER, lambda: engine.ask(encoded, [asked.query()])),
        timed(EIGHT_FURTHER, lambda: engine.ask(encoded, eight)),
        timed(EIGHT, lambda: engine.ask(engine.encode(color), eight)),
        timed(SHORT_NEW, lambda: chat(engine.encode(color), [asked.chat()], SHORT)),
        timed(EIGHT_SHORT, lambda: chat(engine.encode(color), [chatty(query) for query in eight], SHORT)),
        timed(ANSWER, lambda: tokens.append(chat(encoded, [asked.chat()], LONG)["generate"])),
        timed(ANSWER_NEW, lambda: chat(engine.encode(color), [asked.chat()], LONG)),
    ]
    counted = stages[-len(first_query.samples_ms) :]
    rows = [
        Timing(row, [1000 * seconds[stage] for seconds in counted], remark=remark) for row, stage, remark in STAGES
    ]
    for row in rows:
        row.share = row.p50 / first_query.p50
    counted = tokens[-len(whole[-2].samples_ms) :]
    per_token = Timing("decode per token", [1000 * seconds / LONG for seconds in counted], remark=f"of the {ANSWER}")
    return [*rows, per_token, *whole]


def reference_timings(
    reference: ReferenceWay,
    color: np.ndarray,
    queries: Sequence[str],
    *,
    repeats: int,
    budget_s: float = 20.0,
    on_row: Callable[[str], None] = lambda row: None,
) -> dict[str, list[float]]:
    """Milliseconds of the reference's way through QUERY_ROWS; arguments as for `query_timings`.

    Eight short answers, which the reference writes one after another, are left out when they would take longer than
    three times the budget.
    """
    asked, eight = _Turn(queries), list(queries[:BATCH])
    samples: dict[str, list[float]] = {}

    def timed(row: str, call: Callable[[], Any]) -> None:
        on_row(f"reference: {row}")
        samples[row] = measure(
            call, repeats=repeats, warmup=_warmup(reference.device), budget_s=budget_s, at_least=1
        )

    def short(query: str) -> None:
        reference.generate(color, query, max_new_tokens=SHORT)

    timed(FIRST, lambda: reference.teacher_forced(color, [asked.query()]))
    timed(EIGHT, lambda: reference.teacher_forced(color, eight))
    timed(SHORT_NEW, lambda: short(asked.chat()))
    if BATCH * min(samples[SHORT_NEW]) < 3000 * budget_s:
        timed(EIGHT_SHORT, lambda: [short(chatty(query)) for query in eight])
    timed(ANSWER_NEW, lambda: reference.generate(color, asked.chat(), max_new_tokens=LONG))
    return samples | {row: samples[same] for row, same in NOTHING_KEPT.items()}


def chatty(query: str) -> str:
    """A query with [SEG] in it, which makes a mask in both ways: the random model never says [SEG] itself."""
    return f"{query} [SEG]"


def _warmup(device: str) -> int:
    """Runs that do not count: a GPU's clocks, libraries and graphs need some."""
    return 3 if str(device).startswith("cuda") else 1


class _Turn:
    """One query after another."""

    def __init__(self, queries: Sequence[str]) -> None:
        self._queries, self._next = queries, 0

    def query(self) -> str:
        self._next += 1
        return self._queries[self._next % len(self._queries)]

    def chat(self) -> str:
        return chatty(self.query())
