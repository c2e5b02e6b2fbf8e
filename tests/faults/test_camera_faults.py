"""A camera that is not there, stops, lies about time or about itself."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from campaign import fault
from lisa_ros.msg import SegmentationResult as Result
from node_harness import CAMERA, HEIGHT, WIDTH, depth_picture, red_box_picture
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rig import arrive, ask, each_ended_once, heard, later, log_lines, set_parameter, still_answers
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from lisa_ros.geometry import Camera
from lisa_ros.node import messages
from lisa_ros.node.conversions import to_stamp

SECOND = 1_000_000_000


def depth_at(header) -> Image:
    return messages.to_image(header, depth_picture(), "16UC1")


def info_of(client, camera: Camera = CAMERA, **fields) -> CameraInfo:
    info = messages.to_camera_info(client.header(), camera)
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def mask_pixels(client) -> int:
    return np.count_nonzero(client.output("mask").data)


# ---- silence ----
@fault("no camera", "`NO_FRAME` names the topic; once a camera comes, queries are answered")
def test_no_camera(make_node, client):
    lisa = make_node(frame_timeout=0.2)
    client.connect()
    ask(client, Result.NO_FRAME, "no image has arrived on /color/image_raw")
    still_answers(client, lisa)


@fault("no depth camera", "`NO_DEPTH` names the topic, the mask is published")
def test_no_depth(make_node, client):
    lisa = make_node(frame_timeout=0.2)
    client.connect()
    arrive(client, lisa, without=("depth",))
    ask(client, Result.NO_DEPTH, "no depth image has arrived on /depth/image_raw")
    assert mask_pixels(client) == 2400 and not client.outputs["points"]
    still_answers(client, lisa)


@fault("no camera_info", "`NO_DEPTH` names the topic, the mask is published")
def test_no_camera_info(make_node, client):
    lisa = make_node(frame_timeout=0.2)
    client.connect()
    arrive(client, lisa, without=("info",))
    ask(client, Result.NO_DEPTH, "no message has arrived on /color/camera_info")
    assert mask_pixels(client) == 2400 and not client.outputs["points"]
    still_answers(client, lisa)


@fault("depth stops", "`NO_DEPTH` says how far the last depth image is away, the mask is published")
def test_depth_stops(lisa, client):
    client.connect()
    first = arrive(client, lisa)
    for number in range(1, 7):  # more than buffer_size
        arrive(client, lisa, header=later(first, number / 2), without=("depth", "info"))
    ask(
        client,
        Result.NO_DEPTH,
        "the nearest image on /depth/image_raw is 3.000 s away from the colour image",
        "sync_tolerance is 0.02 s",
    )
    assert mask_pixels(client) == 2400 and not client.outputs["points"]
    still_answers(client, lisa, header=later(first, 4))


@fault("colour stops", "`FOUND` in the last frame, the message says how old it is; the log names the topic")
def test_colour_stops(make_node, client):
    lisa = make_node(input_timeout=0.1)
    lines = log_lines(client)
    client.connect()
    header = arrive(client, lisa)
    heard(client, lines, "no message on /color/image_raw for", "/client publishes it, but nothing comes")
    result = ask(client, Result.FOUND)
    assert result.header == header
    assert re.fullmatch(r"the newest image on /color/image_raw arrived \d+\.\d s ago", result.message)
    set_parameter(lisa, "input_timeout", 60.0)
    still_answers(client, lisa)


@fault(
    "a best-effort camera, the node's input set to reliable",
    "`NO_FRAME`; the log names both QoS and the parameter to change",
)
def test_best_effort_camera_and_reliable_input(make_node, client):
    reliable = client.color
    client.color = client.node.create_publisher(
        Image, "color/image_raw", QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    client.node.destroy_publisher(reliable)
    override = "qos_overrides./color/image_raw.subscription.reliability"
    lisa = make_node(input_timeout=0.1, frame_timeout=0.1, **{override: "reliable"})
    lines = log_lines(client)
    client.until(lambda: client.query.get_subscription_count() and client.depth.get_subscription_count())
    client.show()
    ask(client, Result.NO_FRAME, "no image has arrived on /color/image_raw")
    said = heard(client, lines, "/client offers reliability best_effort, this node asks for reliable")
    assert f"set {override} to best_effort" in said
    set_parameter(lisa, "input_timeout", 60.0)
    client.color = client.node.create_publisher(Image, "color/image_raw", 2)
    client.until(lambda: client.color.get_subscription_count())
    still_answers(client, lisa)


# ---- time ----
@fault(
    "stamps of colour and depth 1 s apart",
    "`NO_DEPTH` gives the gap and sync_tolerance, the log says which one is behind",
)
def test_stamps_apart(lisa, client):
    lines = log_lines(client)
    client.connect()
    header = client.header()
    arrive(client, lisa, header=header, depth=depth_at(later(header, -1)))
    ask(client, Result.NO_DEPTH, "/depth/image_raw is 1.000 s away", "sync_tolerance is 0.02 s")
    assert mask_pixels(client) == 2400
    show_more = itertools.count(1)

    def told() -> bool:
        frame = later(header, next(show_more) / 10)
        arrive(client, lisa, header=frame, depth=depth_at(later(frame, -1)))
        return any(re.search("none of the last .* /depth/image_raw is 1(.1)? s behind colour", line) for line in lines)

    client.until(told)
    still_answers(client, lisa, header=later(header, next(show_more) / 10))


@fault("depth arrives out of order", "`FOUND`, paired by stamp")
def test_depth_out_of_order(lisa, client):
    client.connect()
    first = client.header()
    flat = np.full((HEIGHT, WIDTH), 3000, np.uint16)
    for shift, pixels in ((0.2, flat), (0.0, depth_picture()), (0.1, flat)):
        depth = messages.to_image(later(first, shift), pixels, "16UC1")
        arrive(client, lisa, depth=depth, without=("color",))
    arrive(client, lisa, header=first, without=("depth",))
    result = ask(client, Result.FOUND)
    assert result.instances[0].centroid.z == pytest.approx(1.0, abs=1e-3)
    still_answers(client, lisa)


@fault(
    "time jumps back (a driver restarts)",
    "`FOUND` in the new frame; nothing from before the jump is paired with it",
)
def test_time_jumps_back(lisa, client):
    client.connect()
    future = client.header(shift=100.0)
    for number in range(3):
        arrive(client, lisa, header=later(future, number / 10))
    new = later(future, -100)
    arrive(client, lisa, header=new, without=("depth",))
    ask(client, Result.NO_DEPTH, "no depth image has arrived on /depth/image_raw")
    arrive(client, lisa, header=new, without=("color",))
    result = ask(client, Result.FOUND)
    assert result.header == new
    still_answers(client, lisa)


@fault(
    "a bag loops (the same stamps again)",
    "`FOUND` or `NOT_FOUND` in the frame that arrived last, not in its double",
)
def test_bag_loops(lisa, client):
    client.connect()
    first = client.header()
    bag = [later(first, number / 2) for number in range(4)]
    for header in bag:
        arrive(client, lisa, header=header)
    assert ask(client, Result.FOUND).header == bag[-1]
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for header in bag:  # the same stamps, another picture: what is answered shows which one was looked at
        arrive(client, lisa, header=header, color=messages.to_image(header, black, "rgb8"))
    assert ask(client, Result.NOT_FOUND).header == bag[-1]
    still_answers(client, lisa, header=later(bag[-1], 1))


@fault(
    "/clock jumps back with use_sim_time",
    "`NO_FRAME` until a frame of the new time comes; ages are those of the new time",
)
def test_simulation_restarts(make_node, client):
    lisa = make_node(use_sim_time=True, frame_timeout=0.2)
    clock = client.node.create_publisher(Clock, "/clock", 10)

    def clock_reads(seconds: int) -> bool:
        clock.publish(Clock(clock=to_stamp(seconds * SECOND)))
        return lisa.node.get_clock().now().nanoseconds == seconds * SECOND

    client.connect()
    client.until(lambda: clock_reads(500))
    start = client.header()
    start.stamp = to_stamp(499 * SECOND)
    arrive(client, lisa, header=start)
    assert ask(client, Result.FOUND).age == 1.0
    client.until(lambda: clock_reads(10))
    ask(client, Result.NO_FRAME, "no image has arrived on /color/image_raw")
    assert still_answers(client, lisa, header=later(start, 8 - 499)).age == 2.0


@fault("the newest frame is older than max_age", "`NO_FRAME` says how old it is and what max_age is")
def test_max_age(make_node, client):
    lisa = make_node(max_age=30.0)
    client.connect()
    arrive(client, lisa, header=client.header(shift=-60.0))
    result = ask(client, Result.NO_FRAME, "the newest image on /color/image_raw is", "s old; max_age is 30 s")
    assert float(re.search(r"is (\S+) s old", result.message)[1]) >= 60.0
    assert not client.outputs["mask"]
    still_answers(client, lisa)


# ---- camera_info ----
@fault("camera_info of zeros (not calibrated)", "`NO_DEPTH` says so, the mask is published")
def test_camera_info_zeros(lisa, client):
    client.connect()
    arrive(client, lisa, info=info_of(client, k=np.zeros(9)))
    ask(client, Result.NO_DEPTH, "/color/camera_info: camera_info has no intrinsics (k is all zero)")
    assert mask_pixels(client) == 2400 and not client.outputs["points"]
    still_answers(client, lisa)


@fault("camera_info of NaN", "`NO_DEPTH` says so, the mask is published")
def test_camera_info_nan(lisa, client):
    client.connect()
    arrive(client, lisa, info=info_of(client, k=np.full(9, np.nan)))
    ask(client, Result.NO_DEPTH, "/color/camera_info: camera_info is not usable")
    assert mask_pixels(client) == 2400 and not client.outputs["points"]
    still_answers(client, lisa)


@fault("camera_info of another size than the image", "`NO_DEPTH` gives both sizes, the mask is published")
def test_camera_info_of_another_size(lisa, client):
    client.connect()
    arrive(client, lisa, info=info_of(client, Camera(60.0, 60.0, 39.5, 29.5, 80, 60)))
    ask(client, Result.NO_DEPTH, "/color/camera_info: camera_info is for 80x60 pixels, the colour image has 160x120")
    assert mask_pixels(client) == 2400 and not client.outputs["points"]
    still_answers(client, lisa)


@fault("camera_info changes mid-run", "`FOUND`, measured with the new one from the next query on")
def test_camera_info_changes(lisa, client):
    client.connect()
    arrive(client, lisa)
    before = ask(client, Result.FOUND).instances[0].box_size
    tele = Camera(240.0, 240.0, CAMERA.cx, CAMERA.cy, WIDTH, HEIGHT)
    arrive(client, lisa, info=info_of(client, tele), without=("color", "depth"))
    after = ask(client, Result.FOUND).instances[0].box_size
    sizes = np.array([sorted((size.x, size.y, size.z)) for size in (before, after)])
    assert sizes[1, 1:] == pytest.approx(sizes[0, 1:] / 2, rel=0.05)
    assert client.output("camera_info").k[0] == 240.0
    still_answers(client, lisa)


@fault("the frame has no frame_id", "`FOUND`; the outputs carry the header as it came")
def test_no_frame_id(lisa, client):
    client.connect()
    header = client.header()
    header.frame_id = ""
    arrive(client, lisa, header=header)
    assert ask(client, Result.FOUND).header == header
    assert red_box_picture().shape[:2] == (client.output("mask").height, client.output("mask").width)
    each_ended_once(client)
    still_answers(client, lisa)
