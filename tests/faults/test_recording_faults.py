"""The disk under a recording: full, full at the end, or gone in the middle of a file."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
from campaign import fault
from node_harness import SECONDS
from processes import wait_for_line
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from lisa_ros.node import messages
from lisa_ros.node.recording import Recording, RecordingError, end_file, whole_records
from lisa_ros.sources.bag import Bag

RECORD = ["-u", "-m", "lisa_ros.node.record"]


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


@fault(
    "the disk fills up under a recording",
    "`lisa_record` ends with status 1 and names the folder; what was written before can be read",
)
def test_a_full_disk_ends_the_recording_readably(client, start, small_disk):
    process = start(RECORD, out=small_disk / "bag", topics="[overlay]")
    wait_for_line(process, "ready: recording")
    check_cut_short(process, fill(client, process), small_disk / "bag", "No space left on device")


@fault(
    "the file of a recording may not grow (quota)",
    "as with a full disk",
)
def test_a_file_that_may_not_grow_ends_the_recording_readably(client, start, tmp_path):
    """As a full disk, where no file system can be mounted: the kernel refuses more than 3 MB a file."""
    process = start(RECORD, out=tmp_path / "bag", topics="[overlay]")
    wait_for_line(process, "ready: recording")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
    check_cut_short(process, fill(client, process), tmp_path / "bag", "File too large")


@fault(
    "the disk is full when a recording ends",
    "no bag under the final name; what was written before can be read",
)
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


@fault(
    "a recording cut off anywhere (crash)",
    "ended by `lisa_record`'s own repair; every whole message before the cut can be read",
)
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
