"""Synthetic scenes as frames."""

from __future__ import annotations

import numpy as np
import pytest

synthetic = pytest.importorskip("scannet_tools.synthetic")

from lisa_ros.sources.synthetic import read_synthetic  # noqa: E402


def test_a_short_path_through_a_scene():
    frames = read_synthetic(3, 2, width=160, height=120)
    assert [frame.stamp_ns for frame, _ in frames] == [1_000_000_000, 1_033_333_333]
    for frame, truth in frames:
        assert frame.color.shape == (120, 160, 3) and frame.depth.shape == truth.instance.shape == (120, 160)
        assert truth.objects and truth.instance.max() > 0
    # one scene, two views: what the first view sees lies on the second view's surfaces where it sees them too
    (first, truth), (second, other) = frames
    assert not np.allclose(first.camera_to_world, second.camera_to_world)
    points = first.camera.back_project(truth.depth_true)[truth.depth_true > 0]
    moved = np.linalg.inv(second.camera_to_world) @ first.camera_to_world @ np.c_[points, np.ones(len(points))].T
    pixels = np.rint(second.camera.project(moved[:3].T))
    inside = (pixels >= 0).all(axis=1) & (pixels < [160, 120]).all(axis=1)
    u, v = pixels[inside].astype(int).T
    assert inside.mean() > 0.2
    assert (np.abs(other.depth_true[v, u] - moved[2, inside]) < 0.05).mean() > 0.6


def test_the_first_frame_is_the_one_of_make_frame():
    ((frame, truth),) = read_synthetic(4, width=160, height=120)
    assert (frame.color == synthetic.make_frame(4, split="test", width=160, height=120).color).all()
    assert (frame.depth == truth.depth).all()
