"""Shards of synthetic frames: read back as written, resumed, and damage is named."""
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("open3d")

from scannet_tools.synthetic import export, make_frame  # noqa: E402
from scannet_tools.synthetic.questions import views  # noqa: E402


@pytest.fixture
def shard(tmp_path):
    return export.write_shard(tmp_path, "val", 0, 2, 96, 72)


def test_a_shard_reads_back_as_it_was_written(shard):
    read = list(export.read_shard(shard))
    assert len(read) == 2
    for seed, got in enumerate(read):
        made = make_frame(seed, split="val", width=96, height=72)
        np.testing.assert_array_equal(got.instance, made.instance)
        np.testing.assert_array_equal(got.category, made.category)
        assert np.abs(got.color.astype(int) - made.color).mean() < 6  # JPEG
        assert got.questions == made.questions
        assert got.scene == made.scene
        assert got.objects == views(made.objects, made.instance, made.depth_true)


def test_no_partial_file_is_left(shard):
    assert {path.suffix for path in shard.parent.iterdir()} == {".npz", ".json"}


def test_finished_shards_are_not_made_again(shard, monkeypatch):
    def refuse(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(export, "write_shard", refuse)
    assert export.main(["--out", str(shard.parent), "--split", "val", "--count", "2", "--width", "96", "--height", "72"]) == 0


def test_a_damaged_shard_is_named(shard):
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(ValueError, match=shard.name):
        list(export.read_shard(shard))
