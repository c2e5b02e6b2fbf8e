"""Images read in place are what rclpy reads; what is cut off or of another type is refused."""

from __future__ import annotations

import array

import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from lisa_ros.node.serialized_image import read_image

FIELDS = ("header", "height", "width", "encoding", "is_bigendian", "step")


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "camera_color_optical_frame", "küche"])
@pytest.mark.parametrize("encoding", ["rgb8", "16UC1", "mono8", ""])
def test_same_as_rclpy(frame_id, encoding):
    header = Header(stamp=Time(sec=-3, nanosec=999_999_999), frame_id=frame_id)
    data = array.array("B", range(30))
    image = Image(header=header, height=2, width=5, encoding=encoding, is_bigendian=1, step=15, data=data)
    serialized = serialize_message(image)
    read, expected = read_image(serialized), deserialize_message(serialized, Image)
    assert [getattr(read, name) for name in FIELDS] == [getattr(expected, name) for name in FIELDS]
    assert bytes(read.data) == expected.data.tobytes()


def test_every_cut_is_refused():
    whole = serialize_message(Image(height=2, width=5, encoding="mono8", step=5, data=array.array("B", range(10))))
    payload = whole[: 4 + len(whole[4:].rstrip(b"\x00")) + 0]
    assert bytes(read_image(payload).data) == bytes(range(10))
    for length in range(len(payload)):
        with pytest.raises(ValueError):
            read_image(payload[:length])


@pytest.mark.parametrize("serialized", [serialize_message(String(data="no image")), b"\x00\x0b\x00\x00" + bytes(60)])
def test_something_else_is_refused(serialized):
    with pytest.raises(ValueError):
        read_image(serialized)


def test_big_endian():
    """As a big-endian machine would send it: stamp 1 s, frame "a", 1x1 mono8."""
    numbers = [b"\x00\x00\x00\x00", (1).to_bytes(4, "big"), bytes(4), (2).to_bytes(4, "big"), b"a\x00\x00\x00"]
    numbers += [(1).to_bytes(4, "big")] * 2 + [(6).to_bytes(4, "big"), b"mono8\x00", b"\x01", b"\x00"]
    numbers += [(1).to_bytes(4, "big")] * 2 + [b"\x07"]
    image = read_image(b"".join(numbers))
    assert (image.header.stamp.sec, image.header.frame_id, image.encoding) == (1, "a", "mono8")
    assert (image.height, image.width, image.is_bigendian, image.step, bytes(image.data)) == (1, 1, 1, 1, b"\x07")
