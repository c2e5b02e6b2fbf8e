"""Figures of answers on vertices, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scannet_tools.scores.vertices import VertexOverlap, vertex_figures, vertex_overlap


def test_counted_by_hand():
    predicted, target = np.zeros(20, bool), np.zeros(20, bool)
    predicted[:6], target[2:10] = True, True
    overlap = vertex_overlap(predicted, target)
    assert overlap == VertexOverlap(4, 6, 8)
    assert (overlap.iou, overlap.precision, overlap.recall) == (4 / 10, 4 / 6, 4 / 8)


def test_nothing_answered_and_nothing_there():
    assert [VertexOverlap(0, 0, 8).iou, VertexOverlap(0, 0, 8).precision, VertexOverlap(0, 0, 8).recall] == [0, 0, 0]
    assert [VertexOverlap(0, 5, 0).iou, VertexOverlap(0, 5, 0).precision] == [0, 0]
    right = VertexOverlap(0, 0, 0)
    assert (right.iou, right.precision, right.recall) == (1, 1, 1)


def test_figures_over_questions():
    answers = [
        VertexOverlap(10, 10, 10),  # IoU 1
        VertexOverlap(10, 10, 20),  # IoU 1/2 exactly: counts in Acc@0.5
        VertexOverlap(10, 20, 30),  # IoU 1/4 exactly: counts in Acc@0.25
        VertexOverlap(1, 50, 51),  # IoU 1/100
        VertexOverlap(0, 0, 0),  # absent, and nothing answered
        VertexOverlap(0, 7, 0),  # absent, and something answered
        VertexOverlap(0, 9, 0),
    ]
    figures = vertex_figures(answers)
    assert (figures.questions, figures.absent) == (4, 3)
    assert figures.iou == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 100) / 4)
    assert figures.precision == pytest.approx((1 + 1 + 1 / 2 + 1 / 50) / 4)
    assert figures.recall == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 51) / 4)
    assert (figures.acc25, figures.acc50) == (3 / 4, 2 / 4)
    assert figures.absent_accuracy == pytest.approx(1 / 3)


def test_figures_of_nothing():
    assert vertex_figures([]) == (0, 0, None, None, None, None, None, None)
    assert vertex_figures([VertexOverlap(0, 0, 0)])[1:] == (1, None, None, None, None, None, 1.0)


def test_other_meshes_are_refused():
    with pytest.raises(ValueError, match="of different meshes"):
        vertex_overlap(np.zeros(3, bool), np.zeros(4, bool))
