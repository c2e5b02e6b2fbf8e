"""Several cameras on one engine, standing queries, and points in another frame, over DDS."""

from __future__ import annotations

import numpy as np
import pytest
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import CAMERA, HEIGHT, WIDTH, depth_picture, red_box_picture
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from lisa_ros.node import messages


class Wrist:
    """The camera "wrist", a client of its own topics."""

    def __init__(self, client) -> None:
        self.client = client
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        make = client.node.create_publisher
        self.color = make(Image, "wrist/color/image_raw", latched)
        self.depth = make(Image, "wrist/depth/image_raw", latched)
        self.info = make(CameraInfo, "wrist/color/camera_info", latched)
        self.query = make(String, "lisa/wrist/query", 10)
        self.masks: list[Image] = []
        client.node.create_subscription(Image, "lisa/wrist/mask", self.masks.append, latched)

    def show(self, picture) -> None:
        header = self.client.header()
        header.frame_id = "wrist_optical"
        self.info.publish(messages.to_camera_info(header, CAMERA))
        self.depth.publish(messages.to_image(header, depth_picture(), "16UC1"))
        self.color.publish(messages.to_image(header, picture, "rgb8"))


@pytest.fixture
def goals(client):
    action = ActionClient(client.node, Segment, "lisa/segment")
    yield action
    action.destroy()


def test_each_camera_has_its_queries_and_outputs(make_node, client):
    lisa = make_node(cameras=["front", "wrist"])
    wrist = Wrist(client)
    client.until(lambda: wrist.color.get_subscription_count() and wrist.query.get_subscription_count())
    client.until(lambda: client.query.get_subscription_count())
    wrist.show(red_box_picture())
    client.until(lambda: lisa.node._cameras[1].buffer.frames() > 0)
    wrist.query.publish(String(data="the red box"))
    client.until(lambda: client.results and wrist.masks)
    (result,) = client.results
    assert result.status == Result.FOUND and result.camera == "wrist" and result.header.frame_id == "wrist_optical"
    assert result.target_frame == "wrist_optical" and wrist.masks[0].header == result.header

    result = client.ask("the red box")  # ~/query is for the first camera, which shows nothing
    assert result.status == Result.NO_FRAME and "/front/color/image_raw" in result.message


def test_the_parameter_keeps_a_query_standing(lisa, client):
    client.connect()
    (answer,) = lisa.node.set_parameters([Parameter("standing_query", value="the red box")])
    assert answer.successful
    shown = []
    for count in (1, 2, 3):
        shown.append(client.show().stamp)
        client.until(lambda count=count: len(client.results) >= count)
    assert [result.status for result in client.results] == [Result.FOUND] * 3
    ids = [result.request_id for result in client.results]
    assert [name.partition("/")[2] for name in ids] == ["1", "2", "3"] and len({n.partition("/")[0] for n in ids}) == 1
    assert [result.header.stamp for result in client.results] == shown
    lisa.node.set_parameters([Parameter("standing_query", value="")])
    client.until(lambda: len(client.results) == 4)
    assert client.results[3].status == Result.CANCELLED and "standing_query" in client.results[3].message
    client.show()
    assert client.ask("the red box").status == Result.FOUND


def test_a_standing_goal_counts_its_frames_and_ends_by_cancel(lisa, client, goals):
    client.connect()
    client.until(goals.server_is_ready)
    heard = []
    goal = Segment.Goal(query="the red box", standing=True)
    sent = goals.send_goal_async(goal, feedback_callback=lambda message: heard.append(message.feedback))
    client.until(sent.done)
    for count in (1, 2):
        client.show()
        client.until(lambda count=count: any(feedback.frames >= count for feedback in heard))
    black = messages.to_image(client.header(), np.zeros((HEIGHT, WIDTH, 3), np.uint8), "rgb8")
    client.show(header=black.header, color=black)
    client.until(lambda: any(result.status == Result.NOT_FOUND for result in client.results))
    cancelled = sent.result().cancel_goal_async()
    client.until(cancelled.done)
    ended = sent.result().get_result_async()
    client.until(ended.done)
    assert ended.result().result.result.status == Result.CANCELLED


def test_points_and_boxes_come_in_the_target_frame(make_node, client):
    tf2 = pytest.importorskip("tf2_msgs.msg")
    from geometry_msgs.msg import TransformStamped

    lisa = make_node(target_frame="base", transform_timeout=10.0)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = client.node.create_publisher(tf2.TFMessage, "/tf_static", latched)
    moved = TransformStamped(child_frame_id="camera")
    moved.header.frame_id = "base"
    moved.transform.translation.z = 3.0
    moved.transform.rotation.w = 1.0
    publisher.publish(tf2.TFMessage(transforms=[moved]))
    client.connect()
    client.show()
    client.until(lambda: lisa.frames() > 0)
    result = client.ask("the red box")
    assert result.status == Result.FOUND and result.target_frame == "base" and result.header.frame_id == "camera"
    (instance,) = result.instances
    assert instance.centroid.z == pytest.approx(4.0, abs=0.01)
    assert instance.box_pose.position.z == pytest.approx(4.0, abs=0.05)
    assert client.output("points").header.frame_id == "base" and client.output("mask").header.frame_id == "camera"
