"""The 3D semantic benchmark on scenes whose scores are counted by hand."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from scannet_tools.label_map import CLASSES_20
from scannet_tools.scores.id_files import read_ids, write_ids
from scannet_tools.scores.semantic import SemanticScore

WALL, FLOOR, CHAIR, TABLE, OTHER = 1, 2, 5, 7, 39


def ids(*runs):
    """(id, count) runs as one array."""
    return np.concatenate([np.full(count, number) for number, count in runs])


def test_counted_by_hand():
    truth = ids((WALL, 6), (CHAIR, 4), (TABLE, 2))
    predicted = ids((WALL, 4), (CHAIR, 2), (CHAIR, 3), (WALL, 1), (TABLE, 1), (WALL, 1))
    score = SemanticScore()
    score.add(predicted, truth)
    iou = score.iou()
    assert iou["wall"] == 4 / 8  # 4 right, 2 missed (called chair), 2 too many (a chair and a table vertex)
    assert iou["chair"] == 3 / 6  # 3 right, 1 missed, 2 too many
    assert iou["table"] == 1 / 2
    assert score.mean_iou() == pytest.approx((0.5 + 0.5 + 0.5) / 3)
    assert list(iou) == list(CLASSES_20.values())


def test_unannotated_and_other_classes_count_nowhere():
    """True ids 0, 13 (blinds), 40 and 22 are of none of the 20: what is predicted there is no false positive."""
    score = SemanticScore()
    score.add(ids((CHAIR, 10), (CHAIR, 40)), ids((CHAIR, 10), (0, 10), (13, 10), (40, 10), (22, 10)))
    assert score.iou()["chair"] == 1.0
    assert score.confusion.sum() == 10


def test_predictions_of_no_class_are_missed():
    score = SemanticScore()
    score.add(np.array([CHAIR, 0, 13, 40, 41, -1, 255, 100000]), np.full(8, CHAIR))
    assert score.iou()["chair"] == 1 / 8
    assert score.confusion[:, -1].sum() == 7
    assert np.isnan([value for name, value in score.iou().items() if name != "chair"]).all()  # a false positive of none


def test_scenes_are_summed_before_dividing():
    """1 of 1 and 1 of 9 vertices right are 2 of 10, not the mean of 1 and 1/9."""
    score = SemanticScore()
    score.add(ids((CHAIR, 1)), ids((CHAIR, 1)))
    score.add(ids((CHAIR, 1), (TABLE, 8)), ids((CHAIR, 9)))
    assert score.iou()["chair"] == 2 / 10
    assert score.iou()["table"] == 0.0  # predicted, never there: 0, and it counts in the mean
    assert score.mean_iou() == pytest.approx(0.1)


def test_a_class_that_is_nowhere_has_no_score():
    score = SemanticScore()
    assert math.isnan(score.mean_iou()) and all(map(math.isnan, score.iou().values()))
    score.add(ids((OTHER, 3)), ids((OTHER, 3)))
    assert score.mean_iou() == 1.0
    assert [name for name, value in score.iou().items() if not math.isnan(value)] == ["otherfurniture"]


def test_all_types_of_integers_are_taken():
    for kind in (np.uint16, np.int32, np.int64, np.uint8):
        score = SemanticScore()
        score.add(ids((WALL, 2), (FLOOR, 2)).astype(kind), ids((WALL, 3), (FLOOR, 1)).astype(np.int64))
        assert score.iou()["wall"] == 2 / 3 and score.iou()["floor"] == 1 / 2


def test_other_numbers_of_vertices_are_refused():
    with pytest.raises(ValueError, match=r"predicted ids \[3\] and true ids \[4\]"):
        SemanticScore().add(np.zeros(3, int), np.zeros(4, int))


def test_id_files_come_back(tmp_path):
    values = np.array([0, 39, 12005, 7])
    write_ids(tmp_path / "s.txt", values)
    assert (tmp_path / "s.txt").read_text() == "0\n39\n12005\n7\n"
    np.testing.assert_array_equal(read_ids(tmp_path / "s.txt", 4), values)
    write_ids(tmp_path / "m.txt", np.array([True, False]))
    assert (tmp_path / "m.txt").read_text() == "1\n0\n"
    (tmp_path / "s.txt").write_bytes(b"1\r\n 2\r\n3")  # written on Windows, without the last line's end
    np.testing.assert_array_equal(read_ids(tmp_path / "s.txt"), [1, 2, 3])


@pytest.mark.parametrize("line", ["", "x", "1 2", "3.5", "99999999999999999999"])
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "s.txt").write_text(f"1\n{line}\n3\n")
    with pytest.raises(ValueError, match="s.txt, line 2: .* is no whole number"):
        read_ids(tmp_path / "s.txt")


def test_id_files_of_other_meshes_and_missing_ones_are_named(tmp_path):
    write_ids(tmp_path / "s.txt", np.zeros(3, int))
    with pytest.raises(ValueError, match="s.txt: 3 lines, and the mesh has 4 vertices"):
        read_ids(tmp_path / "s.txt", 4)
    with pytest.raises(FileNotFoundError, match="none.txt"):
        read_ids(tmp_path / "none.txt")


def test_an_id_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_ids(tmp_path / "s.txt", np.ones(3, int))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="s.txt.*No space left"):
        write_ids(tmp_path / "s.txt", np.zeros(5, int))
    assert (tmp_path / "s.txt").read_text() == "1\n1\n1\n" and len(list(tmp_path.iterdir())) == 1
