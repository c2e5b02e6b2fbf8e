"""The frames of a written bag, read in code, are those of the recording."""

from __future__ import annotations

import numpy as np
import pytest

from scannet_tools.bag import write_bag
from scannet_tools.bag.frames import read_frames, scene_of
from scannet_tools.scene import Scene
from scannet_tools.synthetic.scannet import write_scene

pytest.importorskip("open3d")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    """Five frames, one of them without a pose."""
    return Scene(write_scene(tmp_path_factory.mktemp("scannet"), 1, frames=5, width=160, height=120, lost=1))


@pytest.mark.parametrize("depth", ["compressedDepth", "raw"])
def test_a_bag_gives_the_recordings_frames(scene, tmp_path, depth):
    made = write_bag(scene, tmp_path / "bag", depth=depth, keep_lost=True, truth="pictures")
    read = list(read_frames(tmp_path / "bag"))
    assert len(read) == len(made.frames) == 5
    with scene.open_sens() as sens:
        for number, frame in zip(made.frames, read):
            wanted = sens.geometry_frame(number)
            assert frame.stamp_ns == wanted.stamp_ns and frame.camera == wanted.camera
            assert np.array_equal(frame.color, wanted.color)
            assert np.allclose(frame.depth, wanted.depth, atol=0.0006)
            assert (frame.camera_to_world is None) == (wanted.camera_to_world is None)
            if wanted.camera_to_world is not None:
                assert np.allclose(frame.camera_to_world, wanted.camera_to_world, atol=1e-4)
    assert sum(frame.camera_to_world is None for frame in read) == 1


def test_what_is_no_bag_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing_here"):
        list(read_frames(tmp_path / "nothing_here"))


def test_a_bag_without_depth_is_refused(scene, tmp_path, monkeypatch):
    write_bag(scene, tmp_path / "bag", max_frames=1)
    monkeypatch.setattr("scannet_tools.bag.frames._TOPICS", {"/color/camera_info", "/color/image_raw/compressed"})
    with pytest.raises(ValueError, match="no message on /depth/image_raw/compressedDepth or /depth/image_raw"):
        list(read_frames(tmp_path / "bag"))


def test_a_bag_says_which_scene_it_is_of(scene, tmp_path):
    write_bag(scene, tmp_path / "bag", max_frames=1)
    assert scene_of(tmp_path / "bag") == scene.name
    (tmp_path / "bag" / "metadata.yaml").write_text("rosbag2_bagfile_information: {custom_data: null}")
    assert scene_of(tmp_path / "bag") == ""
    (tmp_path / "bag" / "metadata.yaml").write_text("[")
    with pytest.raises(ValueError, match="metadata.yaml: not a bag's metadata"):
        scene_of(tmp_path / "bag")
