"""Processes that read examples."""

import gc

from left_garbage import left_garbage

from lisa_ros.training import feed


def test_a_reader_does_not_destroy_what_its_parent_left(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "make_batch", lambda examples, **how: (gc.collect(), examples)[1])
    with left_garbage(tmp_path / "told"):
        loader = feed.batches([7], [[0]], None, None, max_length=8, workers=1, cache=None)
        assert list(loader) == [[7]]
    assert not (tmp_path / "told").exists()
