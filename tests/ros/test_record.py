"""lisa_record: what the node says is in the bag, byte by byte; ends whole, or under another name and readable."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from functools import partial

import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult
from node_harness import SECONDS
from processes import wait_for_line
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from lisa_ros.node import messages
from lisa_ros.node.record import NOT_BY_DEFAULT, OUTPUTS, RecordNode, _type_name
from lisa_ros.node.recording import Recording, RecordingError, typestore_for
from lisa_ros.sources.bag import Bag

RECORD = ["-u", "-m", "lisa_ros.node.record"]


def listens(client, topic: str) -> bool:
    """Whether the recorder's subscription has been discovered."""
    return "lisa_record" in {info.node_name for info in client.node.get_subscriptions_info_by_topic(topic)}


def until_recorded(process: subprocess.Popen, count: int) -> None:
    """Read on until the recorder says that it has so many messages."""
    for line in process.stdout:
        if (told := re.search(r"recorded (\d+) messages", line)) and int(told[1]) >= count:
            return
    pytest.fail(f"lisa_record ended before it had {count} messages")


def interrupt(process: subprocess.Popen) -> str:
    """As Ctrl-C under ros2 launch: once to the whole group, and once more by launch itself."""
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    return output


def test_everything_that_the_node_says_is_recorded(lisa, client, start, tmp_path):
    process = start(RECORD, out=tmp_path / "answers")
    wait_for_line(process, "ready: recording")
    client.connect()
    for name in OUTPUTS.keys() - NOT_BY_DEFAULT:
        client.until(partial(listens, client, f"/lisa/{name}"))
    client.show()
    client.until(lambda: lisa.frames() > 0)
    assert client.ask("the red box").status == SegmentationResult.FOUND
    assert client.ask("the blue box").status == SegmentationResult.NOT_FOUND
    until_recorded(process, 12)  # eight outputs of the first answer, at least four of the second
    output = interrupt(process)
    assert process.returncode == 0, output
    assert not (tmp_path / "answers.part").exists() and "Traceback" not in output

    with AnyReader([tmp_path / "answers"]) as reader:  # with the definitions that are in the bag itself
        read = {connection.topic: [] for connection in reader.connections}
        times = []
        for connection, when, data in reader.messages():
            read[connection.topic].append(reader.deserialize(data, connection.msgtype))
            times.append(when)
    assert {f"/lisa/{name}" for name in OUTPUTS if name not in NOT_BY_DEFAULT} == set(read)
    assert times == sorted(times)
    assert [result.query for result in read["/lisa/result"]] == ["the red box", "the blue box"]
    assert read["/lisa/result"][0].instances[0].point_count > 1000
    assert all(len(read[f"/lisa/{name}"]) == 2 for name in ("mask", "camera_info", "instances"))
    assert all(read[f"/lisa/{name}"] for name in ("points", "background", "markers", "overlay"))
    (mask, _) = read["/lisa/mask"]
    assert mask.encoding == "mono8" and set(np.unique(mask.data)) == {0, 255}


def test_the_bytes_are_those_that_were_sent(client, start, tmp_path):
    process = start(RECORD, out=tmp_path / "bag", topics="[mask]")
    wait_for_line(process, "ready: recording")
    qos = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    sent = [
        messages.to_image(Header(frame_id=str(number)), np.full((2, 3), number, np.uint8), "mono8")
        for number in range(5)
    ]
    publisher = client.node.create_publisher(Image, "lisa/mask", qos)
    client.until(lambda: publisher.get_subscription_count() > 0)
    for message in sent:
        publisher.publish(message)
    until_recorded(process, len(sent))
    interrupt(process)
    with Bag(tmp_path / "bag") as bag:
        assert [deserialize_message(m.serialized, Image) for m in bag.messages({"/lisa/mask"})] == sent
        offered = bag._reader.connections[0].ext.offered_qos_profiles
    assert offered[0].durability.name == "TRANSIENT_LOCAL" and offered[0].reliability.name == "RELIABLE"


def test_outputs_are_the_nodes(lisa, client):
    client.connect()
    real = dict(lisa.node.get_publisher_names_and_types_by_node("lisa", "/"))
    for name, kind in OUTPUTS.items():
        assert real[f"/lisa/{name}"] == [_type_name(kind)]


def test_type_hashes_are_those_of_ros(lisa, client):
    """A player compares nothing, but other tools do."""
    client.connect()
    types = {_type_name(kind) for kind in OUTPUTS.values()}
    store = typestore_for(types)
    seen = set()
    for name, kind in OUTPUTS.items():
        for endpoint in client.node.get_publishers_info_by_topic(f"/lisa/{name}"):
            assert str(endpoint.topic_type_hash) == store.hash_rihs01(_type_name(kind))
            seen.add(_type_name(kind))
    assert "lisa_ros/msg/SegmentationResult" in seen


def test_without_messages_there_is_no_bag(start, tmp_path):
    process = start(RECORD, out=tmp_path / "bag")
    wait_for_line(process, "ready: recording")
    assert "no message arrived" in interrupt(process)
    assert process.returncode == 0 and list(tmp_path.iterdir()) == []


def make(**parameters) -> None:
    RecordNode(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()]).destroy_node()


@pytest.mark.parametrize(
    "parameters, says",
    [
        ({}, "parameter out is empty"),
        ({"out": "x", "topics": ["picture"]}, '"picture" is no output of the node; use result, mask'),
    ],
)
def test_bad_parameters(parameters, says):
    with pytest.raises(RecordingError, match=says):
        make(**parameters)


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").touch()
    with pytest.raises(RecordingError, match="full exists; give another folder"):
        make(out=str(tmp_path / "full"))
    (tmp_path / "bag.part").mkdir()
    with pytest.raises(RecordingError, match="a recording that did not end"):
        make(out=str(tmp_path / "bag"))
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="file exists"):
        make(out=str(tmp_path / "file"))
    with pytest.raises(RecordingError, match="cannot be recorded: .*Not a directory"):
        make(out=str(tmp_path / "file" / "bag"))


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "bag").mkdir()
    recording = Recording(tmp_path / "bag", {"/lisa/mask": "sensor_msgs/msg/Image"})
    recording.write("/lisa/mask", 5, b"\x00\x01\x00\x00")
    assert recording.finish()
    with Bag(tmp_path / "bag") as bag:
        assert [m.stamp_ns for m in bag.messages({"/lisa/mask"})] == [5]
