"""The synthetic evaluation: its protocol, its baselines, and that it continues where it was interrupted."""
from __future__ import annotations

import json

import numpy as np
import pytest
from fakes import ColorEngine, boxes_frame

from lisa_ros.evaluation.baselines import BestConstant, largest_object
from lisa_ros.evaluation.metrics import SegmentationScore, overlap
from lisa_ros.evaluation.packed_mask import pack_mask, unpack_mask
from lisa_ros.evaluation.synthetic import evaluate


def test_figures_follow_from_what_the_engine_found():
    report = evaluate(ColorEngine(), boxes_frame, count=4, seed=10)
    kinds = report["kinds"]
    # The red box alone is exact; of red 8x8 and green 10x10 together the engine finds only red.
    assert kinds["explicit"]["giou"] == pytest.approx((1.0 + 64 / 164) / 2, abs=1e-4)
    assert kinds["explicit"]["ciou"] == pytest.approx((64 + 64) / (64 + 164), abs=1e-6)
    assert kinds["relational"]["giou"] == pytest.approx(1.0, abs=1e-4)
    assert (kinds["use"]["giou"], kinds["use"]["refused"], kinds["use"]["n"]) == (0.0, 4, 4)
    assert (kinds["overall"]["n"], kinds["overall"]["refused"]) == (16, 4)
    assert (report["absent_refused"], report["absent_n"]) == (1.0, 4)
    assert (report["false_refusals"], report["present_n"]) == (0.25, 16)


def test_baselines_are_scored_on_the_same_questions():
    report = evaluate(ColorEngine(), boxes_frame, count=3)
    largest = report["baselines"]["largest_object"]["kinds"]
    assert largest["use"]["giou"] == pytest.approx(1.0, abs=1e-4)  # the blue box is the largest, and the target of "use"
    assert largest["explicit"]["giou"] == 0.0
    constant = report["baselines"]["constant_answer"]
    assert constant["kinds"]["overall"]["n"] == largest["overall"]["n"] == 12
    assert 0 < constant["threshold"] <= 1


def test_best_constant_is_the_best_threshold_of_the_mean_target():
    rng = np.random.default_rng(1)
    targets = [rng.random((9, 11)) < rng.random((9, 11)) ** 2 for _ in range(7)]
    constant = BestConstant()
    for target in targets:
        constant.see(target)
    score = SegmentationScore()
    for measured in constant.overlaps(targets):
        score.add(measured)
    mean = np.mean(targets, axis=0)
    by_hand = [np.mean([overlap(mean >= level, target).iou for target in targets]) for level in np.unique(mean)[1:]]
    assert score.giou == pytest.approx(max(by_hand), abs=1e-4)
    chosen = np.mean([overlap(mean >= constant.threshold - 1e-9, target).iou for target in targets])
    assert score.giou == pytest.approx(chosen, abs=1e-4)


def test_best_constant_without_targets_says_nothing():
    assert BestConstant().overlaps([]) == []


def test_largest_object_ignores_the_background():
    instance = np.array([[0, 0, 0, 0], [5, 5, 2, 0]], np.uint16)
    assert largest_object(instance).tolist() == [[False] * 4, [True, True, False, False]]
    assert not largest_object(np.zeros((2, 2), np.uint16)).any()


def test_packed_masks_come_back():
    mask = np.random.default_rng(0).random((7, 13)) < 0.4
    assert np.array_equal(unpack_mask(pack_mask(mask)), mask)


def test_an_interrupted_run_continues_and_ends_with_the_same_figures(tmp_path):
    rows = tmp_path / "rows.jsonl"
    whole = evaluate(ColorEngine(), boxes_frame, count=5)

    def interrupted(seeds):
        for seed in seeds:
            if seed == 3:
                raise KeyboardInterrupt
            yield seed

    with pytest.raises(KeyboardInterrupt):
        evaluate(ColorEngine(), boxes_frame, count=5, rows_path=rows, progress=interrupted)
    rows.write_text(rows.read_text() + '{"seed": 3, "encode_')  # killed in the middle of a line
    engine = ColorEngine()
    report = evaluate(engine, boxes_frame, count=5, rows_path=rows)
    assert engine.encoded_frames == 2
    del report["seconds"], whole["seconds"]
    assert report == whole


@pytest.mark.parametrize("changed", ["digest", "mode", "scenes"])
def test_rows_of_another_run_are_not_continued(tmp_path, changed):
    rows = tmp_path / "rows.jsonl"
    evaluate(ColorEngine(), boxes_frame, count=2, rows_path=rows)
    engine = ColorEngine()
    make_frame = (lambda seed, split: boxes_frame(seed + 100)) if changed == "scenes" else boxes_frame
    evaluate(
        engine,
        make_frame,
        count=2,
        rows_path=rows,
        mode="chat" if changed == "mode" else "mask",
        engine_digest="other" if changed == "digest" else "",
    )
    assert engine.encoded_frames == 2
    assert len(rows.read_text().splitlines()) == 3
    assert json.loads(rows.read_text().splitlines()[0])["mode"] == ("chat" if changed == "mode" else "mask")


def test_a_count_of_zero_is_refused():
    with pytest.raises(ValueError, match="count is 0"):
        evaluate(ColorEngine(), boxes_frame, count=0)
