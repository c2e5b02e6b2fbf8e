"""A camera's topics over real DDS: what is wrong with them is said with its cause, and heard in the log."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
import rclpy
from lisa_ros.msg import SegmentationResult as Result
from node_harness import CAMERA, SECONDS, depth_picture, red_box_picture
from rcl_interfaces.msg import Log
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from lisa_ros.node import messages


@pytest.fixture
def log(client):
    """All that nodes log, as it comes."""
    lines: list[str] = []
    subscription = client.node.create_subscription(Log, "/rosout", lambda message: lines.append(message.msg), 100)
    yield lines
    client.node.destroy_subscription(subscription)


def heard(client, log, *parts, also=lambda: None):
    """Wait for a log line with all of these parts; `also` is done again and again meanwhile."""

    def found():
        also()
        return any(all(part in line for part in parts) for line in log)

    client.until(found, SECONDS)
    return next(line for line in log if all(part in line for part in parts))


def publisher(client, kind, topic, **qos):
    return client.node.create_publisher(kind, topic, QoSProfile(depth=2, **qos))


def test_a_topic_under_another_name_is_suggested(make_node, client, log):
    for one in (client.color, client.depth):
        client.node.destroy_publisher(one)
    publisher(client, Image, "/camera/color/image_raw")
    publisher(client, Image, "/camera/depth/image_rect_raw")
    make_node(input_timeout=0.2)
    said = heard(client, log, "no message on /color/image_raw since the node was activated", "did you mean")
    assert "nobody publishes it; did you mean to remap from /camera/color/image_raw" in said and "/lisa/" not in said
    said = heard(client, log, "no message on /depth/image_raw", "did you mean")
    assert "did you mean to remap from /camera/depth/image_rect_raw" in said


def test_the_other_coding_of_the_same_images_is_suggested(make_node, client, log):
    for one in (client.color, client.depth):
        client.node.destroy_publisher(one)
    publisher(client, CompressedImage, "/color/image_raw/compressed")
    publisher(client, CompressedImage, "/depth/image_raw/compressedDepth")
    make_node(input_timeout=0.2)
    heard(client, log, "no message on /color/image_raw since", "set color_transport to compressed")
    heard(client, log, "no message on /depth/image_raw since", "set depth_transport to compressed")


def test_a_best_effort_camera_and_a_reliable_override_do_not_fit(make_node, client, log):
    client.node.destroy_publisher(client.color)
    publisher(client, Image, "/color/image_raw", reliability=ReliabilityPolicy.BEST_EFFORT)
    make_node(input_timeout=0.2, **{"qos_overrides./color/image_raw.subscription.reliability": "reliable"})
    said = heard(client, log, "no message on /color/image_raw", "/client offers reliability best_effort")
    assert "set qos_overrides./color/image_raw.subscription.reliability to best_effort" in said


def test_another_type_on_the_topic_is_named(make_node, client, log):
    client.node.destroy_publisher(client.depth)
    context = rclpy.Context()  # one participant cannot hold a topic of two types
    rclpy.init(context=context)
    driver = rclpy.create_node("driver", context=context)
    try:
        driver.create_publisher(CompressedImage, "/depth/image_raw", 2)
        make_node(input_timeout=0.2)
        heard(client, log, "/driver publishes sensor_msgs/msg/CompressedImage there, not sensor_msgs/msg/Image")
    finally:
        driver.destroy_node()
        rclpy.shutdown(context=context)


def test_a_publisher_that_says_nothing_is_named(make_node, client, log):
    make_node(input_timeout=0.2)
    client.connect()
    heard(client, log, "no message on /color/camera_info", "/client publishes it, but nothing comes")


def test_colour_that_stops(make_node, client, log):
    make_node(input_timeout=1.0)
    client.connect()
    client.show()
    said = heard(client, log, "no message on /color/image_raw for", also=lambda: client.show(without=("color",)))
    assert "/client publishes it, but nothing comes" in said


def test_depth_with_stamps_of_another_clock(make_node, client, log):
    make_node()
    client.connect()

    def show():
        late = client.header(shift=-1.0)
        client.show(depth=messages.to_image(late, depth_picture(), "16UC1"))

    said = heard(client, log, "none of the last", "/depth/image_raw is", "behind colour", also=show)
    assert "sync_tolerance is 0.02 s" in said


def test_stamps_that_are_not_of_the_nodes_clock(make_node, client, log):
    make_node()
    client.connect()
    heard(client, log, "older than this node's clock", "use_sim_time", also=lambda: client.show(header=client.header(shift=-60.0)))


def test_a_complaint_is_not_repeated_every_second(make_node, client, log, monkeypatch):
    monkeypatch.setattr("lisa_ros.node.inputs.WARN_SECONDS", 3600.0)
    lisa = make_node(input_timeout=0.2)
    heard(client, log, "no message on /color/image_raw")
    watched = lisa.inputs
    for _ in range(3):
        watched._watch()
    client.settle(0.5)
    assert sum("no message on /color/image_raw" in line for line in log) == 1


def test_the_report_counts_and_pairs(make_node, client):
    lisa = make_node()
    client.connect()
    client.until(lambda: client.show() and lisa.inputs.report().pairing.colors >= 5)
    report = lisa.inputs.report()
    assert report.camera == "" and [topic.topic for topic in report.topics] == [
        "/color/image_raw",
        "/depth/image_raw",
        "/color/camera_info",
    ]
    assert report.pairing.paired > 0
    color = report.topics[0]
    assert color.count >= 5 and color.rate > 0 and 0 <= color.age < 30 and color.complaint == ""


def test_depth_as_compressed_depth_is_lifted(make_node, client):
    make_node(color_transport="compressed", depth_transport="compressed")
    color = publisher(client, CompressedImage, "/color/image_raw/compressed")
    depth = publisher(client, CompressedImage, "/depth/image_raw/compressedDepth")
    client.until(lambda: color.get_subscription_count() and depth.get_subscription_count())
    client.until(lambda: client.info.get_subscription_count() and client.query.get_subscription_count())
    header = client.header()
    picture = cv2.imencode(".png", red_box_picture()[:, :, ::-1])[1].tobytes()
    pixels = bytes(12) + cv2.imencode(".png", depth_picture())[1].tobytes()
    client.info.publish(messages.to_camera_info(header, CAMERA))
    depth.publish(CompressedImage(header=header, format="16UC1; compressedDepth png", data=array.array("B", pixels)))
    color.publish(CompressedImage(header=header, format="rgb8; png compressed bgr8", data=array.array("B", picture)))
    result = client.ask("the red box")
    assert result.status == Result.FOUND and result.instances[0].centroid.z == pytest.approx(1.0, abs=1e-3)


def test_corrupt_compressed_depth_gives_the_mask_and_the_reason(make_node, client):
    make_node(depth_transport="compressed")
    depth = publisher(client, CompressedImage, "/depth/image_raw/compressedDepth")
    client.until(lambda: depth.get_subscription_count() and client.color.get_subscription_count())
    client.until(lambda: client.info.get_subscription_count() and client.query.get_subscription_count())
    header = client.header()
    depth.publish(CompressedImage(header=header, format="16UC1; compressedDepth png", data=array.array("B", bytes(40))))
    client.show(header=header, without=("depth",))
    result = client.ask("the red box")
    assert result.status == Result.NO_DEPTH and "/depth/image_raw/compressedDepth: the compressed depth" in result.message


def test_images_above_the_limit_are_refused_by_name(make_node, client):
    make_node(max_image_pixels=1000)
    client.connect()
    client.show()
    result = client.ask("the red box")
    assert result.status == Result.FAILED
    assert result.message == "/color/image_raw: the image is 160x120 pixels; max_image_pixels is 1000"


def test_topics_of_a_named_camera(make_node, client):
    from lisa_ros.node.frame_buffer import FrameBuffer
    from lisa_ros.node.inputs import Inputs

    lisa = make_node()
    buffer = FrameBuffer(5)
    inputs = Inputs(lisa.node, lisa.node.parameters, buffer, "wrist")
    try:
        assert (inputs.color_topic, inputs.depth_topic) == ("/wrist/color/image_raw", "/wrist/depth/image_raw")
        assert inputs.camera_info_topic == "/wrist/color/camera_info"
        color = publisher(client, Image, "wrist/color/image_raw")
        client.until(lambda: color.get_subscription_count() > 0)
        color.publish(messages.to_image(client.header(), np.zeros((4, 5, 3), np.uint8), "rgb8"))
        client.until(lambda: buffer.frames() == 1)
    finally:
        inputs.close()
    client.until(lambda: color.get_subscription_count() == 0)
