"""How well the answers to questions fit on a scan's vertices.

ScanNet has no benchmark for language queries; these are the usual figures of 3D referring segmentation: IoU, precision
and recall per question, and the share of questions with an IoU of at least 0.25 and 0.5 (ScanRefer's Acc@k, on vertices
instead of boxes). A question about what is not there is right when nothing is answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class VertexOverlap(NamedTuple):
    """Numbers of vertices: in the answer and the target, in the answer, in the target."""

    intersection: int
    predicted: int
    target: int

    @property
    def iou(self) -> float:
        """1 when there is neither an answer nor a target."""
        union = self.predicted + self.target - self.intersection
        return self.intersection / union if union else 1.0

    @property
    def precision(self) -> float:
        """Share of the answer that is right; of no answer 1 where there is no target, else 0."""
        return self.intersection / self.predicted if self.predicted else float(self.target == 0)

    @property
    def recall(self) -> float:
        """Share of the target that is answered; 1 where there is no target."""
        return self.intersection / self.target if self.target else 1.0


def vertex_overlap(predicted: np.ndarray, target: np.ndarray) -> VertexOverlap:
    """Compare an answer with its target, both bool [n] over the same vertices.

    Raises:
        ValueError: they are of different meshes.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"answer {list(predicted.shape)} and target {list(target.shape)} are of different meshes")
    counts = (np.count_nonzero(vertices) for vertices in (predicted & target, predicted, target))
    return VertexOverlap(*map(int, counts))


class VertexFigures(NamedTuple):
    """Over questions; a figure of no questions is None.

    questions, absent: how many have a target, and how many have none. iou, precision, recall: means, and acc25, acc50:
    shares of those with a target. absent_accuracy: share of the others that were answered with nothing.
    """

    questions: int
    absent: int
    iou: float | None
    precision: float | None
    recall: float | None
    acc25: float | None
    acc50: float | None
    absent_accuracy: float | None


def vertex_figures(answers: Iterable[VertexOverlap]) -> VertexFigures:
    """The figures of one overlap per question. A target without vertices is an absent one."""
    answers = list(answers)
    present = [one for one in answers if one.target]
    absent = [one for one in answers if not one.target]
    return VertexFigures(
        len(present),
        len(absent),
        _mean([one.iou for one in present]),
        _mean([one.precision for one in present]),
        _mean([one.recall for one in present]),
        _mean([one.iou >= 0.25 for one in present]),
        _mean([one.iou >= 0.5 for one in present]),
        _mean([one.predicted == 0 for one in absent]),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
