"""The figures of an evaluation: gIoU and cIoU in all and by kind of question, and how well absent targets are refused.

gIoU and cIoU are LISA's (`lisa_ros.evaluation.metrics`). For questions without a target they equal those of GRES (Liu,
Ding, Jiang, CVPR 2023): an empty answer scores 1, any other one 0 and adds its pixels to the union. N-acc and T-acc are
GRES's too: the share of questions without a target whose answer is empty, and of those with one whose answer is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lisa_ros.evaluation.metrics import Overlap, SegmentationScore
from lisa_ros.evaluation.rows import AnswerRow, ItemRow, by_index


@dataclass(frozen=True)
class Score:
    """Of n questions. giou and ciou are between 0 and 1."""

    giou: float
    ciou: float
    n: int


@dataclass(frozen=True)
class Summary:
    """The figures of a run.

    Attributes:
        giou, ciou, n: over all questions. by_kind: {kind: Score}, "short" first, then by name.
        no_target_accuracy: N-acc, None without such questions; no_target_n: how many there are.
        target_accuracy: T-acc, None when no question has a target.
        pictures: how many. seconds: mean of a picture with all its questions.
    """

    giou: float
    ciou: float
    n: int
    by_kind: dict[str, Score] = field(default_factory=dict)
    no_target_accuracy: float | None = None
    no_target_n: int = 0
    target_accuracy: float | None = None
    pictures: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def summarise_rows(rows: Sequence[ItemRow]) -> Summary:
    """The figures of rows, of one process or of several together; their order does not matter.

    Raises:
        RowsError: a picture is among them twice. ValueError: there is no question in them.
    """
    rows = list(by_index(rows).values())
    answers = [answer for row in rows for answer in row.answers]
    if not answers:
        raise ValueError("no question was asked: there is nothing to summarise")
    overall = _score(answers)
    present = [answer.found for answer in answers if answer.target_pixels]
    absent = [not answer.found for answer in answers if not answer.target_pixels]
    return Summary(
        overall.giou,
        overall.ciou,
        overall.n,
        {kind: _score([a for a in answers if a.kind == kind]) for kind in _kinds(answers)},
        no_target_accuracy=sum(absent) / len(absent) if absent else None,
        no_target_n=len(absent),
        target_accuracy=sum(present) / len(present) if present else None,
        pictures=len(rows),
        seconds=sum(row.seconds for row in rows) / len(rows),
    )


def iou(answer: AnswerRow) -> float:
    """IoU of one answer."""
    return Overlap(answer.intersection, answer.union).iou


def _kinds(answers: Sequence[AnswerRow]) -> list[str]:
    """In the order of a table: ReasonSeg's "short" stands before "long" in the paper's."""
    return sorted({answer.kind for answer in answers}, key=lambda kind: (kind != "short", kind))


def _score(answers: Sequence[AnswerRow]) -> Score:
    score = SegmentationScore()
    for answer in answers:
        score.add(Overlap(answer.intersection, answer.union))
    return Score(score.giou, score.ciou, score.count)
