"""`scannet_tools evaluate` on scenes in ScanNet's formats. Only the model is replaced: by one that knows the truth."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lisa_ros.evaluation.synthetic import pack_mask
from scannet_tools.evaluation.part import Part
from scannet_tools.evaluation.rows import (
    FrameAnswer,
    KeptFrame,
    QuestionRow,
    SceneRow,
    read_row,
    row_path,
    write_row,
)
from scannet_tools.evaluation.settings import Settings
from scannet_tools.scores.vertices import VertexOverlap


@pytest.fixture
def row():
    mask = pack_mask(np.eye(4, dtype=bool))
    question = QuestionRow(
        "the “chair”", "explicit", (1, 3), 16, [FrameAnswer(0, 4, 4, 5, True, 0.75)], VertexOverlap(1, 2, 3), mask,
        KeptFrame(0, 0.8, mask, mask), KeptFrame(0, 0.8, mask, mask),
    )  # fmt: skip
    return SceneRow("scene0000_00", {"every": 2}, 1, 0, 3, [question], {"encode": [0.25]})


def test_a_row_comes_back_as_it_was(tmp_path, row):
    write_row(tmp_path, row)
    assert read_row(tmp_path, row.scene) == row
    assert [path.name for path in row_path(tmp_path, row.scene).parent.iterdir()] == ["scene0000_00.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"questions": [{}]}', '{"questions": [], "other": 1}'])
def test_what_is_no_row_counts_as_none(tmp_path, row, text):
    write_row(tmp_path, row)
    row_path(tmp_path, row.scene).write_text(text)
    assert read_row(tmp_path, row.scene) is None
    assert read_row(tmp_path, "scene0001_00") is None


def test_a_row_that_cannot_be_written_leaves_nothing(tmp_path, row, monkeypatch):
    write_row(tmp_path, row)
    before = row_path(tmp_path, row.scene).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    row.frames = 99
    with pytest.raises(OSError, match="scene0000_00.json.*No space left"):
        write_row(tmp_path, row)
    assert row_path(tmp_path, row.scene).read_bytes() == before
    assert len(list(row_path(tmp_path, row.scene).parent.iterdir())) == 1


def test_processes_share_the_scenes_without_overlap():
    scenes = [f"scene{n:04d}_00" for n in range(11)]
    parts = [Part.from_environment({"RANK": str(r), "WORLD_SIZE": "4", "LOCAL_RANK": str(r % 2)}) for r in range(4)]
    assert sorted(scene for part in parts for scene in part.of(scenes)) == scenes
    assert [part.local_rank for part in parts] == [0, 1, 0, 1]
    assert Part.from_environment({}).of(scenes) == scenes


@pytest.mark.parametrize("given", [("4", "4"), ("-1", "4"), ("x", "4"), ("0", "many")])
def test_nonsense_in_the_environment_is_refused(given):
    with pytest.raises(ValueError, match="RANK must be a number below WORLD_SIZE"):
        Part.from_environment(dict(zip(("RANK", "WORLD_SIZE"), given)))


def test_which_frames_are_asked():
    settings = Settings("m", "d", "cpu", "auto", "mask", every=3, max_frames=4)
    assert settings.frames(100) == [0, 3, 6, 9] and settings.frames(7) == [0, 3, 6]
    assert Settings("m", "d", "cpu", "auto", "mask").frames(3) == [0, 1, 2]
