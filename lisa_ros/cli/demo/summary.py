"""The demo's table in the terminal."""
from __future__ import annotations

import textwrap
from collections.abc import Sequence

from lisa_ros.cli.demo.inputs import DemoInput
from lisa_ros.cli.demo.record import Answer
from lisa_ros.cli.table import render

HEADERS = ("question", "answer", "found?", "mask IoU", "points", "3D box [m]", "engine ms", "total ms")

LONGEST_ANSWER = 120
"""Characters of an answer that the table shows; the page and result.json hold all of it."""


def summary(shown: DemoInput, answers: Sequence[Answer]) -> str:
    """Table, checks, and what has to be said about the input; readable at 120 columns."""
    parts = ["", f"input: {shown.title}", "", render(HEADERS, [_row(answer) for answer in answers], align="lllrrlrr"), ""]
    parts.append(_checks(answers))
    if shown.note:
        parts += ["", textwrap.fill(f"note: {shown.note}", 118)]
    return "\n".join(parts)


def _row(answer: Answer) -> tuple[object, ...]:
    result = answer.reply.result
    return (
        answer.query.text,
        _shortened(result.answer or result.message) if result else "-",
        answer.found_text,
        None if answer.iou is None else f"{answer.iou:.2f}",
        answer.point_count or None,
        "\n".join(size_text(size) for size in answer.box_sizes) or None,
        f"{1000 * answer.engine_seconds:.0f}",
        f"{1000 * answer.reply.seconds:.0f}",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_ANSWER else text[: LONGEST_ANSWER - 4] + " ..."


def size_text(size: Sequence[float]) -> str:
    """A box's size in metres, e.g. "0.12 x 0.10 x 0.08"."""
    return " x ".join(f"{side:.2f}" for side in size)


def _checks(answers: Sequence[Answer]) -> str:
    """One line when all held; otherwise every failed check with its question."""
    checks = [check for answer in answers for check in answer.checks]
    failed = [(answer, check) for answer in answers for check in answer.checks if not check.passed]
    if not failed:
        return f"all {len(checks)} checks held: one result per question; masks, clouds and boxes agree with their results"
    lines = [f"{len(failed)} of {len(checks)} checks FAILED:"]
    lines += [f"  {answer.query.text}: not so: {check.claim} ({check.detail})" for answer, check in failed]
    return "\n".join(lines)
