"""How well an engine answers questions about held-out synthetic scenes, beside two baselines.

Protocol: every question of every frame of `Scenes`, all questions of a frame asked at once on one encoding. A present target
scores the IoU of the union of the answered masks; refusing it scores 0. Questions about absent targets enter no IoU: they count
as refused or not. Everything but the seconds is deterministic.

Two things can be asked besides, on the same encoding: the one sentence `BLIND_QUERY` instead of every question (what the picture
alone is worth: the same towers with the question removed), and every question in chat mode, whose written answers are compared
with the names of the targets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.evaluation.answers import Naming, target_names
from lisa_ros.evaluation.baselines import largest_object
from lisa_ros.evaluation.metrics import overlap
from lisa_ros.evaluation.packed_mask import pack_mask
from lisa_ros.evaluation.scenes import Scenes
from lisa_ros.evaluation.synthetic_rows import FrameRow, QuestionRow, append_row, continue_rows
from lisa_ros.evaluation.synthetic_summary import summarise

BLIND_QUERY = "the thing"
"""What takes the place of every question when the question is removed."""


def evaluate(
    engine: Any,
    make_frame: Callable[..., Any],
    *,
    count: int | None = None,
    split: str = "test",
    seed: int = 0,
    mode: str = "mask",
    questions: Mapping[int, Sequence[Any]] | None = None,
    blind: bool = False,
    naming: Naming | None = None,
    rows_path: Path | None = None,
    engine_digest: str = "",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Any]:
    """Ask every question of the frames and return the report.

    :param make_frame: `scannet_tools.synthetic.make_frame`.
    :param count: frames `seed .. seed + count - 1` of the split are asked about. With `questions`, at most so many of theirs;
        None means all of them, and it needs `questions`.
    :param questions: seed -> questions to ask instead of the generated ones, about frames of the test split.

    All other parameters: see :func:`ask_scenes`.
    """
    if (count is None and questions is None) or (count is not None and count < 1):
        raise ValueError(f"count is {count}: at least one frame is needed")
    if questions is None:
        scenes = Scenes(make_frame, range(seed, seed + count), split)
    else:
        scenes = Scenes.listed(make_frame, questions, count)
    asked = {"mode": mode, "blind": blind, "naming": naming, "rows_path": rows_path, "engine_digest": engine_digest}
    settings, rows = ask_scenes(engine, scenes, **asked, progress=progress)
    return report_of(settings, scenes, rows, naming)


def ask_scenes(
    engine: Any,
    scenes: Scenes,
    *,
    mode: str = "mask",
    blind: bool = False,
    naming: Naming | None = None,
    rows_path: Path | None = None,
    engine_digest: str = "",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[dict[str, Any], list[FrameRow]]:
    """Ask all questions; settings of the run and one row per frame, for :func:`report_of`.

    :param engine: a `lisa_ros.engine.Engine` (anything with `encode` and `ask`).
    :param blind: ask `BLIND_QUERY` as well, in mask mode and with nothing refused.
    :param naming: when given, have every question answered in writing as well (in chat mode the answers are there anyway).
    :param rows_path: one JSON line per finished frame is appended here; a second call with the same settings, engine digest and
        scenes continues after the last of them, any other call starts the file again.
    :param engine_digest: identifies the weights (see `lisa_ros.cli.checkpoint.digest`); part of what "same settings" means.
    :param progress: wraps the seeds, e.g. `tqdm.tqdm`.
    """
    settings = {
        "model": engine.name,
        "engine_digest": engine_digest,
        "device": engine.device,
        "dtype": engine.dtype,
        "min_target_probability": engine.min_target_probability,
        "mode": mode,
        "also_asked": [name for name, wanted in (("blind", blind), ("answers", naming is not None)) if wanted],
        "questions": scenes.source,
        "split": scenes.split,
        "scenes": scenes.digest(),
    }
    done = continue_rows(rows_path, settings)
    rows = []
    for seed in progress(scenes.seeds):
        if seed not in done:
            frame = scenes.frame(seed)
            done[seed] = ask_frame(engine, frame, seed, mode=mode, blind=blind, naming=naming)
            append_row(rows_path, done[seed])
        rows.append(done[seed])
    return settings, rows


def report_of(
    settings: Mapping[str, Any], scenes: Scenes, rows: Sequence[FrameRow], naming: Naming | None = None
) -> dict[str, Any]:
    """Settings and figures (see :func:`summarise`) of one run."""
    report = {**settings, "seed": scenes.seeds[0], "count": len(rows), **summarise(rows, naming)}
    if "blind" in report:
        report["blind"]["query"] = BLIND_QUERY
    return report


def beside(report: Mapping[str, Any], rows: Sequence[FrameRow], own: Sequence[FrameRow]) -> dict[str, Any]:
    """Another model's report, as a part of the report of a model that was asked the very same things.

    :param rows: of the other model. :param own: of the model beside which it stands.
    :raises ValueError: they were not asked the same questions about the same targets.
    """
    first, second = ([(row.seed, q.text, q.target) for row in some for q in row.questions] for some in (own, rows))
    if first != second:
        raise ValueError("the two models were not asked the same questions: the scenes changed between their runs")
    return {key: value for key, value in report.items() if key != "baselines"}


def ask_frame(
    engine: Any, frame: Any, seed: int, *, mode: str, blind: bool = False, naming: Naming | None = None
) -> FrameRow:
    """Ask all questions of one synthetic frame in one call and measure the answers; `blind`, `naming` as in ask_scenes."""
    texts = [question.text for question in frame.questions]
    started = time.perf_counter()
    encoded = engine.encode(frame.color)
    encoded_at = time.perf_counter()
    answers = engine.ask(encoded, texts, mode=mode)
    asked_at = time.perf_counter()
    row = FrameRow(seed, encoded_at - started, asked_at - encoded_at)
    written = answers
    if naming is not None and mode != "chat":
        written = engine.ask(encoded, texts, mode="chat")
        row.write_seconds = time.perf_counter() - asked_at
    unasked = _blind_mask(engine, encoded, frame.instance.shape) if blind else None
    largest = largest_object(frame.instance)
    for question, said, wrote in zip(frame.questions, answers, written, strict=True):
        target = np.isin(frame.instance, question.targets)
        mask = _union(said, target.shape)
        measured, by_largest = overlap(mask, target), overlap(largest, target)
        answer = QuestionRow(
            text=question.text,
            kind=question.kind,
            found=bool(mask.any()),  # as perceive() sees it: an empty mask finds nothing
            target_probability=float(said.target_probability),
            answer=said.answer,
            measured=(measured.intersection, measured.union),
            largest=(by_largest.intersection, by_largest.union),
            target=pack_mask(target),
            mask=pack_mask(mask),
        )
        if unasked is not None:
            without = overlap(unasked, target)
            answer.blind = (without.intersection, without.union)
        if naming is not None:
            answer.written, answer.named = wrote.answer, target_names(frame, question.targets)
        row.questions.append(answer)
    return row


def _blind_mask(engine: Any, encoded: Any, shape: tuple[int, int]) -> np.ndarray:
    """bool [H,W]: what the engine answers when the question is removed and nothing is refused."""
    minimum = engine.min_target_probability
    engine.min_target_probability = 0.0
    try:
        return _union(engine.ask(encoded, [BLIND_QUERY], mode="mask")[0], shape)
    finally:
        engine.min_target_probability = minimum


def _union(said: Any, shape: tuple[int, int]) -> np.ndarray:
    """bool [H,W]: all masks of an answer together."""
    return said.masks.any(axis=0) if len(said.masks) else np.zeros(shape, dtype=bool)
