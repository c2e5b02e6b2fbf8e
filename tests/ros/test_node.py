"""The node over real DDS: queries in, outputs and exactly one result out; bad input ends in its documented status."""

from __future__ import annotations

import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentedInstance
from node_harness import CAMERA, HEIGHT, SECONDS, WIDTH, depth_picture, red_box_picture, wait_for
from rcl_interfaces.msg import Log
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from lisa_ros.geometry import Camera
from lisa_ros.node import conversions, messages


def ready(lisa, client, **frame):
    """Connect and show one frame; returns its header once the node holds it."""
    client.connect()
    header = client.show(**frame)
    client.until(lambda: lisa.frames() > 0)
    client.settle()
    return header


def test_found_target_comes_with_all_outputs_of_one_stamp(lisa, client):
    header = ready(lisa, client)
    result = client.ask("the red box")

    assert result.status == Result.FOUND and result.message == ""
    assert result.query == "the red box" and result.request_id and result.model == "color-engine"
    assert result.header == header and result.age > 0
    assert {"wait", "convert", "encode", "language", "decode", "lift", "publish"} <= {
        stage.stage for stage in result.stages
    }
    (instance,) = result.instances
    box = instance.box_2d
    assert (box.x_offset, box.y_offset, box.width, box.height) == (50, 40, 60, 40)
    assert instance.pixel_count == 2400 and instance.id == 1
    assert instance.status_3d == SegmentedInstance.LIFTED
    assert instance.centroid.z == pytest.approx(1.0, abs=1e-3)
    assert abs(instance.centroid.x - (79.5 - CAMERA.cx) / CAMERA.fx) < 0.01

    expected = np.where((red_box_picture() == (255, 0, 0)).all(2), 255, 0)
    mask = client.output("mask")
    assert mask.header == header and mask.encoding == "mono8"
    assert np.array_equal(conversions.image_array(mask), expected)
    assert np.array_equal(conversions.image_array(client.output("instances")), expected // 255)
    info = client.output("camera_info")
    assert info.header == header and info.k[0] == CAMERA.fx
    overlay = client.output("overlay")
    assert overlay.header == header and (overlay.height, overlay.width, overlay.encoding) == (HEIGHT, WIDTH, "rgb8")
    assert len(client.output("markers").markers) == 3


def test_points_can_be_read_by_fixed_offsets_and_by_field_name(lisa, client):
    header = ready(lisa, client)
    (instance,) = client.ask("the red box").instances
    cloud = client.output("points")

    assert cloud.header == header and cloud.height == 1 and cloud.width == instance.point_count > 1000
    assert cloud.is_dense and not cloud.is_bigendian and cloud.point_step == 16 and cloud.row_step == len(cloud.data)
    assert [(field.name, field.offset) for field in cloud.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
    rows = np.frombuffer(cloud.data, np.float32).reshape(-1, 4)
    assert np.isfinite(rows[:, :3]).all() and np.allclose(rows[:, 2], 1.0, atol=1e-3)
    pixels = CAMERA.project(rows[:, :3])
    assert pixels[:, 0].min() >= 49.5 and pixels[:, 0].max() <= 109.5
    bgra = np.frombuffer(cloud.data, np.uint8).reshape(-1, 16)[:, 12:15]
    assert (bgra == (0, 0, 255)).all()


def test_absent_target_empties_the_mask_and_sends_no_cloud(lisa, client):
    ready(lisa, client)
    result = client.ask("the blue box")
    assert result.status == Result.NOT_FOUND and not result.instances
    assert not np.any(conversions.image_array(client.output("mask")))
    assert not client.outputs["points"]


def test_second_query_on_one_frame_does_not_encode_again(lisa, client):
    ready(lisa, client)
    client.ask("the red box")
    client.ask("the blue box")
    assert lisa.engine.encoded_frames == 1
    ready(lisa, client)
    client.ask("the red box")
    assert lisa.engine.encoded_frames == 2
    assert lisa.engine.threads == {"lisa-worker"}


def test_depth_of_another_size_and_unit(lisa, client):
    metres = depth_picture()[::2, ::2].astype(np.float32) / 1000
    metres[0, 0], metres[0, 1] = np.nan, np.inf
    header = client.header()
    ready(lisa, client, header=header, depth=messages.to_image(header, metres, "32FC1"))
    result = client.ask("the red box")
    assert result.status == Result.FOUND
    assert result.instances[0].centroid.z == pytest.approx(1.0, abs=1e-3)


# ---- bad input: a status, a message, and an answer to the next query ----
def good_again(lisa, client):
    ready(lisa, client)
    assert client.ask("the red box").status == Result.FOUND


def test_no_frame(make_node, client):
    lisa = make_node(frame_timeout=0.05)
    client.connect()
    result = client.ask("the red box")
    assert result.status == Result.NO_FRAME and "/color/image_raw" in result.message
    assert not client.outputs["mask"]
    good_again(lisa, client)


def test_query_waits_for_a_first_frame(make_node, client):
    make_node(frame_timeout=10.0)
    client.connect()
    client.query.publish(String(data="the red box"))
    client.settle()
    assert not client.results
    client.show()
    client.until(lambda: client.results)
    assert client.results[0].status == Result.FOUND


def test_missing_depth_still_gives_the_mask(lisa, client):
    ready(lisa, client, without=("depth",))
    result = client.ask("the red box")
    assert result.status == Result.NO_DEPTH and "/depth/image_raw" in result.message
    assert result.instances[0].status_3d == SegmentedInstance.NO_DEPTH
    assert np.count_nonzero(conversions.image_array(client.output("mask"))) == 2400
    assert not client.outputs["points"]
    good_again(lisa, client)


def test_depth_too_far_away_in_time_is_not_used(lisa, client):
    client.connect()
    late = client.header(shift=0.3)
    ready(lisa, client, depth=messages.to_image(late, depth_picture(), "16UC1"))
    result = client.ask("the red box")
    assert result.status == Result.NO_DEPTH and "sync_tolerance" in result.message
    good_again(lisa, client)


@pytest.mark.parametrize("text, says", [("", "empty"), ("  \n ", "empty"), ("x" * 100_000, "100000 characters")])
def test_unusable_queries_are_rejected(lisa, client, text, says):
    ready(lisa, client)
    result = client.ask(text)
    assert result.status == Result.REJECTED and says in result.message and len(result.query) <= 200
    assert lisa.engine.asked == []
    good_again(lisa, client)


@pytest.mark.parametrize("mode", ["mask", "chat"])
def test_a_query_longer_than_the_models_context_is_rejected(make_node, client, mode):
    lisa = make_node(max_query_length=100_000, mode=mode)
    ready(lisa, client)
    result = client.ask("red " * 600)
    assert result.status == Result.REJECTED
    assert result.message == "the prompt takes 600 words, the model reads 500: shorten the query"
    good_again(lisa, client)


def test_wrong_encoding(lisa, client):
    header = client.header()
    ready(lisa, client, header=header, color=messages.to_image(header, depth_picture(), "16UC1"))
    result = client.ask("the red box")
    assert result.status == Result.FAILED and "16UC1" in result.message and "/color/image_raw" in result.message
    good_again(lisa, client)


def test_truncated_image(lisa, client):
    header = client.header()
    color = messages.to_image(header, red_box_picture(), "rgb8")
    color.data = color.data[: len(color.data) // 2]
    ready(lisa, client, header=header, color=color)
    result = client.ask("the red box")
    assert result.status == Result.FAILED and "truncated" in result.message
    good_again(lisa, client)


@pytest.mark.parametrize(
    "info, says",
    [
        (CameraInfo(width=WIDTH, height=HEIGHT), "not calibrated"),
        (CameraInfo(), "not calibrated"),
        (messages.to_camera_info(CameraInfo().header, Camera(500.0, 500.0, 320.0, 240.0, 640, 480)), "640x480"),
    ],
    ids=["zeros", "empty", "other size"],
)
def test_unusable_camera_info_gives_the_mask_and_the_reason(lisa, client, info, says):
    ready(lisa, client, info=info)
    result = client.ask("the red box")
    assert result.status == Result.NO_DEPTH and says in result.message
    assert client.output("mask") and not client.outputs["camera_info"]
    good_again(lisa, client)


def test_wrong_depth_encoding_and_other_view(lisa, client):
    header = client.header()
    ready(lisa, client, header=header, depth=messages.to_image(header, np.zeros((HEIGHT, WIDTH), np.uint8), "mono8"))
    result = client.ask("the red box")
    assert result.status == Result.NO_DEPTH and "mono8" in result.message
    header = client.header()
    ready(
        lisa, client, header=header, depth=messages.to_image(header, np.full((100, 400), 1000, np.uint16), "16UC1")
    )
    result = client.ask("the red box")
    assert result.status == Result.NO_DEPTH and "400x100" in result.message


def test_engine_error_ends_the_query_and_not_the_node(lisa, client):
    ready(lisa, client)
    result = client.ask("raise an error")
    assert result.status == Result.FAILED and "out of memory" in result.message
    good_again(lisa, client)


def test_old_frames_are_refused_when_asked_for(make_node, client):
    lisa = make_node(max_age=5.0)
    ready(lisa, client, header=client.header(shift=-60.0))
    result = client.ask("the red box")
    assert result.status == Result.NO_FRAME and "60" in result.message and "max_age" in result.message
    good_again(lisa, client)


def test_stamps_that_jump_back_do_not_stop_the_answers(lisa, client):
    ready(lisa, client)
    assert client.ask("the red box").status == Result.FOUND
    old = client.header(shift=-1000.0)
    ready(lisa, client, header=old)
    result = client.ask("the red box")
    assert result.status == Result.FOUND and result.header == old


# ---- requests ----
def test_newest_query_replaces_the_waiting_one_and_everyone_gets_one_result(lisa, client):
    ready(lisa, client)
    client.query.publish(String(data="slow red"))
    wait_for(lisa.engine.started)
    for text in ("red one", "red two", "red three"):
        client.query.publish(String(data=text))
    client.until(lambda: len(client.results) == 2)
    lisa.engine.release.set()
    client.until(lambda: len(client.results) == 4)
    client.settle()
    by_query = {result.query: result for result in client.results}
    assert len(client.results) == len(by_query) == len({r.request_id for r in client.results}) == 4
    assert by_query["slow red"].status == by_query["red three"].status == Result.FOUND
    for text in ("red one", "red two"):
        assert by_query[text].status == Result.CANCELLED and "newer query" in by_query[text].message


def test_a_thousand_queries_at_once_get_a_thousand_results(lisa, client):
    ready(lisa, client)
    count = 1000
    for number in range(count):
        client.query.publish(String(data=f"red {number}"))
    client.until(lambda: len(client.results) >= count)
    client.settle()
    assert len({r.query for r in client.results}) == len(client.results) == count
    assert {r.status for r in client.results} <= {Result.FOUND, Result.CANCELLED}
    last = next(r for r in client.results if r.query == f"red {count - 1}")
    assert last.status == Result.FOUND


def test_deactivate_ends_running_and_waiting_queries(lisa, client):
    ready(lisa, client)
    client.query.publish(String(data="slow red"))
    wait_for(lisa.engine.started)
    client.query.publish(String(data="red waits"))
    client.settle()
    lisa.node.trigger_deactivate()
    client.until(lambda: len(client.results) == 2)
    assert {r.status for r in client.results} == {Result.CANCELLED} and "deactivated" in client.results[0].message
    client.until(lambda: lisa.node.count_subscribers("/color/image_raw") == 0)


def test_deactivate_does_not_wait_for_ever_for_a_deaf_engine(lisa, client, monkeypatch):
    monkeypatch.setattr("lisa_ros.node.lisa_node.STOP_SECONDS", 0.2)
    ready(lisa, client)
    client.query.publish(String(data="deaf red"))
    wait_for(lisa.engine.started)
    lisa.node.trigger_deactivate()
    client.until(lambda: client.results)
    lisa.engine.release.set()
    client.settle(0.3)
    assert [r.status for r in client.results] == [Result.CANCELLED]
    lisa.node.trigger_activate()
    good_again(lisa, client)


# ---- lifecycle and parameters ----
def test_lifecycle_loads_and_frees(lisa, client):
    ready(lisa, client)
    lisa.node.trigger_deactivate()
    lisa.node.trigger_cleanup()
    assert lisa.node.state_label() == "unconfigured" and lisa.engine.closed
    lisa.node.trigger_configure()
    lisa.node.trigger_activate()
    assert lisa.node.state_label() == "active"
    good_again(lisa, client)


def test_the_engine_is_told_what_was_set(make_node):
    always = {"device": "auto", "dtype": "auto"}
    assert make_node().loads == [("lisa-mini", always)]
    given = {
        "vision_tower": "clip",
        "conversation": "llava_v1",
        "quantization": "8bit",
        "clip_fit": "pad",
        "compile": True,
    }
    lisa = make_node(model="there", dtype="float32", **given)
    assert lisa.loads == [("there", {**always, "dtype": "float32", **given})]


def test_unreadable_checkpoint_leaves_the_node_unconfigured(make_node):
    lisa = make_node(start=False)

    def broken(model, **options):
        raise FileNotFoundError("no such checkpoint")

    good, lisa.node._engine_factory = lisa.node._engine_factory, broken
    lisa.node.trigger_configure()
    assert lisa.node.state_label() == "unconfigured"
    lisa.node._engine_factory = good
    lisa.node.trigger_configure()
    assert lisa.node.state_label() == "inactive"


def test_silence_is_reported_with_the_topics_name(make_node, client):
    make_node(input_timeout=0.2)
    logged = []
    client.node.create_subscription(Log, "/rosout", lambda log: logged.append(log.msg), 50)
    client.until(lambda: any("no message on /depth/image_raw" in text for text in logged), SECONDS)
