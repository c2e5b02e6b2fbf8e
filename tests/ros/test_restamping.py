"""Stamps written into serialized messages: everything else stays as it was, byte by byte."""

from __future__ import annotations

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from lisa_ros.node.conversions import ConversionError, stamp_ns, to_stamp
from lisa_ros.node.restamping import restamped, restamped_transforms

OLD, NEW = 1_600_000_000_123_456_789, 1_700_000_001_987_654_321


@pytest.mark.parametrize(
    "message",
    [
        Image(height=1, width=3, step=3, encoding="mono8", data=b"abc"),
        CompressedImage(format="jpeg", data=b"xy"),
        CameraInfo(width=7, d=[0.1]),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("frame_id", ["", "c", "camera"])
def test_headers(message, frame_id):
    message.header = Header(stamp=to_stamp(OLD), frame_id=frame_id)
    seen = []

    def new_stamp(old_ns: int) -> int:
        seen.append(old_ns)
        return NEW

    changed = deserialize_message(restamped(serialize_message(message), new_stamp), type(message))
    assert seen == [OLD] and stamp_ns(changed.header.stamp) == NEW
    changed.header.stamp = to_stamp(OLD)
    assert changed == message


@pytest.mark.parametrize("names", [("", ""), ("a", "bc"), ("map", "base_link"), ("camera_link", "x" * 61)])
def test_every_transform(names):
    """Names of any length, so that the alignment is met in all its cases; the byte order of big-endian senders too."""
    tf2 = pytest.importorskip("tf2_msgs.msg")
    geometry = pytest.importorskip("geometry_msgs.msg")
    message = tf2.TFMessage()
    for number in range(3):
        transform = geometry.TransformStamped(child_frame_id=names[1] + "x" * number)
        transform.header = Header(stamp=to_stamp(OLD + number), frame_id=names[0])
        transform.transform.translation.x = 1.5 + number
        message.transforms.append(transform)
    changed = deserialize_message(restamped_transforms(serialize_message(message), lambda old: old + 5), tf2.TFMessage)
    for number, transform in enumerate(changed.transforms):
        assert stamp_ns(transform.header.stamp) == OLD + number + 5
        transform.header.stamp = to_stamp(OLD + number)
    assert changed == message
    empty = serialize_message(tf2.TFMessage())
    assert restamped_transforms(empty, lambda old: old + 5) == empty


def test_big_endian_too():
    header = b"\x00\x00\x00\x00" + (12).to_bytes(4, "big") + (34).to_bytes(4, "big") + b"rest"
    changed = restamped(header, lambda old: old + 1_000_000_001)
    assert changed == b"\x00\x00\x00\x00" + (13).to_bytes(4, "big") + (35).to_bytes(4, "big") + b"rest"


HEAD = b"\x00\x01\x00\x00"


@pytest.mark.parametrize("data", [b"", HEAD[:2], HEAD + b"\xff\xff\xff\xff", HEAD + b"\x02\x00\x00\x00" + bytes(40)])
def test_what_is_cut_off_is_refused(data):
    with pytest.raises(ConversionError):
        restamped_transforms(data, lambda old: old)
    if len(data) < 12:
        with pytest.raises(ConversionError):
            restamped(data, lambda old: old)
