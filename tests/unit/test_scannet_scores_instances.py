"""The 3D instance benchmark on scenes whose precision is worked out by hand.

Scenes here are rows of vertices; `Row` lays objects side by side. The rules are those of ScanNet's own script, against
which random scenes were compared as well (private check, see docs/scannet.md).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from scannet_tools.label_map import INSTANCE_CLASSES_18
from scannet_tools.scores.instances import (
    AveragePrecision,
    InstanceScore,
    PredictedInstance,
    read_predictions,
    truth_ids,
    write_predictions,
)

CHAIR, TABLE, WALL, PROP = 5, 7, 1, 40


def truth(*sizes):
    """(class, vertices) of objects side by side, numbered from 1."""
    return np.concatenate([np.full(count, label * 1000 + i) for i, (label, count) in enumerate(sizes, start=1)])


def span(n, first, end, label=CHAIR, confidence=0.9):
    """A prediction of the vertices from `first` up to `end`."""
    mask = np.zeros(n, bool)
    mask[first:end] = True
    return PredictedInstance(mask, label, confidence)


def chairs(predictions, ids):
    score = InstanceScore()
    score.add(predictions, ids)
    return score.per_class()["chair"]


def test_a_perfect_answer():
    ids = truth((CHAIR, 200), (TABLE, 150), (WALL, 300))
    score = InstanceScore()
    score.add([span(650, 0, 200), span(650, 200, 350, TABLE)], ids)
    assert score.per_class()["chair"] == score.per_class()["table"] == AveragePrecision(1.0, 1.0, 1.0)
    assert score.mean() == AveragePrecision(1.0, 1.0, 1.0)
    assert list(score.per_class()) == list(INSTANCE_CLASSES_18.values())


def test_classes_without_objects_have_none_and_those_without_answers_have_zero():
    score = InstanceScore()
    score.add([span(300, 0, 200), span(300, 200, 300, TABLE)], truth((CHAIR, 200), (10, 100)))
    found = score.per_class()
    assert math.isnan(found["table"].ap)  # predicted, but there is no table
    assert found["bookshelf"] == AveragePrecision(0.0, 0.0, 0.0)
    assert score.mean() == AveragePrecision(0.5, 0.5, 0.5)  # of chair and bookshelf
    assert math.isnan(InstanceScore().mean().ap)


def test_nine_thresholds_and_the_comparison_is_strict():
    """IoU 150/200 = 0.75: found at 0.5 to 0.7, five of nine thresholds, and not at 0.75 itself (nor at 0.95, never)."""
    got = chairs([span(200, 0, 150)], truth((CHAIR, 200)))
    assert got.ap == pytest.approx(5 / 9) and got.ap50 == 1.0 and got.ap25 == 1.0
    exactly_half = chairs([span(400, 0, 200)], truth((CHAIR, 400)))
    assert exactly_half == AveragePrecision(0.0, 0.0, 1.0)
    exactly_a_quarter = chairs([span(400, 0, 100)], truth((CHAIR, 400)))
    assert exactly_a_quarter == AveragePrecision(0.0, 0.0, 0.0)


def test_steps_of_the_area_are_worked_out_by_hand():
    """Two chairs; one found at 0.9, a false alarm on the table at 0.5, the other chair never.

    From the least sure on: keeping both, precision 1/2 and recall 1/2; keeping the surer, precision 1 and recall 1/2;
    then the made-up end, precision 1 and recall 0. Steps: half the distance between the recalls on both sides, with
    the first recall doubled in front and 0 behind: 0.5 * ((1/2 - 1/2), (1/2 - 0), (1/2 - 0)) = 0, 1/4, 1/4.
    Area: 1/2 * 0 + 1 * 1/4 + 1 * 1/4 = 1/2.
    """
    ids = truth((CHAIR, 200), (CHAIR, 200), (TABLE, 200))
    got = chairs([span(600, 0, 200), span(600, 400, 600, confidence=0.5)], ids)
    assert got.ap50 == pytest.approx(1 / 2) and got.ap == pytest.approx(1 / 2)


def test_a_surer_false_alarm_costs_more():
    """As above with the confidences exchanged: precision 1/2, 0, 1; recall 1/2, 0, 0; steps 0.5 * (1/2, 1/2, 0).

    Area: 1/2 * 1/4 + 0 * 1/4 + 1 * 0 = 1/8.
    """
    ids = truth((CHAIR, 200), (CHAIR, 200), (TABLE, 200))
    got = chairs([span(600, 0, 200, confidence=0.5), span(600, 400, 600)], ids)
    assert got.ap50 == pytest.approx(1 / 8)


def test_equal_confidences_are_one_step():
    """Kept together: precision 1/2, recall 1/2, then the end. Steps 0.5 * (1/2 - 0, 1/2 - 0); area 1/8 + 1/4."""
    ids = truth((CHAIR, 200), (CHAIR, 200), (TABLE, 200))
    got = chairs([span(600, 0, 200, confidence=0.5), span(600, 400, 600, confidence=0.5)], ids)
    assert got.ap50 == pytest.approx(3 / 8)


def test_two_answers_for_one_object():
    """The less sure one is a false alarm, whichever comes first.

    Precision 1/2, 1, 1 and recall 1, 1, 0: steps 0.5 * (0, 1, 1), area 1/2 + 1/2 = 1.
    """
    ids = truth((CHAIR, 200))
    for predictions in (
        [span(200, 0, 200, confidence=0.9), span(200, 0, 180, confidence=0.3)],
        [span(200, 0, 180, confidence=0.3), span(200, 0, 200, confidence=0.9)],
    ):
        assert chairs(predictions, ids).ap50 == pytest.approx(1.0)
    # A double that is surer than the hit on a second chair:
    ids = truth((CHAIR, 200), (CHAIR, 200))
    predictions = [span(400, *one) for one in ((0, 200, CHAIR, 0.9), (0, 190, CHAIR, 0.8), (200, 400, CHAIR, 0.7))]
    # kept from 0.7: 2 of 3, recall 1; from 0.8: 1 of 2, recall 1/2; from 0.9: 1 of 1, recall 1/2; end 1, 0
    # steps 0.5 * (1 - 1/2, 1 - 1/2, 1/2 - 0, 1/2 - 0) = 1/4 each; area (2/3 + 1/2 + 1 + 1) / 4
    assert chairs(predictions, ids).ap50 == pytest.approx((2 / 3 + 1 / 2 + 2) / 4)


def test_the_order_of_the_file_decides_who_takes_an_object():
    """At 0.25 one answer over two chairs finds both; it takes the first, unless an earlier answer has it already.

    Then it is counted as a false alarm there and still finds the second chair, as in the script.
    """
    ids = truth((CHAIR, 200), (CHAIR, 200))
    both, first = span(400, 50, 350, confidence=0.6), span(400, 0, 200, confidence=0.9)
    # IoU of `both` with each chair: 150 / 350 = 0.43.
    # first, both: hit 0.9; `both` is a double with 0.6; then it finds the second chair: hit 0.6. True: 0.9 and 0.6,
    # false 0.6. Kept from 0.6: 2 of 3, recall 1; from 0.9: 1, recall 1/2; end. Steps 0.5 * (1/2, 1, 1/2).
    assert chairs([first, both], ids).ap25 == pytest.approx(2 / 3 / 4 + 1 / 2 + 1 / 4)
    # both, first: `both` takes the first chair, `first` is the double: hit 0.9, false 0.6. The second chair is missed.
    # Kept from 0.6: 1 of 2, recall 1/2; from 0.9: 1, recall 1/2; end. Steps 0.5 * (0, 1/2, 1/2).
    assert chairs([both, first], ids).ap25 == pytest.approx(1 / 2)


def test_fewer_than_100_vertices_do_not_count():
    n = 99 + 200 + 100
    ids = truth((CHAIR, 99), (WALL, 200), (CHAIR, 100))
    hit = span(n, 299, 399)
    assert chairs([hit], ids) == AveragePrecision(1.0, 1.0, 1.0)  # the chair of 99 is not missed
    assert chairs([hit, span(n, 100, 199, confidence=1.0)], ids).ap50 == 1.0  # an answer of 99 is no false alarm
    assert math.isnan(chairs([], truth((CHAIR, 99))).ap)


def test_finding_a_small_object_is_no_false_alarm():
    """The answer has 100 vertices, 90 of them a chair that is too small to count: IoU 90/100."""
    ids = truth((CHAIR, 90), (TABLE, 100), (CHAIR, 200))
    found, hit = span(390, 0, 100, confidence=1.0), span(390, 190, 390, confidence=0.5)
    assert chairs([found, hit], ids).ap50 == pytest.approx(1.0)


def test_answers_on_what_counts_nowhere_are_ignored():
    """Unannotated vertices, walls, floors, and classes that are none of the 18 are all nowhere."""
    hit = span(600, 0, 200, confidence=0.5)
    for label in (0, WALL, 2, PROP, 13):
        ids = np.concatenate([truth((CHAIR, 200), (CHAIR, 200)), np.full(200, label * 1000 + 7)])
        with_alarm = chairs([hit, span(600, 400, 600, confidence=0.9)], ids)
        assert with_alarm == chairs([hit], ids)


def test_the_share_that_is_ignored_must_exceed_the_threshold():
    """Of the alarm's 200 vertices 120 are nowhere, 0.6, and 80 on a table: ignored at 0.5 and 0.55, not at 0.6."""
    ids = np.concatenate([truth((CHAIR, 200), (TABLE, 80)), np.zeros(120, int)])
    got = chairs([span(400, 0, 200, confidence=0.5), span(400, 200, 400, confidence=0.9)], ids)
    # where it counts: kept from 0.5: 1 of 2, recall 1; from 0.9: 0, recall 0; end 1, 0: steps 0.5 * (1, 1, 0): area 1/4
    assert got.ap50 == 1.0 and got.ap25 == 1.0
    assert got.ap == pytest.approx((2 * 1.0 + 7 * 1 / 4) / 9)


def test_only_ignored_answers_are_no_precision():
    """ScanNet's script ends with an IndexError here."""
    ids = np.concatenate([truth((CHAIR, 200)), np.zeros(200, int)])
    assert chairs([span(400, 200, 400)], ids) == AveragePrecision(0.0, 0.0, 0.0)


def test_answers_of_another_class_are_of_no_use():
    ids = truth((CHAIR, 200))
    assert chairs([span(200, 0, 200, TABLE), span(200, 0, 200, WALL), span(200, 0, 200, 77)], ids).ap50 == 0.0


def test_scenes_are_joined_before_the_area():
    """One scene's sure false alarm counts against the other scene's hit: the case of 1/8 above, in two scenes."""
    score = InstanceScore()
    score.add([span(400, 0, 200, confidence=0.5)], truth((CHAIR, 200), (CHAIR, 200)))
    score.add([span(200, 0, 200, confidence=0.9)], truth((TABLE, 200)))
    assert score.per_class()["chair"].ap50 == pytest.approx(1 / 8)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"prediction 2: its mask is \[5\] and the truth \[200\]"):
        InstanceScore().add([span(200, 0, 200), span(5, 0, 5)], truth((CHAIR, 200)))
    with pytest.raises(ValueError, match="prediction 1: its confidence is no number"):
        InstanceScore().add([span(200, 0, 200, confidence=float("nan"))], truth((CHAIR, 200)))


def test_the_truth_of_the_benchmark():
    ids = truth_ids(np.array([5, 5, 0, 1], np.uint16), np.array([1, 12, 3, 999], np.uint16))
    assert ids.tolist() == [5001, 5012, 3, 1999]
    with pytest.raises(ValueError, match="object 1000"):
        truth_ids(np.array([5]), np.array([1000]))


def test_predictions_come_back(tmp_path):
    predictions = [span(300, 0, 150, confidence=0.1234567890123), span(300, 100, 300, TABLE, 1e-7)]
    write_predictions(tmp_path / "scene0000_00.txt", predictions)
    lines = (tmp_path / "scene0000_00.txt").read_text().splitlines()
    assert lines[0] == "pred_mask/scene0000_00_000.txt 5 0.1234567890123"
    got = read_predictions(tmp_path / "scene0000_00.txt", 300)
    assert [(one.label, one.confidence) for one in got] == [(5, 0.1234567890123), (7, 1e-7)]
    for one, wanted in zip(got, predictions):
        np.testing.assert_array_equal(one.mask, wanted.mask)
    write_predictions(tmp_path / "empty.txt", [])
    assert read_predictions(tmp_path / "empty.txt") == []


def test_a_mask_named_twice_counts_once_with_the_later_line(tmp_path):
    write_predictions(tmp_path / "s.txt", [span(200, 0, 200)])
    (tmp_path / "s.txt").write_text("pred_mask/s_000.txt 5 0.9\npred_mask/../pred_mask/s_000.txt 7.0 0.2\n")
    assert [(one.label, one.confidence) for one in read_predictions(tmp_path / "s.txt")] == [(7, 0.2)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("pred_mask/s_000.txt 5", "expected 'mask_file label confidence'"),
        ("pred_mask/s_000.txt 5 0.9 1", "expected 'mask_file label confidence'"),
        ("pred_mask/s_000.txt chair 0.9", "expected 'mask_file label confidence'"),
        ("pred_mask/s_000.txt 5 nan", "expected 'mask_file label confidence'"),
        ("", "expected 'mask_file label confidence'"),
        ("../outside.txt 5 0.9", "must be relative to"),
        ("{folder}/pred_mask/s_000.txt 5 0.9", "must be relative to"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, complaint):
    write_predictions(tmp_path / "s.txt", [span(200, 0, 200)])
    good = (tmp_path / "s.txt").read_text()
    (tmp_path / "s.txt").write_text(good + line.format(folder=tmp_path) + "\n")
    with pytest.raises(ValueError, match=f"s.txt, line 2: .*{complaint}"):
        read_predictions(tmp_path / "s.txt")


def test_masks_that_are_missing_or_of_another_mesh_are_named(tmp_path):
    write_predictions(tmp_path / "s.txt", [span(200, 0, 200)])
    with pytest.raises(ValueError, match="s_000.txt: 200 lines, and the mesh has 201 vertices"):
        read_predictions(tmp_path / "s.txt", 201)
    (tmp_path / "pred_mask" / "s_000.txt").unlink()
    with pytest.raises(FileNotFoundError, match="s_000.txt"):
        read_predictions(tmp_path / "s.txt")
