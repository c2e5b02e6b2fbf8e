"""Images that are broken, empty, huge or of another kind than they say."""

from __future__ import annotations

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from campaign import fault
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentedInstance
from node_harness import HEIGHT, WIDTH, depth_picture, red_box_picture
from rclpy.serialization import serialize_message
from rig import arrive, ask, heard, log_lines, still_answers
from sensor_msgs.msg import CompressedImage, Image

from lisa_ros.geometry import Camera
from lisa_ros.node import messages


def color_image(client, **fields) -> Image:
    """The good picture with some fields changed."""
    return changed(messages.to_image(client.header(), red_box_picture(), "rgb8"), fields)


def depth_image(client, pixels=None, encoding="16UC1", **fields) -> Image:
    pixels = depth_picture() if pixels is None else pixels
    return changed(messages.to_image(client.header(), pixels, encoding), fields)


def changed(message, fields):
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def refused(client, lisa, *says, **frame) -> None:
    """A frame whose colour cannot be used: FAILED, no outputs; then a good one."""
    client.connect()
    arrive(client, lisa, **frame)
    ask(client, Result.FAILED, "/color/image_raw: ", *says)
    assert not client.outputs["mask"]
    still_answers(client, lisa)


def not_lifted(client, lisa, *says, **frame) -> None:
    """A frame whose depth cannot be used: NO_DEPTH with the right mask, no points; then a good one."""
    client.connect()
    header = client.header()
    for message in frame.values():
        message.header = header
    arrive(client, lisa, header=header, **frame)
    result = ask(client, Result.NO_DEPTH, *says)
    assert np.count_nonzero(client.output("mask").data) == 2400 and not client.outputs["points"]
    assert result.instances[0].status_3d == SegmentedInstance.NO_DEPTH and result.instances[0].point_count == 0
    still_answers(client, lisa)


# ---- depth ----
NO_VALID_DEPTH = "no pixel of the mask has valid depth"


@fault("depth all zero", "`NO_DEPTH` says so, the mask is published")
def test_depth_all_zero(lisa, client):
    not_lifted(client, lisa, NO_VALID_DEPTH, depth=depth_image(client, np.zeros((HEIGHT, WIDTH), np.uint16)))


def floats(client, value: float) -> Image:
    return depth_image(client, np.full((HEIGHT, WIDTH), value, np.float32), "32FC1")


@fault("depth all NaN", "`NO_DEPTH` says so, the mask is published")
def test_depth_all_nan(lisa, client):
    not_lifted(client, lisa, NO_VALID_DEPTH, depth=floats(client, np.nan))


@fault("depth infinite", "`NO_DEPTH` says so, the mask is published")
def test_depth_infinite(lisa, client):
    not_lifted(client, lisa, NO_VALID_DEPTH, depth=floats(client, np.inf))


@fault("depth negative", "`NO_DEPTH` says so, the mask is published")
def test_depth_negative(lisa, client):
    not_lifted(client, lisa, NO_VALID_DEPTH, depth=floats(client, -1.0))


@fault("depth with holes of NaN, inf and negative values", "`FOUND`; only good pixels become points")
def test_depth_with_holes(lisa, client):
    client.connect()
    metres = depth_picture().astype(np.float32) / 1000
    metres[45:50, 60:70], metres[55:60, 60:70], metres[65:70, 60:70] = np.nan, np.inf, -1.0
    header = client.header()
    arrive(client, lisa, header=header, depth=messages.to_image(header, metres, "32FC1"))
    (instance,) = ask(client, Result.FOUND).instances
    assert 1000 < instance.point_count <= 2400 - 150 and instance.centroid.z == pytest.approx(1.0, abs=1e-3)
    points = client.output("points")
    assert points.is_dense and np.isfinite(np.frombuffer(points.data, np.float32).reshape(-1, 4)[:, :3]).all()
    still_answers(client, lisa)


@fault("depth of another size than colour", "`FOUND`; depth is scaled to colour")
def test_depth_of_another_size(lisa, client):
    client.connect()
    header = client.header()
    small = np.ascontiguousarray(depth_picture()[::2, ::2])
    arrive(client, lisa, header=header, depth=messages.to_image(header, small, "16UC1"))
    (instance,) = ask(client, Result.FOUND).instances
    assert instance.status_3d == SegmentedInstance.LIFTED and instance.centroid.z == pytest.approx(1.0, abs=1e-3)
    still_answers(client, lisa)


@fault("depth of another shape than colour", "`NO_DEPTH` gives both sizes, the mask is published")
def test_depth_of_another_shape(lisa, client):
    tall = np.full((WIDTH, HEIGHT), 1000, np.uint16)
    says = "/depth/image_raw: depth is 120x160 pixels and colour 160x120: other proportions, so not the same view"
    not_lifted(client, lisa, says, depth=depth_image(client, tall))


@fault("depth in a colour encoding", "`NO_DEPTH` names the encoding and those that work, the mask is published")
def test_depth_encoding(lisa, client):
    depth = messages.to_image(client.header(), red_box_picture(), "rgb8")
    says = '/depth/image_raw: encoding "rgb8" is no depth image; use 16UC1 (millimetres) or 32FC1 (metres)'
    not_lifted(client, lisa, says, depth=depth)


@fault("depth data truncated", "`NO_DEPTH` gives the bytes there and those needed, the mask is published")
def test_depth_truncated(lisa, client):
    depth = depth_image(client)
    depth.data = depth.data[:1000]
    says = "/depth/image_raw: the image data is truncated: 1000 bytes for 160x120 16UC1, step 320"
    not_lifted(client, lisa, says, depth=depth)


# ---- colour ----
@fault("colour in an encoding that is not understood", "`FAILED` names the encoding and those that work")
def test_color_encoding(lisa, client):
    says = 'encoding "bayer_rggb8" is no colour image that is understood; use one of rgb8, bgr8, '
    refused(client, lisa, says, color=color_image(client, encoding="bayer_rggb8"))


@fault("a depth image on the colour topic", "`FAILED` names the encoding and those that work")
def test_depth_as_color(lisa, client):
    says = 'encoding "32FC1" is no colour image that is understood'
    refused(client, lisa, says, color=floats(client, 1.0))


@fault("colour data truncated", "`FAILED` gives the bytes there and those needed")
def test_color_truncated(lisa, client):
    color = color_image(client)
    color.data = color.data[:-1000]
    says = "the image data is truncated: 56600 bytes for 160x120 rgb8, step 480"
    refused(client, lisa, says, color=color)


@fault("rows that are shorter than their pixels (step)", "`FAILED` gives both lengths")
def test_step_too_small(lisa, client):
    says = "step is 160 bytes, but a row of 160 rgb8 pixels takes 480"
    refused(client, lisa, says, color=color_image(client, step=160))


@fault("rows that are longer than the data (step)", "`FAILED` gives the bytes there and those needed")
def test_step_too_large(lisa, client):
    says = "the image data is truncated: 57600 bytes for 160x120 rgb8, step 512"
    refused(client, lisa, says, color=color_image(client, step=512))


@fault("rows with padding (step)", "`FOUND` at the right place")
def test_step_with_padding(lisa, client):
    client.connect()
    rows = np.pad(red_box_picture().reshape(HEIGHT, -1), ((0, 0), (0, 32)), constant_values=255)
    header = client.header()
    color = messages.to_image(header, red_box_picture(), "rgb8")
    color.step, color.data = rows.shape[1], array.array("B", rows.tobytes())
    arrive(client, lisa, header=header, color=color)
    (instance,) = ask(client, Result.FOUND).instances
    assert instance.pixel_count == 2400
    still_answers(client, lisa)


@fault("an image without pixels", "`FAILED` gives its size")
def test_no_pixels(lisa, client):
    color = color_image(client, width=0, height=0, step=0, data=array.array("B"))
    refused(client, lisa, "the image is 0x0 pixels", color=color)


@fault("a 1x1 image", "`FOUND` with a mask of one pixel, too few points for a box")
def test_one_pixel(lisa, client):
    client.connect()
    header = client.header()
    arrive(
        client,
        lisa,
        header=header,
        color=messages.to_image(header, np.array([[[255, 0, 0]]], np.uint8), "rgb8"),
        depth=messages.to_image(header, np.array([[1000]], np.uint16), "16UC1"),
        info=messages.to_camera_info(header, Camera(120.0, 120.0, 0.0, 0.0, 1, 1)),
    )
    (instance,) = ask(client, Result.FOUND).instances
    assert instance.pixel_count == 1 and instance.status_3d == SegmentedInstance.TOO_FEW_POINTS
    assert bytes(client.output("mask").data) == b"\xff"
    still_answers(client, lisa)


@fault("an 8k image (7680x4320)", "`FAILED` gives its size and max_image_pixels")
def test_8k_image(lisa, client):
    pixels = np.zeros((4320, 7680), np.uint8)
    refused(
        client,
        lisa,
        "the image is 7680x4320 pixels; max_image_pixels is 25000000",
        color=messages.to_image(client.header(), pixels, "mono8"),
    )


@fault("an image that declares four billion rows", "`FAILED` gives its size; nothing of that size is allocated")
def test_declared_size(lisa, client):
    most = 2**32 - 1
    says = f"the image is {most}x{most} pixels; max_image_pixels is 25000000"
    refused(client, lisa, says, color=color_image(client, width=most, height=most, step=most))


@fault("a colour message cut off on the wire", "`FAILED` names the topic")
def test_color_message_cut_off(lisa, client):
    says = "a message of 5000 bytes cannot be read as Image: it is cut off or of another type"
    refused(client, lisa, says, color=serialize_message(color_image(client))[:5000])


@fault("a depth message cut off on the wire", "`NO_DEPTH` names the topic, the mask is published")
def test_depth_message_cut_off(lisa, client):
    client.connect()
    header = client.header()
    arrive(client, lisa, header=header, depth=serialize_message(depth_image(client, header=header))[:5000])
    ask(client, Result.NO_DEPTH, "/depth/image_raw: a message of 5000 bytes cannot be read as Image")
    assert np.count_nonzero(client.output("mask").data) == 2400
    still_answers(client, lisa)


@fault("a camera_info message cut off on the wire", "`NO_DEPTH` names the topic, the mask is published")
def test_camera_info_message_cut_off(lisa, client):
    client.connect()
    header = client.header()
    info = messages.to_camera_info(header, Camera(120.0, 120.0, 79.5, 59.5, WIDTH, HEIGHT))
    arrive(client, lisa, header=header, info=serialize_message(info)[:60])
    ask(client, Result.NO_DEPTH, "/color/camera_info: a message of 60 bytes cannot be read as CameraInfo")
    assert np.count_nonzero(client.output("mask").data) == 2400
    still_answers(client, lisa)


@fault(
    "a message too short for a header",
    "ignored, the log names the topic; queries are answered about the frame before",
)
def test_message_without_header(lisa, client):
    lines = log_lines(client)
    client.connect()
    header = arrive(client, lisa)
    client.color.publish(b"\x00\x01\x00\x00")
    heard(client, lines, "/color/image_raw: a message of", "bytes has no header")
    still = ask(client, Result.FOUND)
    assert still.header == header
    still_answers(client, lisa)


# ---- compressed ----
@pytest.fixture
def coded(make_node, client):
    """A node and a camera with compressed colour and depth."""
    lisa = make_node(color_transport="compressed", depth_transport="compressed")
    client.color = client.node.create_publisher(CompressedImage, "color/image_raw/compressed", 2)
    client.depth = client.node.create_publisher(CompressedImage, "depth/image_raw/compressedDepth", 2)
    client.connect()
    return lisa


JPEG = cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
PNG = cv2.imencode(".png", red_box_picture()[:, :, ::-1])[1].tobytes()
DEPTH_PNG = bytes(12) + cv2.imencode(".png", depth_picture())[1].tobytes()


def coded_frame(client, color=PNG, depth=DEPTH_PNG, format="16UC1; compressedDepth png") -> dict:
    header = client.header()
    return {
        "header": header,
        "color": CompressedImage(header=header, format="jpeg", data=array.array("B", color)),
        "depth": CompressedImage(header=header, format=format, data=array.array("B", depth)),
    }


def coded_refused(client, lisa, *says, color: bytes) -> None:
    arrive(client, lisa, **coded_frame(client, color=color))
    ask(client, Result.FAILED, "/color/image_raw/compressed: ", *says)
    assert not client.outputs["mask"]
    still_answers(client, lisa, **coded_frame(client))


def coded_not_lifted(client, lisa, *says, **frame) -> None:
    arrive(client, lisa, **coded_frame(client, **frame))
    ask(client, Result.NO_DEPTH, "/depth/image_raw/compressedDepth: ", *says)
    assert np.count_nonzero(client.output("mask").data) == 2400 and not client.outputs["points"]
    still_answers(client, lisa, **coded_frame(client))


def png_that_declares(width: int, height: int) -> bytes:
    """A small PNG with another size in its header, its checksum right."""
    header = b"IHDR" + struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


@fault("a JPEG cut off", "`FAILED` says corrupt or truncated, and how many bytes came")
def test_jpeg_cut_off(coded, client):
    cut = JPEG[: len(JPEG) * 2 // 3]
    coded_refused(client, coded, f'(format "jpeg", {len(cut)} bytes) is corrupt or truncated', color=cut)


@fault("a JPEG that is none", "`FAILED` says so")
def test_jpeg_of_noise(coded, client):
    coded_refused(client, coded, "is not a readable JPEG or PNG", color=bytes(range(256)) * 4)


@fault("an empty compressed image", "`FAILED` says so")
def test_jpeg_empty(coded, client):
    coded_refused(client, coded, '(format "jpeg", 0 bytes) is not a readable JPEG or PNG', color=b"")


@fault("a PNG with flipped bytes", "`FAILED` says corrupt or truncated")
def test_png_corrupt(coded, client):
    middle = len(PNG) // 2
    flipped = PNG[:middle] + bytes(byte ^ 0xFF for byte in PNG[middle : middle + 20]) + PNG[middle + 20 :]
    coded_refused(client, coded, "is corrupt or truncated", color=flipped)


@fault("a PNG bomb (a few bytes that declare 20000x20000 pixels)", "`FAILED` gives the size; nothing is decoded")
def test_png_bomb(coded, client):
    coded_refused(client, coded, "is too large: Image size (400000000 pixels)", color=png_that_declares(20_000, 20_000))


@fault("a small PNG bomb (10000x10000 pixels)", "`FAILED` gives the size and max_image_pixels; nothing is decoded")
def test_small_png_bomb(coded, client):
    says = "the image is 10000x10000 pixels; max_image_pixels is 25000000"
    coded_refused(client, coded, says, color=png_that_declares(10_000, 10_000))


@fault("compressedDepth of noise", "`NO_DEPTH` says so, the mask is published")
def test_compressed_depth_of_noise(coded, client):
    says = "the compressed depth image", "is not a readable JPEG or PNG"
    coded_not_lifted(client, coded, *says, depth=bytes(range(256)))


@fault("compressedDepth cut off", "`NO_DEPTH` says corrupt or truncated, the mask is published")
def test_compressed_depth_cut_off(coded, client):
    coded_not_lifted(client, coded, "is corrupt or truncated", depth=DEPTH_PNG[: len(DEPTH_PNG) // 2])


@fault("compressedDepth of a colour picture", "`NO_DEPTH` says what its pixels are, the mask is published")
def test_compressed_depth_of_colour(coded, client):
    coded_not_lifted(client, coded, "holds 3 x 8 bit pixels, not 1 x 16 bit", depth=bytes(12) + PNG)


@fault("compressedDepth in RVL cut off", "`NO_DEPTH` says truncated or corrupt, the mask is published")
def test_rvl_cut_off(coded, client):
    data = bytes(12) + struct.pack("<II", WIDTH, HEIGHT) + bytes(8)
    coded_not_lifted(client, coded, "corrupt", depth=data, format="16UC1; compressedDepth rvl")


@fault("compressedDepth with unusable quantisation", "`NO_DEPTH` gives it, the mask is published")
def test_depth_quantisation(coded, client):
    data = struct.pack("<iff", 0, float("nan"), 0.0) + DEPTH_PNG[12:]
    coded_not_lifted(client, coded, "unusable quantisation", depth=data, format="32FC1; compressedDepth png")
