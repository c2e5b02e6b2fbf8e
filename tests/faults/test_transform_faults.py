"""TF that is missing, late, too old, too new, torn apart or wrong. Points are wanted in base_link; the mask always
comes.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from campaign import fault
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from lisa_ros.msg import SegmentationResult as Result
from node_harness import Client, Running
from rclpy.qos import DurabilityPolicy, QoSProfile
from rig import arrive, ask, ends, heard, later, log_lines, still_answers
from std_msgs.msg import Header

from lisa_ros.node.conversions import stamp_ns
from lisa_ros.node.transforms import NoTransform

TFMessage = pytest.importorskip("tf2_msgs.msg").TFMessage

UP = 0.5
"""Metres that the camera frame lies above base_link, unturned."""


class Robot:
    """Publishes where frames lie, as tf2_ros' broadcasters do, and knows when the node has heard it."""

    def __init__(self, client: Client, lisa: Running) -> None:
        self.client, self.lisa = client, lisa
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._moving = client.node.create_publisher(TFMessage, "/tf", 100)
        self._fixed = client.node.create_publisher(TFMessage, "/tf_static", latched)
        client.connect()
        client.until(lambda: self._moving.get_subscription_count() and self._fixed.get_subscription_count())

    def mount(self, parent: str, child: str) -> None:
        """Publish a static transform."""
        self._fixed.publish(TFMessage(transforms=[lies(parent, child, Header())]))

    def move(self, parent: str, child: str, *headers: Header, turn: float = 1.0) -> None:
        """Publish one transform for the stamp of each of these headers."""
        for header in headers:
            self._moving.publish(TFMessage(transforms=[lies(parent, child, header, turn)]))

    def known(self, parent: str, child: str, header: Header) -> None:
        """Wait until the node could look this up."""
        transforms = self.lisa.node._answering.transforms

        def there() -> bool:
            try:
                transforms.lookup(parent, child, stamp_ns(header.stamp))
            except NoTransform:
                return False
            return True

        self.client.until(there)


def lies(parent: str, child: str, header: Header, turn: float = 1.0) -> TransformStamped:
    """`child` UP metres above `parent`; turn: the w of its quaternion, 1 for a good one."""
    stamped = TransformStamped(header=Header(stamp=header.stamp, frame_id=parent), child_frame_id=child)
    stamped.transform = Transform(translation=Vector3(z=UP), rotation=Quaternion(w=turn))
    return stamped


@pytest.fixture(autouse=True)
def no_tf2(monkeypatch):
    """The sentences are those of our own buffer; tf2_ros, where it is installed, has others."""
    monkeypatch.setitem(sys.modules, "tf2_ros", None)


@pytest.fixture
def robot(make_node, client):
    """The node wants its points in base_link, and does not wait for transforms."""
    return Robot(client, make_node(target_frame="base_link", transform_timeout=0.0))


def mask_only(client: Client, *says: str) -> None:
    """A query ends as NO_TRANSFORM, naming both frames, with the mask and without points."""
    frames = 'no transform from frame "camera" to frame "base_link" at '
    result = ask(client, Result.NO_TRANSFORM, frames, "the mask is published", *says)
    assert result.target_frame == result.header.frame_id == "camera"
    assert np.count_nonzero(client.output("mask").data) == 2400 and not client.outputs["points"]
    (instance,) = result.instances
    assert instance.status_3d == instance.NO_DEPTH and instance.point_count == 0


def in_base_link(result: Result) -> None:
    """The points are where they belong."""
    assert result.target_frame == "base_link"
    assert result.instances[0].centroid.z == pytest.approx(1.0 + UP, abs=1e-3)


def goes_on(robot: Robot) -> None:
    """Whatever was wrong with TF is mended: the next query has points in base_link."""
    header = robot.client.header(shift=1.0)
    robot.move("base_link", "camera", later(header, -0.1), later(header, 0.1))
    robot.known("base_link", "camera", header)
    in_base_link(still_answers(robot.client, robot.lisa, header=header))


@fault("no TF at all", "`NO_TRANSFORM` says that none has been received, names both frames; the mask is published")
def test_no_tf(robot, client):
    arrive(client, robot.lisa)
    mask_only(client, "no transform has been received")
    goes_on(robot)


@fault("a target frame that TF does not know", "`NO_TRANSFORM` lists the frames that are known; the mask is published")
def test_unknown_frame(robot, client):
    header = arrive(client, robot.lisa)
    robot.move("odom", "camera", header)
    robot.known("odom", "camera", header)
    mask_only(client, 'frame "base_link" is unknown (known: camera, odom)')
    goes_on(robot)


@fault("TF comes late, but within transform_timeout", "`FOUND` in the target frame: the answer waits for it")
def test_tf_late(make_node, client, planner):
    robot = Robot(client, make_node(target_frame="base_link", transform_timeout=10.0))
    header = arrive(client, robot.lisa)
    goal = planner.goal()
    goal.reaches("transform")  # the model has answered; only the transform is missing
    robot.move("base_link", "camera", later(header, -0.1), later(header, 0.1))
    _, result = goal.result()
    in_base_link(ends(result, Result.FOUND))
    goes_on(robot)


@fault("TF does not come within transform_timeout", "`NO_TRANSFORM` names both frames; the mask is published")
def test_tf_too_late(make_node, client):
    robot = Robot(client, make_node(target_frame="base_link", transform_timeout=0.2))
    arrive(client, robot.lisa)
    mask_only(client, "no transform has been received")
    goes_on(robot)


@fault(
    "TF stopped before the image was taken",
    "`NO_TRANSFORM` says by how much, nothing is extrapolated; the mask is published",
)
def test_tf_stopped(robot, client):
    header = client.header()
    robot.move("base_link", "camera", later(header, -3), later(header, -2))
    robot.known("base_link", "camera", later(header, -2))
    arrive(client, robot.lisa, header=header)
    mask_only(client, 'the stamp is 2.000 s newer than the newest transform of "camera" in "base_link"')
    goes_on(robot)


@fault(
    "TF began after the image was taken",
    "`NO_TRANSFORM` says by how much, nothing is extrapolated; the mask is published",
)
def test_tf_began_later(robot, client):
    header = client.header()
    robot.move("base_link", "camera", later(header, 0.25), later(header, 0.5))
    robot.known("base_link", "camera", later(header, 0.25))
    arrive(client, robot.lisa, header=header)
    mask_only(client, 'the stamp is 0.250 s before the oldest transform of "camera" in "base_link"')
    goes_on(robot)


@fault("a gap in the middle of TF", "`FOUND`: interpolated between the transforms on both sides")
def test_tf_gap(robot, client):
    header = client.header()
    robot.move("base_link", "camera", later(header, -0.4), later(header, 0.4))
    robot.known("base_link", "camera", header)
    arrive(client, robot.lisa, header=header)
    in_base_link(ask(client, Result.FOUND))
    goes_on(robot)


@fault("an image from the future", "`NO_TRANSFORM` says by how much it is newer than TF; the mask is published")
def test_future_stamp(robot, client):
    now = client.header()
    robot.move("base_link", "camera", later(now, -0.1), now)
    robot.known("base_link", "camera", now)
    arrive(client, robot.lisa, header=later(now, 3600))
    mask_only(client, 'the stamp is 3600.000 s newer than the newest transform of "camera" in "base_link"')
    goes_on(robot)


@fault("camera and target frame in two trees", "`NO_TRANSFORM` names the root of each; the mask is published")
def test_two_trees(robot, client):
    robot.mount("map", "base_link")
    header = client.header()
    robot.known("map", "base_link", header)
    robot.move("lab", "camera", header)
    robot.known("lab", "camera", header)
    arrive(client, robot.lisa, header=header)
    trees = '"camera" is in the tree of "lab", "base_link" in that of "map"'
    mask_only(client, f"they are not connected: {trees}")
    goes_on(robot)


@fault(
    "a transform whose quaternion is not of length 1",
    "ignored, the log names it; `NO_TRANSFORM`, the mask is published",
)
@pytest.mark.parametrize("turn", [0.0, 2.0, math.nan])
def test_bad_quaternion(robot, client, turn):
    lines = log_lines(client)
    header = arrive(client, robot.lisa)
    robot.move("base_link", "camera", header, turn=turn)
    heard(client, lines, 'ignored the transform of "camera" in "base_link": its quaternion is not of length 1')
    mask_only(client)
    goes_on(robot)


@fault(
    "TF jumps back (a bag loops)",
    "`FOUND` with the transforms of the new time; the log says that the others are forgotten",
)
def test_tf_jumps_back(robot, client):
    lines = log_lines(client)
    future = client.header(shift=100.0)
    robot.move("base_link", "camera", later(future, -0.1), later(future, 0.1))
    robot.known("base_link", "camera", future)
    arrive(client, robot.lisa, header=future)
    in_base_link(ask(client, Result.FOUND))
    goes_on(robot)
    heard(client, lines, 'the stamps of "camera" in "base_link" jumped back')


@fault("an image without a stamp", "`NO_TRANSFORM`: the newest transform is not taken for it; the mask is published")
def test_no_stamp(robot, client):
    now = client.header()
    robot.move("base_link", "camera", later(now, -0.1), now)
    robot.known("base_link", "camera", now)
    arrive(client, robot.lisa, header=Header(frame_id="camera"))
    mask_only(client, "before the oldest transform")
    goes_on(robot)
