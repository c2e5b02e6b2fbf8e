"""Where the time of a query goes: the engine's stages, whole queries, and the same queries done the reference's way.

Both ways are measured in one run over one set of weights, so that their ratio holds whatever the machine is. The
weights are random and never end an answer (see random_weights.py): an answer takes as many tokens as it is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lisa_ros.evaluation.memory import PeakMemory
from lisa_ros.evaluation.timing import Timing, measure

WARMUP = 3
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


@dataclass
class Comparison:
    """What `compare` found. Peaks of memory in bytes, None where the system does not tell."""

    timings: list[Timing]
    peak: int | None
    reference_peak: int | None


def compare(
    engine: Any,
    reference: Any,
    color: np.ndarray,
    queries: Sequence[str],
    *,
    repeats: int,
    memory: PeakMemory,
    compiled: bool = False,
    budget_s: float = 20.0,
    on_row: Callable[[str], None] = lambda row: None,
) -> Comparison:
    """The engine's stages, and whole queries in both ways, each row's one right after the other.

    Eight short answers, which the reference writes one after another, are left out of its column when they would take
    longer than three times the budget.

    :param engine: an `Engine`. :param reference: a `ReferenceWay` over the same weights.
    :param color: uint8 [H,W,3] RGB.
    :param queries: at least BATCH; asked in turn, so that no answer can be a remembered one.
    :param repeats: runs a row after some that do not count; fewer when `budget_s` is used up, at least one.
    :param compiled: the engine compiles in its first runs, which then never count, however long they take.
    :param on_row: called with each row's name before it is measured.
    """
    work = _EngineWork(engine, color, queries)
    reference_work = _reference_work(reference, color, queries)
    timings: list[Timing] = []
    theirs: dict[str, list[float]] = {}
    peaks = {"engine": 0, "reference": 0}

    def timed(way: str, row: str, call: Callable[[], Any], warmup: int, hurry: bool) -> list[float]:
        on_row(f"{row}, {way}")
        memory.restart()
        samples = measure(call, repeats=repeats, warmup=warmup, budget_s=budget_s, at_least=1, hurry=hurry)
        peaks[way] = max(peaks[way], memory.bytes() or 0)
        return samples

    for row, call in work.rows().items():
        # compiled shapes depend on the queries' lengths: warmed up, every query has been asked
        samples = timed("engine", row, call, BATCH if compiled else WARMUP, hurry=not compiled)
        remark = QUERY_ROWS[row]
        expected_s = BATCH * min(theirs[SHORT_NEW]) / 1000 if row == EIGHT_SHORT else 0.0
        if expected_s > 3 * budget_s:
            remark = f"reference left out: {expected_s:.0f} s"
        elif row in reference_work:
            theirs[row] = timed("reference", row, reference_work[row], WARMUP, hurry=True)
        timings.append(Timing(row, samples, remark=remark))
    for timing in timings:
        timing.reference_ms = theirs.get(NOTHING_KEPT.get(timing.stage, timing.stage), [])
    of = {timing.stage: timing for timing in timings}
    stages = work.stage_timings(of[FIRST], of[ANSWER])
    return Comparison([*stages, *timings], peaks["engine"] or None, peaks["reference"] or None)


class _EngineWork:
    """The rows as calls of the engine, and the stages' times that these calls leave behind."""

    def __init__(self, engine: Any, color: np.ndarray, queries: Sequence[str]) -> None:
        self._engine, self._color = engine, color
        self._asked, self._eight = _Turn(queries), list(queries[:BATCH])
        self._frame = None  # of the first query, for the rows that ask about the same frame
        self._first: list[dict[str, float]] = []
        self._answers: list[float] = []

    def rows(self) -> dict[str, Callable[[], Any]]:
        """Row -> call, in the order in which to measure them."""
        new = self._new_frame
        return {
            FIRST: self._first_query,
            FURTHER: lambda: self._engine.ask(self._frame, [self._asked.query()]),
            EIGHT_FURTHER: lambda: self._engine.ask(self._frame, self._eight),
            EIGHT: lambda: self._engine.ask(new(), self._eight),
            SHORT_NEW: lambda: self._chat(new(), [self._asked.chat()], SHORT),
            EIGHT_SHORT: lambda: self._chat(new(), [chatty(query) for query in self._eight], SHORT),
            ANSWER: self._long_answer,
            ANSWER_NEW: lambda: self._chat(new(), [self._asked.chat()], LONG),
        }

    def stage_timings(self, first: Timing, answer: Timing) -> list[Timing]:
        """The stages of the runs that counted in two rows."""
        counted = self._first[-len(first.samples_ms) :]
        timings = [
            Timing(row, [1000 * seconds[stage] for seconds in counted], remark=remark) for row, stage, remark in STAGES
        ]
        for timing in timings:
            timing.share = timing.p50 / first.p50
        per_token = [1000 * seconds / LONG for seconds in self._answers[-len(answer.samples_ms) :]]
        return [*timings, Timing("decode per token", per_token, remark=f"of the {ANSWER}")]

    def _new_frame(self) -> Any:
        return self._engine.encode(self._color)

    def _first_query(self) -> None:
        self._frame = self._new_frame()
        answer = self._engine.ask(self._frame, [self._asked.query()])[0]
        self._first.append({**self._frame.seconds, **answer.seconds})

    def _long_answer(self) -> None:
        seconds = self._chat(self._frame, [self._asked.chat()], LONG)
        self._answers.append(seconds["generate"])

    def _chat(self, encoded: Any, queries: list[str], length: int) -> dict[str, float]:
        return self._engine.ask(encoded, queries, mode="chat", max_new_tokens=length)[0].seconds


def _reference_work(reference: Any, color: np.ndarray, queries: Sequence[str]) -> dict[str, Callable[[], Any]]:
    """Row -> call of the reference's way, for the rows that differ in it."""
    asked, eight = _Turn(queries), list(queries[:BATCH])

    def answer(query: str, length: int) -> None:
        reference.generate(color, query, max_new_tokens=length)

    return {
        FIRST: lambda: reference.teacher_forced(color, [asked.query()]),
        EIGHT: lambda: reference.teacher_forced(color, eight),
        SHORT_NEW: lambda: answer(asked.chat(), SHORT),
        EIGHT_SHORT: lambda: [answer(chatty(query), SHORT) for query in eight],
        ANSWER_NEW: lambda: answer(asked.chat(), LONG),
    }


def chatty(query: str) -> str:
    """A query with [SEG] in it, which makes a mask in both ways: the random model never says [SEG] itself."""
    return f"{query} [SEG]"


class _Turn:
    """One query after another."""

    def __init__(self, queries: Sequence[str]) -> None:
        self._queries, self._next = queries, 0

    def query(self) -> str:
        self._next += 1
        return self._queries[self._next % len(self._queries)]

    def chat(self) -> str:
        return chatty(self.query())
