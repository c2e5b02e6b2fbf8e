"""gIoU and cIoU against the reference's own validate() (tests/golden/metrics.pt, see its README upstream)."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lisa_ros.evaluation.metrics import IGNORE, Overlap, SegmentationScore, mask_iou, overlap

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_cases():
    torch = pytest.importorskip("torch")
    return torch.load(GOLDEN / "metrics.pt", weights_only=True)


def test_golden_figures_are_the_published_ones():
    summary = {case["name"]: (case["giou"], case["ciou"]) for case in json.loads((GOLDEN / "metrics.json").read_text())}
    assert summary == {case["name"]: (case["giou"], case["ciou"]) for case in golden_cases()}
    assert len(summary) == 10


def test_scores_equal_the_reference_on_every_golden_case():
    for case in golden_cases():
        score = SegmentationScore()
        for image in case["images"]:
            masks = image["pred_logits"].numpy() > 0
            targets = image["target"].numpy().astype(np.uint8)
            areas = image["per_mask_inter_union_target"]
            for mask, target, (intersection, union, _) in zip(masks, targets, areas, strict=True):
                measured = overlap(mask, target)
                assert (measured.intersection, measured.union) == (intersection[1], union[1]), case["name"]
                score.add(measured)
        assert score.giou == pytest.approx(case["giou"], abs=1e-6), case["name"]
        assert score.ciou == pytest.approx(case["ciou"], abs=1e-6), case["name"]


def test_ignored_pixels_count_in_no_area():
    target = np.array([[1, 1, 0, IGNORE, IGNORE]], np.uint8)
    assert overlap(np.array([[1, 0, 1, 1, 0]], bool), target) == Overlap(1, 3)


def test_nothing_predicted_where_nothing_is_scores_one_and_anything_else_zero():
    empty = np.zeros((3, 4), np.uint8)
    assert mask_iou(empty.astype(bool), empty) == 1.0
    assert mask_iou(np.eye(3, 4, dtype=bool), empty) == 0.0


def test_bool_targets_have_no_ignored_region():
    target = np.array([[True, False]])
    assert overlap(np.array([[True, True]]), target) == Overlap(1, 2)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        overlap(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


def test_a_score_without_masks_is_zero():
    assert (SegmentationScore().giou, SegmentationScore().ciou) == (0.0, 0.0)
