"""What comes in: layouts of messages, without a network."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from lisa_ros.geometry import Camera
from lisa_ros.node import conversions, messages
from lisa_ros.node.conversions import ConversionError

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)


def message(pixels, encoding, *, pad=0, big=False):
    """An Image with `pad` junk bytes after each row, in either byte order."""
    pixels = np.ascontiguousarray(pixels)
    rows = (pixels.byteswap() if big else pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.concatenate([rows, np.full((len(rows), pad), 0xAB, np.uint8)], axis=1)
    result = Image(
        height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1], is_bigendian=big
    )
    result.data = array.array("B", rows.tobytes())
    return result


@pytest.mark.parametrize("pad", [0, 3])
@pytest.mark.parametrize(
    "encoding, pixels",
    [
        ("rgb8", RGB),
        ("bgr8", RGB[:, :, ::-1]),
        ("rgba8", np.dstack([RGB, RGB[:, :, 0]])),
        ("bgra8", np.dstack([RGB[:, :, ::-1], RGB[:, :, 0]])),
    ],
)
def test_color_encodings_become_rgb(encoding, pixels, pad):
    assert np.array_equal(conversions.color_image(message(pixels, encoding, pad=pad)), RGB)


def test_mono_becomes_grey():
    assert np.array_equal(conversions.color_image(message(RGB[:, :, 0], "mono8")), np.repeat(RGB[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 6])
def test_depth_in_both_units_and_byte_orders(pad, big):
    millimetres = np.array([[0, 1, 256], [1500, 65535, 10]], np.uint16)
    metres = conversions.depth_image(message(millimetres, "16UC1", pad=pad, big=big), 0.001)
    assert metres.dtype == np.float32 and np.allclose(metres, millimetres / 1000)
    values = np.array([[0.0, 1.5, np.nan], [np.inf, -2.0, 10.25]], np.float32)
    metres = conversions.depth_image(message(values, "32FC1", pad=pad, big=big), 0.001)
    assert np.array_equal(metres, np.array([[0, 1.5, 0], [0, 0, 10.25]], np.float32))


def test_compressed_depth_becomes_metres():
    millimetres = np.array([[0, 1500], [65535, 10]], np.uint16)
    png = bytes(12) + cv2.imencode(".png", millimetres)[1].tobytes()
    sent = CompressedImage(format="16UC1; compressedDepth png", data=array.array("B", png))
    metres = conversions.depth_image(sent, 0.001)
    assert metres.dtype == np.float32 and np.allclose(metres, millimetres / 1000)
    sent.data = sent.data[:30]
    with pytest.raises(ConversionError, match="16UC1; compressedDepth png"):
        conversions.depth_image(sent, 0.001)


def test_images_above_the_limit_are_refused():
    assert conversions.color_image(message(RGB, "rgb8"), 35).shape == RGB.shape
    for read in (
        lambda: conversions.color_image(message(RGB, "rgb8"), 34),
        lambda: conversions.depth_image(message(RGB[:, :, 0].astype(np.uint16), "16UC1"), 0.001, 34),
        lambda: conversions.color_image(CompressedImage(data=cv2.imencode(".png", RGB)[1].tobytes()), 34),
    ):
        with pytest.raises(ConversionError, match="5x7 pixels; max_image_pixels is 34"):
            read()


def test_a_huge_step_of_a_single_row_costs_no_memory():
    row = message(RGB[:1], "rgb8")
    row.step = 4_000_000_000
    assert np.array_equal(conversions.color_image(row), RGB[:1])


def test_last_row_may_lack_its_padding():
    padded = message(RGB, "rgb8", pad=3)
    padded.data = padded.data[:-3]
    assert np.array_equal(conversions.color_image(padded), RGB)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"encoding": "yuv422"}, "yuv422"),
        ({"encoding": ""}, 'encoding ""'),
        ({"step": 14}, "step is 14"),
        ({"height": 8}, "truncated"),
        ({"width": 0}, "0x7 pixels"),
        ({"data": array.array("B")}, "truncated: 0 bytes"),
    ],
)
def test_bad_images_are_refused(change, says):
    bad = message(RGB, "rgb8")
    for name, value in change.items():
        setattr(bad, name, value)
    with pytest.raises(ConversionError, match=says):
        conversions.color_image(bad)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_compressed_images(ending):
    smooth = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    data = cv2.imencode(ending, smooth[:, :, ::-1])[1]
    pixels = conversions.color_image(CompressedImage(format=ending, data=array.array("B", data.tobytes())))
    assert np.abs(pixels.astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff junk"])
def test_corrupt_jpeg_is_refused(data):
    with pytest.raises(ConversionError, match="not a readable"):
        conversions.color_image(CompressedImage(format="jpeg", data=array.array("B", data)))


def test_stamp_is_read_from_serialized_messages():
    header = Header(stamp=conversions.to_stamp(1_234_567_890_123_456_789), frame_id="some/frame")
    for kind in (Image, CompressedImage, CameraInfo):
        assert conversions.serialized_stamp_ns(serialize_message(kind(header=header))) == 1_234_567_890_123_456_789
    big_endian = b"\x00\x00\x00\x00" + (7).to_bytes(4, "big") + (8).to_bytes(4, "big")
    assert conversions.serialized_stamp_ns(big_endian) == 7_000_000_008
    with pytest.raises(ConversionError):
        conversions.serialized_stamp_ns(b"\x00\x01")


def test_camera_round_trip_and_refusals():
    camera = Camera(500.0, 510.0, 319.5, 239.5, 640, 480)
    info = messages.to_camera_info(Header(), camera)
    assert conversions.camera_of(info, 640, 480) == camera
    with pytest.raises(ConversionError, match="1296x968"):
        conversions.camera_of(info, 1296, 968)
    info.k[0] = -1.0
    with pytest.raises(ConversionError, match="fx"):
        conversions.camera_of(info, 640, 480)


def test_numpy_and_cv_bridge_agree():
    cv_bridge = pytest.importorskip("cv_bridge")
    bridge = cv_bridge.CvBridge()
    for encoding, pixels in (("rgb8", RGB), ("bgr8", RGB), ("16UC1", RNG.integers(0, 60000, (4, 6), dtype=np.uint16))):
        theirs = bridge.imgmsg_to_cv2(message(pixels, encoding))
        assert np.array_equal(conversions.image_array(message(pixels, encoding)), theirs)
