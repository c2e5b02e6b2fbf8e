"""lisa_record: what the node says is in the bag, byte by byte; ends whole, or under another name and readable."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult
from node_harness import SECONDS
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from lisa_ros.node import messages
from lisa_ros.node.record import NOT_BY_DEFAULT, OUTPUTS, RecordNode, _type_name
from lisa_ros.node.recording import Recording, RecordingError, end_file, typestore_for, whole_records
from lisa_ros.sources.bag import Bag

RECORD = [sys.executable, "-u", "-m", "lisa_ros.node.record"]


@pytest.fixture
def start():
    """start(out=..., ...) -> lisa_record as a process that is ready"""
    processes = []

    def begin(**parameters) -> subprocess.Popen:
        options = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        process = subprocess.Popen(
            [*RECORD, "--ros-args", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=dict(os.environ),
        )  # fmt: skip
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(process: subprocess.Popen) -> None:
    for line in process.stdout:
        if "ready: recording" in line:
            return
    pytest.fail("lisa_record never said that it is ready")


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
    process = start(out=tmp_path / "answers")
    ready(process)
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
    process = start(out=tmp_path / "bag", topics="[mask]")
    ready(process)
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
    process = start(out=tmp_path / "bag")
    ready(process)
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


# ---- a full disk ----
@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a file system of its own: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(client, process) -> str:
    """Publish pictures of 300 kB until the recorder ends; returns what it said."""
    qos = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = client.node.create_publisher(Image, "lisa/overlay", qos)
    client.until(lambda: publisher.get_subscription_count() > 0)
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)

    def ended() -> bool:
        publisher.publish(messages.to_image(Header(frame_id="camera"), noise, "rgb8"))
        return process.poll() is not None

    client.until(ended)
    return process.communicate(timeout=SECONDS)[0]


def check_cut_short(process, output: str, out: Path, reason: str) -> None:
    """Status 1, one clear sentence, nothing under the final name, what was written before can be read."""
    assert process.returncode == 1 and "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("lisa_record: ")]
    assert f"{out}: the recording ended early: {reason}" in line
    file = out.with_name(out.name + ".part") / out.name / f"{out.name}.mcap"
    assert line.endswith(f"what was written before can be read: {file}")
    assert not out.exists()
    with Bag(file) as bag:
        pictures = [deserialize_message(m.serialized, Image) for m in bag.messages({"/lisa/overlay"})]
    assert len(pictures) >= 3 and all(picture.width == 320 for picture in pictures)


def test_a_full_disk_ends_the_recording_readably(client, start, small_disk):
    process = start(out=small_disk / "bag", topics="[overlay]")
    ready(process)
    check_cut_short(process, fill(client, process), small_disk / "bag", "No space left on device")


def test_a_file_that_may_not_grow_ends_the_recording_readably(client, start, tmp_path):
    """As a full disk, where no file system can be mounted: the kernel refuses more than 3 MB a file."""
    process = start(out=tmp_path / "bag", topics="[overlay]")
    ready(process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
    check_cut_short(process, fill(client, process), tmp_path / "bag", "File too large")


def test_a_disk_that_is_full_at_the_end(small_disk):
    """The last chunk and the index no longer fit when the recording ends."""
    recording = Recording(small_disk / "bag", {"/lisa/mask": "sensor_msgs/msg/Image"})
    for number in range(3):
        recording.write("/lisa/mask", number, bytes(1_000_000))
    ballast = (small_disk / "ballast").open("wb", buffering=0)
    with pytest.raises(OSError):
        while True:
            ballast.write(bytes(4096))
    recording.write("/lisa/mask", 3, bytes(40_000))  # still in memory
    with pytest.raises(RecordingError, match="ended early: No space left on device; what was written before can be"):
        recording.finish()
    assert not (small_disk / "bag").exists()
    with Bag(small_disk / "bag.part" / "bag" / "bag.mcap") as bag:
        assert [m.stamp_ns for m in bag.messages({"/lisa/mask"})] == [0, 1]


def test_a_file_cut_anywhere_is_ended_readably(tmp_path):
    """Also what a crash leaves behind."""
    recording = Recording(tmp_path / "bag", {"/lisa/mask": "sensor_msgs/msg/Image"})
    for number in range(4):
        recording.write("/lisa/mask", number, bytes([number]) * 1_100_000)
    recording.finish()
    whole = (tmp_path / "bag" / "bag.mcap").read_bytes()
    counts = []
    for size in [*range(60, len(whole), len(whole) // 40), len(whole) - 10]:
        file = tmp_path / "cut.mcap"
        file.write_bytes(whole[:size])
        end_file(file, whole_records(file))
        with Bag(file) as bag:
            read = list(bag.messages({"/lisa/mask"}))
        assert [m.stamp_ns for m in read] == list(range(len(read)))
        assert all(set(m.serialized) == {m.stamp_ns} for m in read)
        counts.append(len(read))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 4
    file.write_bytes(whole[:20])
    with pytest.raises(ValueError, match="no whole record"):
        whole_records(file)
