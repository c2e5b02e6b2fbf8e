"""How well an engine answers questions about held-out synthetic scenes, beside two baselines.

Protocol: frames `seed .. seed + count - 1` of one split of `scannet_tools.synthetic`, every question of every frame, all
questions of a frame asked at once on one encoding. A present target scores the IoU of the union of the answered masks; refusing
it scores 0. Questions about absent targets enter no IoU: they count as refused or not. Everything but the seconds is
deterministic.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.evaluation.baselines import BestConstant, largest_object
from lisa_ros.evaluation.metrics import Overlap, SegmentationScore, overlap
from lisa_ros.evaluation.packed_mask import pack_mask, unpack_mask

KINDS = ("explicit", "relational", "use")
"""Kinds of question that have a target, in the order of the table; "absent" is the fourth kind."""


@dataclass
class QuestionRow:
    """One question and how it was answered."""

    text: str
    kind: str
    found: bool
    target_probability: float
    answer: str
    measured: tuple[int, int]
    """(intersection, union) of the answer with the target, pixels."""
    largest: tuple[int, int]
    """The same for the largest-object baseline."""
    target: str
    """The target mask, see `lisa_ros.evaluation.packed_mask`."""


@dataclass
class FrameRow:
    """All questions of one frame, and the seconds that the engine took for them."""

    seed: int
    encode_seconds: float
    ask_seconds: float
    questions: list[QuestionRow] = field(default_factory=list)


def evaluate(
    engine: Any,
    make_frame: Callable[..., Any],
    *,
    count: int,
    split: str = "test",
    seed: int = 0,
    mode: str = "mask",
    rows_path: Path | None = None,
    engine_digest: str = "",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Any]:
    """Ask every question of `count` frames and return the report (see :func:`summarise`).

    :param engine: a `lisa_ros.engine.Engine` (anything with `encode` and `ask`).
    :param make_frame: `scannet_tools.synthetic.make_frame`.
    :param rows_path: one JSON line per finished frame is appended here; a second call with the same settings, engine digest and
        scenes continues after the last of them, any other call starts the file again.
    :param engine_digest: identifies the weights (see `lisa_ros.cli.checkpoint.digest`); part of what "same settings" means.
    :param progress: wraps the seeds, e.g. `tqdm.tqdm`.
    """
    if count < 1:
        raise ValueError(f"count is {count}: at least one frame is needed")
    settings = {
        "model": engine.name,
        "engine_digest": engine_digest,
        "device": engine.device,
        "dtype": engine.dtype,
        "min_target_probability": engine.min_target_probability,
        "mode": mode,
        "split": split,
        "scenes": _scene_digest(make_frame(seed, split=split)),
    }
    done = _continue_rows(rows_path, settings)
    rows = []
    for frame_seed in progress(range(seed, seed + count)):
        if frame_seed not in done:
            done[frame_seed] = ask_frame(engine, make_frame(frame_seed, split=split), frame_seed, mode=mode)
            _append_row(rows_path, done[frame_seed])
        rows.append(done[frame_seed])
    return {**settings, "seed": seed, "count": count, **summarise(rows)}


def ask_frame(engine: Any, frame: Any, seed: int, *, mode: str) -> FrameRow:
    """Ask all questions of one synthetic frame in one call and measure the answers."""
    started = time.perf_counter()
    encoded = engine.encode(frame.color)
    encoded_at = time.perf_counter()
    answers = engine.ask(encoded, [question.text for question in frame.questions], mode=mode)
    row = FrameRow(seed, encoded_at - started, time.perf_counter() - encoded_at)
    largest = largest_object(frame.instance)
    for question, said in zip(frame.questions, answers, strict=True):
        target = np.isin(frame.instance, question.targets)
        mask = said.masks.any(axis=0) if len(said.masks) else np.zeros_like(target)
        found = bool(mask.any())  # as perceive() sees it: an empty mask finds nothing
        measured, by_largest = overlap(mask, target), overlap(largest, target)
        row.questions.append(
            QuestionRow(
                question.text,
                question.kind,
                found,
                float(said.target_probability),
                said.answer,
                (measured.intersection, measured.union),
                (by_largest.intersection, by_largest.union),
                pack_mask(target),
            )
        )
    return row


def summarise(rows: Sequence[FrameRow]) -> dict[str, Any]:
    """The figures of a run.

    Keys: `kinds` (explicit, relational, use, overall: giou, ciou, n, refused), `absent_refused` and `false_refusals` (shares, None
    without such questions) with their counts `absent_n` and `present_n`, `baselines` (`largest_object`, `constant_answer`: the
    same kinds; the latter with its threshold), `seconds` (means: encode per frame, ask per question).
    """
    questions = [question for row in rows for question in row.questions]
    present = [question for question in questions if question.kind != "absent"]
    absent = [question for question in questions if question.kind == "absent"]
    constant = BestConstant()
    for question in present:
        constant.see(unpack_mask(question.target))
    by_constant = constant.overlaps(unpack_mask(question.target) for question in present)
    kinds = _by_kind(present, [Overlap(*question.measured) for question in present])
    for kind, figures in kinds.items():
        figures["refused"] = sum(not q.found for q in present if kind in (q.kind, "overall"))
    return {
        "kinds": kinds,
        "absent_refused": _share(sum(not question.found for question in absent), len(absent)),
        "absent_n": len(absent),
        "false_refusals": _share(sum(not question.found for question in present), len(present)),
        "present_n": len(present),
        "baselines": {
            "largest_object": {"kinds": _by_kind(present, [Overlap(*question.largest) for question in present])},
            "constant_answer": {"threshold": constant.threshold, "kinds": _by_kind(present, by_constant)},
        },
        "seconds": {
            "encode_per_frame": sum(row.encode_seconds for row in rows) / len(rows),
            "ask_per_question": sum(row.ask_seconds for row in rows) / max(len(questions), 1),
        },
    }


def _by_kind(questions: Sequence[QuestionRow], overlaps: Sequence[Overlap]) -> dict[str, dict[str, Any]]:
    """{kind: {giou, ciou, n}} for every kind with a target, then "overall"."""
    scores = {kind: SegmentationScore() for kind in (*KINDS, "overall")}
    for question, measured in zip(questions, overlaps, strict=True):
        scores.setdefault(question.kind, SegmentationScore()).add(measured)
        scores["overall"].add(measured)
    return {kind: {"giou": score.giou, "ciou": score.ciou, "n": score.count} for kind, score in scores.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _scene_digest(frame: Any) -> str:
    """Tells whether the scene generator still draws what it drew: a hash over the first frame and its questions."""
    digest = hashlib.sha256(np.ascontiguousarray(frame.color).tobytes())
    digest.update(repr([(question.text, tuple(question.targets)) for question in frame.questions]).encode())
    return digest.hexdigest()[:16]


def _continue_rows(path: Path | None, settings: dict[str, Any]) -> dict[int, FrameRow]:
    """Finished frames of an earlier call with the same settings; otherwise the file begins again with these settings."""
    if path is None:
        return {}
    done: dict[int, FrameRow] = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    try:
        if lines and json.loads(lines[0]) == settings:
            for line in lines[1:]:
                if line.endswith("\n"):  # a line without its end was cut off by the interruption
                    row = json.loads(line)
                    done[row["seed"]] = FrameRow(**{**row, "questions": [QuestionRow(**q) for q in row["questions"]]})
    except (json.JSONDecodeError, KeyError, TypeError):
        done = {}  # not a file of ours, or of another version: begin again
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join([json.dumps(settings) + "\n", *map(_row_line, done.values())]), encoding="utf-8")
    fresh.replace(path)
    return done


def _append_row(path: Path | None, row: FrameRow) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(_row_line(row))


def _row_line(row: FrameRow) -> str:
    return json.dumps({**vars(row), "questions": [vars(question) for question in row.questions]}) + "\n"
