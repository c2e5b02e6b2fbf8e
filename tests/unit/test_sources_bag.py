"""Bags: what is read, which topics are the camera's, and what damage does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

sys.path.insert(0, str(Path(__file__).parents[1]))

from bags import CAMERA_INFO, COMPRESSED, IMAGE, START_NS, camera_messages, write_bag

from lisa_ros.sources.bag import Bag, CameraTopics, camera_topics, is_bag


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_messages_come_as_they_were_written(tmp_path, plugin):
    written = camera_messages(3)
    path = write_bag(tmp_path / "bag", written, plugin)
    (file,) = [file for file in path.iterdir() if file.suffix in (".mcap", ".db3")]
    for source in (path, file):
        assert is_bag(source)
        with Bag(source) as bag:
            assert bag.topics == {topic: kind for topic, kind, _, _ in written}
            read = [(m.topic, bag.topics[m.topic], m.stamp_ns, m.serialized) for m in bag.messages(set(bag.topics))]
            assert sorted(read, key=lambda m: m[2]) == read and sorted(read) == sorted(written)
            assert {m.topic for m in bag.messages({"/tf_static"})} == {"/tf_static"}
            assert [m.stamp_ns for m in bag.messages({"/tf_static"})] == [START_NS]


def test_what_is_no_bag(tmp_path):
    (tmp_path / "color.png").touch()
    assert not is_bag(tmp_path) and not is_bag(tmp_path / "nothing.mcap") and not is_bag("synthetic")


@pytest.mark.parametrize("content", [b"", b"no bag", b"\x89MCAP0\r\n" + bytes(100)])
def test_other_files_are_refused_by_name(tmp_path, content):
    file = tmp_path / "x.mcap"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="x.mcap"):
        Bag(file)


def test_damage_is_a_value_error_that_names_the_file(tmp_path):
    whole = next(write_bag(tmp_path / "bag", camera_messages(4)).glob("*.mcap")).read_bytes()
    random = np.random.default_rng(0)
    failed = 0
    for number in range(60):
        data = bytearray(whole)
        if number % 2:
            del data[random.integers(len(data)) :]
        else:
            for place in random.integers(0, len(data), 40):
                data[place] = random.integers(256)
        file = tmp_path / "damaged.mcap"
        file.write_bytes(data)
        try:
            with Bag(file) as bag:
                assert all(message.serialized is not None for message in bag.messages(set(bag.topics)))
        except ValueError as error:
            assert "damaged.mcap" in str(error)
            failed += 1
    assert failed >= 30


REALSENSE = {
    "/camera/camera/color/image_raw": IMAGE,
    "/camera/camera/color/image_raw/compressed": COMPRESSED,
    "/camera/camera/depth/image_rect_raw": IMAGE,
    "/camera/camera/aligned_depth_to_color/image_raw": IMAGE,
    "/camera/camera/infra1/image_rect_raw": IMAGE,
    "/camera/camera/color/camera_info": CAMERA_INFO,
    "/camera/camera/depth/camera_info": CAMERA_INFO,
}
OAK = {
    "/oak/rgb/image_raw": IMAGE,
    "/oak/rgb/camera_info": CAMERA_INFO,
    "/oak/stereo/image_raw": IMAGE,
    "/oak/stereo/camera_info": CAMERA_INFO,
}
KINECT = {
    "/rgb/image_raw": IMAGE,
    "/rgb/camera_info": CAMERA_INFO,
    "/depth/image_raw": IMAGE,
    "/depth_to_rgb/image_raw": IMAGE,
    "/rgb_to_depth/image_raw": IMAGE,
    "/ir/image_raw": IMAGE,
    "/depth/camera_info": CAMERA_INFO,
}
ZED = {
    "/zed/zed_node/rgb/color/rect/image": IMAGE,
    "/zed/zed_node/rgb/color/rect/camera_info": CAMERA_INFO,
    "/zed/zed_node/depth/depth_registered": IMAGE,
    "/zed/zed_node/depth/camera_info": CAMERA_INFO,
    "/zed/zed_node/confidence/confidence_map": IMAGE,
}
SCANNET = {
    "/color/image_raw/compressed": COMPRESSED,
    "/depth/image_raw/compressedDepth": COMPRESSED,
    "/color/camera_info": CAMERA_INFO,
    "/label/image_raw": IMAGE,
    "/instance/image_raw": IMAGE,
}
PLAIN = {"/cam/image": IMAGE, "/cam/camera_info": CAMERA_INFO}


@pytest.mark.parametrize(
    "topics, expected",
    [
        (REALSENSE, ("color/image_raw", "aligned_depth_to_color/image_raw", "color/camera_info")),
        (OAK, ("rgb/image_raw", "stereo/image_raw", "rgb/camera_info")),
        (KINECT, ("rgb/image_raw", "depth_to_rgb/image_raw", "rgb/camera_info")),
        (ZED, ("rgb/color/rect/image", "depth/depth_registered", "rgb/color/rect/camera_info")),
        (SCANNET, ("color/image_raw/compressed", "depth/image_raw/compressedDepth", "color/camera_info")),
        (PLAIN, ("image", "", "camera_info")),
        (SCANNET | {"/depth/image_raw/compressed": COMPRESSED}, ("", "depth/image_raw/compressedDepth", "")),
    ],
)
def test_topics_of_known_drivers_are_found(topics, expected):
    found = camera_topics(topics)
    for name, end in zip((found.color, found.depth, found.camera_info), expected):
        assert name.endswith(end) and (name in topics or not name)


def test_given_names_are_taken():
    topics = REALSENSE | {"/other/color": IMAGE}
    chosen = dict(color="/other/color", depth="/camera/camera/depth/image_rect_raw")
    assert camera_topics(topics, **chosen, camera_info="/camera/camera/depth/camera_info") == CameraTopics(
        **chosen, camera_info="/camera/camera/depth/camera_info"
    )


@pytest.mark.parametrize(
    "topics, given, says",
    [
        (REALSENSE | {"/left/color": IMAGE}, {}, r"color_topic to one of:.*/left/color"),
        ({"/a/depth": IMAGE, "/b/depth": IMAGE, "/rgb": IMAGE}, {}, r"depth_topic to one of:.*/b/depth"),
        ({"/a/depth": IMAGE}, {}, "no colour topic; its image topics: /a/depth"),
        ({"/points": "sensor_msgs/msg/PointCloud2"}, {}, "image topics: none"),
        ({"/rgb": IMAGE, "/a/camera_info": CAMERA_INFO, "/b/camera_info": CAMERA_INFO}, {}, "camera_info_topic"),
        (PLAIN, {"color": "/typo"}, r"no topic /typo; set parameter color_topic .*/cam/image"),
    ],
)
def test_doubt_is_an_error_that_lists_the_topics(topics, given, says):
    with pytest.raises(ValueError, match=says):
        camera_topics(topics, **given)
