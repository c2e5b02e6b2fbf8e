"""`.sens` to bag: every message against the file it was made from, by two readers; what real files do wrong; nothing
half-written.
"""

from __future__ import annotations

import json
import resource
import signal

import cv2
import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.rosbag2 import Reader
from scipy.spatial.transform import Rotation
from test_sens import COLOR, DEPTH, HEADER, LOST, color, depth, pose, released, room, write

from lisa_ros.geometry import Camera
from lisa_ros.sources.bag import Bag
from scannet_tools.bag import write_bag
from scannet_tools.bag.messages import message_types
from scannet_tools.cli import main
from scannet_tools.sens import SensFile, SensWriter

IMAGES = {"/color/image_raw/compressed", "/depth/image_raw/compressedDepth", "/color/camera_info", "/depth/camera_info"}


def decoded(path) -> list[tuple[str, int, object]]:
    """(topic, log time, message) of everything, in order."""
    types = message_types()
    with Reader(path) as reader:
        return [
            (connection.topic, stamp, types.deserialize_cdr(data, connection.msgtype))
            for connection, stamp, data in reader.messages()
        ]


def of(messages, topic: str) -> list:
    return [message for name, _, message in messages if name == topic]


def stamp_ns(header) -> int:
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def test_every_message_is_the_file_s(tmp_path):
    path = write(tmp_path / "a.sens", frames=5, lost=(2,))
    report = write_bag(path, tmp_path / "bag")
    messages = decoded(tmp_path / "bag")
    assert report.frames == (0, 1, 3, 4) and report.lost == (2,)
    with SensFile(path) as sens:
        stamps = [int(sens.stamps_ns()[number]) for number in report.frames]
        for topic in IMAGES:
            assert [stamp_ns(message.header) for message in of(messages, topic)] == stamps
            assert {message.header.frame_id for message in of(messages, topic)} == {"camera_color_optical_frame"}
        for number, jpeg, packed in zip(
            report.frames, of(messages, "/color/image_raw/compressed"), of(messages, "/depth/image_raw/compressedDepth")
        ):
            assert jpeg.data.tobytes() == sens.frame(number).color_bytes()  # not decoded in between
            assert jpeg.format == "rgb8; jpeg compressed bgr8" and packed.format == "16UC1; compressedDepth png"
            assert packed.data[:12].tobytes() == bytes(12)
            np.testing.assert_array_equal(cv2.imdecode(packed.data[12:], cv2.IMREAD_UNCHANGED), depth(number))
    (info, *_), (depth_info, *_) = of(messages, "/color/camera_info"), of(messages, "/depth/camera_info")
    assert (info.width, info.height, info.k[0], info.k[2]) == (*COLOR, 60.0, 31.5)
    assert (depth_info.width, depth_info.height) == DEPTH
    # log time is the stamp, static transforms first, a frame's pose before its pictures
    assert messages[0][0] == "/tf_static" and [name for name, _, _ in messages].count("/tf_static") == 1
    assert [when for _, when, _ in messages] == sorted(when for _, when, _ in messages)
    assert [when for name, when, _ in messages if name == "/color/image_raw/compressed"] == stamps
    order = [name for name, when, _ in messages if when == stamps[1]]
    assert order[0] == "/tf"


def test_poses_are_transforms_of_the_optical_frame(tmp_path):
    turned = np.eye(4, dtype=np.float32)
    turned[:3, :3] = Rotation.from_euler("xyz", [20, -130, 70], degrees=True).as_matrix()
    turned[:3, :3] *= 1.003  # not quite a rotation
    turned[:3, 3] = 1, -2, 3
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(color(0), depth(0), turned)
    write_bag(tmp_path / "a.sens", tmp_path / "bag")
    (message,) = of(decoded(tmp_path / "bag"), "/tf")
    (stamped,) = message.transforms
    assert (stamped.header.frame_id, stamped.child_frame_id) == ("map", "camera_color_optical_frame")
    move, q = stamped.transform.translation, stamped.transform.rotation
    np.testing.assert_allclose((move.x, move.y, move.z), (1, -2, 3))
    expected = Rotation.from_euler("xyz", [20, -130, 70], degrees=True)
    assert (Rotation.from_quat([q.x, q.y, q.z, q.w]) * expected.inv()).magnitude() < 1e-3
    assert abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 1e-9


def test_static_transforms_are_latched_for_jazzy(tmp_path):
    write_bag(write(tmp_path / "a.sens"), tmp_path / "bag")
    information = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (information["version"], information["storage_identifier"]) == (9, "mcap")
    topics = [one["topic_metadata"] for one in information["topics_with_message_count"]]
    profiles = {one["name"]: one["offered_qos_profiles"] for one in topics}
    assert [profile["durability"] for profile in profiles["/tf_static"]] == ["transient_local"]
    assert {profile["reliability"] for (profile,) in profiles.values()} == {"reliable"}
    custom = information["custom_data"]
    assert json.loads(custom["scannet_frames"]) == [0, 1, 2, 3] and json.loads(custom["scannet_lost_frames"]) == []


def test_an_independent_reader_agrees(tmp_path):
    """The mcap project's own reader, with its checksums."""
    write_bag(write(tmp_path / "a.sens", lost=(1,)), tmp_path / "bag")
    ours = decoded(tmp_path / "bag")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    with file.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        theirs = [(c.topic, m.log_time, said) for _, c, m, said in reader.iter_decoded_messages()]
    assert [(topic, when) for topic, when, _ in ours] == [(topic, when) for topic, when, _ in theirs]
    for (topic, _, mine), (_, _, other) in zip(ours, theirs):
        if topic in IMAGES:
            assert stamp_ns(mine.header) == other.header.stamp.sec * 10**9 + other.header.stamp.nanosec
        if "image" in topic:
            assert mine.data.tobytes() == bytes(other.data)


@pytest.mark.parametrize("compression", ["png", "raw"])
def test_colour_that_is_no_jpeg_and_depth_as_pixels(tmp_path, compression):
    write_bag(write(tmp_path / "a.sens", color_compression=compression), tmp_path / "bag", depth="raw")
    messages = decoded(tmp_path / "bag")
    (raw, *_) = of(messages, "/depth/image_raw")
    assert (raw.encoding, raw.step, raw.is_bigendian) == ("16UC1", 64, 0)
    np.testing.assert_array_equal(raw.data.view("<u2").reshape(DEPTH[::-1]), depth(0))
    if compression == "raw":
        (picture, *_) = of(messages, "/color/image_raw")
        np.testing.assert_array_equal(picture.data.reshape(COLOR[1], COLOR[0], 3), color(0))
    else:
        (picture, *_) = of(messages, "/color/image_raw/compressed")
        assert "png" in picture.format
        np.testing.assert_array_equal(cv2.imdecode(picture.data, cv2.IMREAD_COLOR)[:, :, ::-1], color(0))


def test_other_depth_units_become_millimetres(tmp_path):
    write_bag(write(tmp_path / "a.sens", depth_shift=5000.0), tmp_path / "bag", depth="raw")
    (raw, *_) = of(decoded(tmp_path / "bag"), "/depth/image_raw")
    np.testing.assert_allclose(raw.data.view("<u2").reshape(DEPTH[::-1]), depth(0) / 5, atol=0.51)


def test_depth_is_of_the_camera_that_its_camera_info_says(tmp_path):
    """Released intrinsics: depth is brought into colour's view, so its camera_info is colour's at depth's size. Both
    together, without the file, say where the room's surfaces are.
    """
    write_bag(released(tmp_path / "a.sens"), tmp_path / "bag", depth="raw")
    messages = decoded(tmp_path / "bag")
    (raw,), (info,), (color_info,) = (of(messages, f"/{name}") for name in
                                      ("depth/image_raw", "depth/camera_info", "color/camera_info"))  # fmt: skip
    assert (info.width, info.height) == (raw.width, raw.height) == (640, 480)
    camera, color_camera = (Camera(k.k[0], k.k[4], k.k[2], k.k[5], k.width, k.height) for k in (info, color_info))
    assert camera == color_camera.scaled_to(640, 480)  # so the node, which knows colour's alone, takes it for the same
    assert np.abs(raw.data.view("<u2").reshape(480, 640) / 1000 - room(camera)).max() < 0.003


def test_choice_of_frames(tmp_path):
    path = write(tmp_path / "a.sens", frames=12, lost=(4,))
    assert write_bag(path, tmp_path / "a", start=2, every=2, max_frames=3).frames in ((2, 6, 8), (2, 6))
    kept = write_bag(path, tmp_path / "b", keep_lost=True)
    assert len(kept.frames) == 12 and kept.messages["/tf"] == 11
    with pytest.raises(ValueError):
        write_bag(path, tmp_path / "c", start=12)
    assert not (tmp_path / "c").exists()


def test_a_damaged_frame_is_left_out_and_named(tmp_path, caplog):
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        for number in range(3):
            writer.add(b"no picture" if number == 1 else color(number), depth(number), pose(number))
    report = write_bag(tmp_path / "a.sens", tmp_path / "bag")
    assert report.frames == (0, 2) and report.unusable == (1,) and "frame 1" in caplog.text


def test_a_recording_without_any_pose_is_an_error(tmp_path):
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(color(0), depth(0), LOST)
    with pytest.raises(ValueError, match="a.sens"):
        write_bag(tmp_path / "a.sens", tmp_path / "bag")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.sens"]


def test_nothing_is_overwritten_unasked(tmp_path, capsys):
    path = write(tmp_path / "a.sens")
    assert main(["bag", str(path), "--out", str(tmp_path / "bag")]) == 0
    assert "4  /tf\n" in capsys.readouterr().out
    assert main(["bag", str(path), "--out", str(tmp_path / "bag")]) == 1
    assert "exists; give another folder, or --overwrite" in capsys.readouterr().err
    assert main(["bag", str(path), "--out", str(tmp_path / "bag"), "--overwrite", "--max", "2"]) == 0
    with Bag(tmp_path / "bag") as bag:
        assert len(list(bag.messages({"/tf"}))) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    assert main(["bag", str(path), "--out", str(tmp_path / "mine"), "--overwrite"]) == 1
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_full_disk_leaves_nothing(tmp_path):
    path = write(tmp_path / "a.sens", frames=20, color_compression="raw")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))
        with pytest.raises(OSError, match="bag"):
            write_bag(path, tmp_path / "bag")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.sens"]
