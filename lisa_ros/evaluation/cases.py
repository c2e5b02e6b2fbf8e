"""Which answers of an evaluation the report shows with pictures, and those pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.datasets.example import EvaluationSet
from lisa_ros.evaluation.metrics import IGNORE
from lisa_ros.evaluation.packed_mask import unpack_mask
from lisa_ros.evaluation.page import pictures
from lisa_ros.evaluation.protocol import truth
from lisa_ros.evaluation.rows import AnswerRow, ItemRow
from lisa_ros.evaluation.summary import iou

SHOWN = 6
"""Cases of each group on the page."""


@dataclass
class Case:
    """An answer. number: which of its picture's questions it is. pictures: (name, uint8 [h,w,3] RGB), in the page's
    order.
    """

    row: ItemRow
    number: int
    pictures: list[tuple[str, np.ndarray]] = field(default_factory=list)

    @property
    def answer(self) -> AnswerRow:
        return self.row.answers[self.number]


def choose(rows: Sequence[ItemRow]) -> dict[str, list[Case]]:
    """{"worst", "best", "false_alarms": cases}, each with at most `SHOWN`.

    Best and worst go by IoU, among equal ones by the larger target; an answer is in one of them at most. False alarms
    are answers to questions without a target, those with most pixels first.
    """
    cases = [Case(row, number) for row in rows for number in range(len(row.answers))]
    present = [case for case in cases if case.answer.target_pixels]
    alarms = [case for case in cases if not case.answer.target_pixels and case.answer.found]
    best = sorted(present, key=lambda case: (-iou(case.answer), -case.answer.target_pixels))
    half = min(SHOWN, -(-len(present) // 2))
    rest = sorted(best[half:], key=lambda case: (iou(case.answer), -case.answer.target_pixels))
    return {
        "worst": rest[:SHOWN],
        "best": best[:half],
        "false_alarms": sorted(alarms, key=lambda case: -case.answer.union)[:SHOWN],
    }


def add_pictures(cases: Sequence[Case], evaluation_set: EvaluationSet, protocol: str) -> None:
    """Read the pictures of these cases again and draw truth and answer into them; each picture is read once.

    Raises:
        DatasetError: a picture cannot be read any more.
    """
    for index in sorted({case.row.index for case in cases}):
        item = evaluation_set.evaluation_item(index)
        for case in cases:
            if case.row.index == index:
                target = truth(item.targets[case.number], protocol)
                case.pictures = _pictures(item.image, target, unpack_mask(case.answer.mask))


def _pictures(image: np.ndarray, target: np.ndarray, answer: np.ndarray) -> list[tuple[str, np.ndarray]]:
    small = pictures.shrink(image)
    ignored, wanted, said = (pictures.shrink(mask) for mask in (target == IGNORE, target == 1, answer))
    shown = [("frame", small)]
    if target.any():
        shown.append(("truth", pictures.target_picture(small, wanted, ignored)))
    return [*shown, ("answer", pictures.answer_picture(small, said, wanted, ignored))]
