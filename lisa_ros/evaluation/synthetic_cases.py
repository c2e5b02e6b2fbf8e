"""Which answers of an evaluation on synthetic scenes its page shows with pictures, and those pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lisa_ros.evaluation.packed_mask import unpack_mask
from lisa_ros.evaluation.page import pictures
from lisa_ros.evaluation.synthetic_rows import FrameRow, QuestionRow

SHOWN = 12
"""Cases of each group on the page."""
LONG_SIDE = 240
"""Pixels of the longer side of each of its pictures."""


@dataclass
class Case:
    """An answer about the frame of a seed. pictures: (name, uint8 [h,w,3] RGB), in the page's order."""

    seed: int
    answer: QuestionRow
    pictures: list[tuple[str, np.ndarray]] = field(default_factory=list)


def choose(rows: Sequence[FrameRow]) -> dict[str, list[Case]]:
    """{"best", "median", "worst": at most `SHOWN` cases each} of the questions with a target, none in two of them.

    They go by IoU, among equal ones by the pixels that answer and target cover together, most first; "median" is the middle
    of all, best first.
    """
    cases = [Case(row.seed, answer) for row in rows for answer in row.questions if answer.present]
    cases.sort(key=lambda case: (-case.answer.iou, -case.answer.measured[1]))
    each = min(SHOWN, -(-len(cases) // 3))
    begin = max((len(cases) - each) // 2, each)
    rest = sorted(cases[begin + each :], key=lambda case: (case.answer.iou, -case.answer.measured[1]))
    return {"best": cases[:each], "median": cases[begin : begin + each], "worst": rest[:SHOWN]}


def add_pictures(cases: Sequence[Case], frame_of: Callable[[int], Any]) -> None:
    """Draw the frames of these cases again, with truth and answer in them; each frame is drawn once.

    :param frame_of: seed -> frame, see `lisa_ros.evaluation.scenes.Scenes.frame`.
    """
    for seed in sorted({case.seed for case in cases}):
        color = pictures.shrink(frame_of(seed).color, LONG_SIDE)
        for case in cases:
            if case.seed == seed:
                wanted, said = (
                    pictures.shrink(unpack_mask(packed), LONG_SIDE) for packed in (case.answer.target, case.answer.mask)
                )
                case.pictures = [
                    ("frame", color),
                    ("truth", pictures.target_picture(color, wanted)),
                    ("answer", pictures.answer_picture(color, said, wanted)),
                ]
