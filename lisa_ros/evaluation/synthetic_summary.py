"""The figures of an evaluation on synthetic scenes, from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lisa_ros.evaluation.answers import Naming, answer_shares
from lisa_ros.evaluation.baselines import BestConstant
from lisa_ros.evaluation.calibration import calibration
from lisa_ros.evaluation.metrics import Overlap, SegmentationScore
from lisa_ros.evaluation.packed_mask import unpack_mask
from lisa_ros.evaluation.synthetic_rows import FrameRow, QuestionRow

KINDS = ("explicit", "relational", "comparison", "several", "use", "held-out use")
"""Kinds of question that have a target, in the order of the table; "absent" is the kind that has none."""


def summarise(rows: Sequence[FrameRow], naming: Naming | None = None) -> dict[str, Any]:
    """The figures of a run.

    Keys: `kinds` (KINDS, overall: giou, ciou, n, refused; giou and ciou are 0 where n is), `absent_refused` and
    `false_refusals` (shares, None without such questions) with their counts `absent_n` and `present_n`, `baselines`
    (`largest_object`, `constant_answer`: the same kinds; the latter with its threshold), `blind` (only when it was asked:
    the same kinds), `calibration` (see `lisa_ros.evaluation.calibration`), `answers` (only when they were written and
    `naming` is given, see `lisa_ros.evaluation.answers`), `seconds` (means: encode per frame, ask and write per question).
    """
    questions = [question for row in rows for question in row.questions]
    present = [question for question in questions if question.present]
    absent = [question for question in questions if not question.present]
    constant = BestConstant()
    for question in present:
        constant.see(unpack_mask(question.target))
    by_constant = constant.overlaps(unpack_mask(question.target) for question in present)
    kinds = _by_kind(present, [Overlap(*question.measured) for question in present])
    for kind, figures in kinds.items():
        figures["refused"] = sum(not q.found for q in present if kind in (q.kind, "overall"))
    report = {
        "kinds": kinds,
        "absent_refused": _share(sum(not question.found for question in absent), len(absent)),
        "absent_n": len(absent),
        "false_refusals": _share(sum(not question.found for question in present), len(present)),
        "present_n": len(present),
        "baselines": {
            "largest_object": {"kinds": _by_kind(present, [Overlap(*question.largest) for question in present])},
            "constant_answer": {"threshold": constant.threshold, "kinds": _by_kind(present, by_constant)},
        },
        "calibration": calibration([q.target_probability for q in questions], [q.present for q in questions]),
        "seconds": {
            "encode_per_frame": sum(row.encode_seconds for row in rows) / len(rows),
            "ask_per_question": sum(row.ask_seconds for row in rows) / max(len(questions), 1),
        },
    }
    written = [row.write_seconds for row in rows if row.write_seconds is not None]
    if written:
        report["seconds"]["write_per_question"] = sum(written) / max(len(questions), 1)
    if any(question.blind is not None for question in questions):
        report["blind"] = {"kinds": _by_kind(present, [Overlap(*question.blind) for question in present])}
    if naming is not None:
        pairs = [(q.written, q.named) for q in questions if q.written is not None and q.named is not None]
        report["answers"] = answer_shares(pairs, naming)
    return report


def _by_kind(questions: Sequence[QuestionRow], overlaps: Sequence[Overlap]) -> dict[str, dict[str, Any]]:
    """{kind: {giou, ciou, n}} for every kind with a target, then "overall"."""
    scores = {kind: SegmentationScore() for kind in (*KINDS, "overall")}
    for question, measured in zip(questions, overlaps, strict=True):
        scores.setdefault(question.kind, SegmentationScore()).add(measured)
        scores["overall"].add(measured)
    return {kind: {"giou": score.giou, "ciou": score.ciou, "n": score.count} for kind, score in scores.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
