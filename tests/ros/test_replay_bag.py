"""lisa_replay with a bag: the same bytes on the node's topics, stamps fresh or as recorded, loops, and what it says
when a bag cannot be played."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from node_harness import SECONDS
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from bags import COMPRESSED, IMAGE, START_NS, camera_messages, jpeg, red_box, write_bag

from lisa_ros.node.conversions import serialized_stamp_ns, stamp_ns
from lisa_ros.node.replay import SourceError

FRAMES = 4
DEPTH = "/camera/aligned_depth_to_color/image_raw"


@pytest.fixture
def bag(tmp_path):
    return write_bag(tmp_path / "bag", camera_messages(FRAMES))


class Camera:
    """Collects serialized messages in the order of their arrival."""

    def __init__(self, node) -> None:
        self.received: dict[str, list[bytes]] = {}
        for kind, topic in (
            (Image, "color/image_raw"),
            (CompressedImage, "color/image_raw/compressed"),
            (Image, "depth/image_raw"),
            (CameraInfo, "color/camera_info"),
        ):
            self.received[topic] = []
            node.create_subscription(kind, topic, self.received[topic].append, QoSProfile(depth=100), raw=True)
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            return
        for topic, durability in (("/tf", DurabilityPolicy.VOLATILE), ("/tf_static", DurabilityPolicy.TRANSIENT_LOCAL)):
            self.received[topic] = []
            qos = QoSProfile(depth=100, durability=durability)
            node.create_subscription(TFMessage, topic, self.received[topic].append, qos, raw=True)

    def stamps(self, topic: str) -> list[int]:
        return [serialized_stamp_ns(data) for data in self.received[topic]]


@pytest.fixture
def camera(client):
    return Camera(client.node)


def recorded(topic: str) -> list[bytes]:
    return [data for name, _, _, data in camera_messages(FRAMES) if name == topic]


def test_the_recorded_bytes_go_out(bag, camera, client, play):
    play(bag, stamps="file", rate=2.0)
    received = camera.received
    # looping, so whatever was lost before discovery comes again
    client.until(lambda: all(len(received[name]) > FRAMES for name in ("color/image_raw", "depth/image_raw")))
    client.until(lambda: len(received["color/camera_info"]) > FRAMES)
    assert set(received["color/image_raw"]) == set(recorded("/camera/color/image_raw"))
    assert set(received["depth/image_raw"]) == set(recorded(DEPTH))
    assert set(received["color/camera_info"]) == set(recorded("/camera/color/camera_info"))
    if "/tf" in received:
        client.until(lambda: received["/tf_static"] and len(received["/tf"]) > FRAMES)
        assert set(received["/tf"]) == set(recorded("/tf"))
        assert set(received["/tf_static"]) == set(recorded("/tf_static"))


def test_fresh_stamps_keep_pairs_order_and_distances(bag, camera, client, play):
    pytest.importorskip("tf2_msgs")
    from rclpy.serialization import deserialize_message
    from tf2_msgs.msg import TFMessage

    before = client.node.get_clock().now().nanoseconds
    play(bag, rate=0.5)
    client.until(lambda: len(camera.stamps("color/image_raw")) > 2 * FRAMES)
    client.until(lambda: set(camera.stamps("color/image_raw")) & set(camera.stamps("depth/image_raw")))
    topics = ("color/image_raw", "depth/image_raw", "color/camera_info")
    colors, depths, infos = (camera.stamps(topic) for topic in topics)
    now = client.node.get_clock().now().nanoseconds
    assert all(before <= stamp <= now for stamp in colors) and colors == sorted(colors)
    paired = set(colors) & set(depths) & set(infos)
    assert len(paired) >= FRAMES
    steps = [late - early for early, late in zip(colors, colors[1:])]
    assert steps.count(100_000_000) >= FRAMES - 2  # 50 ms as recorded, at half the pace
    for data in camera.received["/tf"]:
        first, second = (stamp_ns(t.header.stamp) for t in deserialize_message(data, TFMessage).transforms)
        assert first - second == 2000  # 1 us as recorded
        if first in paired:
            break
    else:
        pytest.fail("no /tf has the stamp of a frame")
    assert set(camera.received["/tf_static"]) == set(recorded("/tf_static"))


def test_without_loop_each_message_comes_once_and_the_node_stays(tmp_path, camera, client, play):
    messages = camera_messages(3, step_ns=200_000_000)
    # a pause of seconds before the first frame, for discovery: only static TF is due at once
    late = [
        (topic, kind, when if topic == "/tf_static" else when + 8_000_000_000, data)
        for topic, kind, when, data in messages
    ]
    node = play(write_bag(tmp_path / "late", late), stamps="file", loop=False)
    client.until(lambda: len(camera.received["color/image_raw"]) == 3)
    client.settle(0.5)
    assert [len(camera.received[name]) for name in ("color/image_raw", "depth/image_raw")] == [3, 3]
    assert camera.stamps("color/image_raw") == [START_NS, START_NS + 200_000_000, START_NS + 400_000_000]
    assert node.get_parameter("loop").value is False  # it still answers


def test_compressed_colour_goes_to_the_compressed_topic(tmp_path, camera, client, play):
    data = jpeg(START_NS, red_box())
    messages = [message for message in camera_messages(2) if message[1] != IMAGE or message[0] == DEPTH]
    messages.append(("/camera/color/image_raw/compressed", COMPRESSED, START_NS + 90_000_000, data))
    play(write_bag(tmp_path / "jpeg", messages), stamps="file")
    client.until(lambda: camera.received["color/image_raw/compressed"])
    assert set(camera.received["color/image_raw/compressed"]) == {data} and not camera.received["color/image_raw"]


def test_the_node_answers_a_bag(bag, lisa, client, play):
    from lisa_ros.msg import SegmentationResult

    play(bag)
    client.until(lambda: lisa.frames() > 0)
    result = client.ask("the red box")
    assert result.status == SegmentationResult.FOUND, result.message
    assert abs(result.instances[0].centroid.z - 1.0) < 0.01


@pytest.mark.parametrize(
    "parameters, says",
    [
        ({"color_topic": "/typo"}, "no topic /typo; set parameter color_topic to one of"),
        ({"hold_frame": 0}, "a bag cannot be held"),
        ({"stamps": "old"}, "stamps must be one of fresh, file"),
    ],
)
def test_bad_parameters(bag, play, parameters, says):
    with pytest.raises(SourceError, match=says):
        play(bag, **parameters)


def test_a_bag_without_images(tmp_path, play):
    only_tf = [message for message in camera_messages(1) if message[0].startswith("/tf")]
    with pytest.raises(SourceError, match="no colour topic"):
        play(write_bag(tmp_path / "tf", only_tf))


def test_holding_a_picture_does_not_work_while_a_bag_plays(bag, play):
    node = play(bag)
    (answer,) = node.set_parameters([Parameter("hold_frame", value=1)])
    assert not answer.successful and "a bag cannot be held" in answer.reason


def test_a_bag_that_breaks_off_ends_the_process_with_1(tmp_path):
    path = write_bag(tmp_path / "bag", camera_messages(40))
    file = next(path.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 400_000] = b"\xff" * 400_000  # the index stays, a chunk in the middle is gone
    file.write_bytes(data)
    process = subprocess.Popen(
        [sys.executable, "-m", "lisa_ros.node.replay", "--ros-args", "-p", f"source:={path}", "-p", "rate:=100.0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=dict(os.environ),
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    assert f"lisa_replay: {path}: " in output and "damaged" in output and "Traceback" not in output
