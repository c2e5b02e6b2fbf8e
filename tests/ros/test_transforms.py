"""TF over real DDS: a robot that publishes /tf and /tf_static, and lookups at the stamps of images."""

from __future__ import annotations

import math
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock

from lisa_ros.node.conversions import to_stamp
from lisa_ros.node.process import Spinning
from lisa_ros.node.transform_messages import transforms_in
from lisa_ros.node.transforms import NoTransform, open_transforms

TFMessage = pytest.importorskip("tf2_msgs.msg").TFMessage

SECONDS = 60.0
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
HALF = math.sqrt(0.5)
QUARTER_TURN_Z = (0.0, 0.0, HALF, HALF)


def until(condition) -> None:
    """Wait for a condition; fails the test when it does not come."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def stamped(parent, child, stamp_ns=0, shift=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0, 1.0)) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, to_stamp(stamp_ns)
    (x, y, z), (i, j, k, w) = map(float, shift), map(float, turn)
    message.transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=i, y=j, z=k, w=w))
    return message


class Robot:
    """Publishes transforms as tf2_ros' broadcasters do."""

    def __init__(self, reliability=ReliabilityPolicy.RELIABLE) -> None:
        self.node = rclpy.create_node("robot")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.moving = self.node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100, reliability=reliability))
        self.fixed = self.node.create_publisher(TFMessage, "/tf_static", latched)
        self.clock = self.node.create_publisher(Clock, "/clock", 10)

    def mount(self, *transforms: TransformStamped) -> None:
        self.fixed.publish(TFMessage(transforms=list(transforms)))

    def move(self, *transforms: TransformStamped) -> None:
        self.moving.publish(TFMessage(transforms=list(transforms)))


class Listener:
    """A node in an executor thread of its own, listening to TF."""

    def __init__(self, **parameters) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = rclpy.create_node("listener", parameter_overrides=overrides)
        self.spinning = Spinning(self.node)
        self.transforms = open_transforms(self.node)

    def get(self, target, source, stamp_ns, **options):
        return self.transforms.lookup(target, source, stamp_ns, **options)

    def refused(self, target, source, stamp_ns, **options) -> str:
        with pytest.raises(NoTransform) as refused:
            self.get(target, source, stamp_ns, **options)
        return str(refused.value)

    def can(self, target, source, stamp_ns) -> bool:
        try:
            self.get(target, source, stamp_ns)
        except NoTransform:
            return False
        return True

    def close(self) -> None:
        self.transforms.close()
        self.spinning.stop()
        self.node.destroy_node()


@pytest.fixture
def no_tf2(monkeypatch):
    """As on a machine without tf2_ros, whether this one has it or not."""
    monkeypatch.setitem(sys.modules, "tf2_ros", None)


@pytest.fixture
def robot():
    robot = Robot()
    yield robot
    robot.node.destroy_node()


@pytest.fixture
def listen(no_tf2):
    opened: list[Listener] = []

    def start(**parameters) -> Listener:
        opened.append(Listener(**parameters))
        return opened[-1]

    yield start
    for listener in opened:
        listener.close()


@pytest.fixture
def listener(listen, robot):
    """Connected to the robot: a first transform has arrived, in frames of its own."""
    listener = listen()
    connect(robot, listener)
    return listener


def connect(robot: Robot, listener: Listener) -> None:
    def arrives() -> bool:
        robot.move(stamped("here", "there", START))
        return listener.can("here", "there", START)

    until(arrives)


def clock_reads(robot: Robot, listener: Listener, seconds: int) -> bool:
    """Whether the node's simulated clock has arrived there."""
    robot.clock.publish(Clock(clock=to_stamp(seconds * SECOND)))
    return listener.node.get_clock().now().nanoseconds == seconds * SECOND


def origin(transform) -> list[float]:
    return [round(float(value), 6) + 0.0 for value in transform.translation]


# ---- over DDS ----
def test_at_the_stamp_of_an_image(robot, listener):
    """The robot drives 2 m in a second and turns left; the camera is mounted 1 m ahead, seen half-way."""
    robot.mount(stamped("base", "camera", 0, (1, 0, 0)))
    robot.move(stamped("map", "base", START, (0, 0, 0)))
    robot.move(stamped("map", "base", START + SECOND, (2, 0, 0), QUARTER_TURN_Z))
    found = listener.get("map", "camera", START + SECOND // 2, timeout=SECONDS)
    assert origin(found) == [round(1 + HALF, 6), round(HALF, 6), 0]
    np.testing.assert_allclose(found.points(np.array([[1.0, 0, 0]])), [[1 + 2 * HALF, 2 * HALF, 0]], atol=1e-6)
    assert origin(listener.get("camera", "base", 5)) == [-1, 0, 0]


def test_a_mount_published_before_the_node_came(robot, listen):
    robot.mount(stamped("base", "camera", 0, (1, 0, 0)), stamped("camera", "optical", 0, (0, 1, 0)))
    assert origin(listen().get("base", "optical", START, timeout=SECONDS)) == [1, 1, 0]


def test_several_publishers_of_mounts(robot, listen):
    other = Robot()
    robot.mount(stamped("base", "camera", 0, (1, 0, 0)))
    other.mount(stamped("camera", "optical", 0, (0, 1, 0)))
    assert origin(listen().get("base", "optical", START, timeout=SECONDS)) == [1, 1, 0]
    other.node.destroy_node()


def in_thread(call) -> tuple[threading.Thread, list]:
    found = []

    def run():
        try:
            found.append(call())
        except NoTransform as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def test_a_transform_that_comes_late(robot, listener):
    """The image was taken after the newest transform; the lookup waits for the next one."""
    robot.move(stamped("map", "camera", START, (0, 0, 0)))
    until(lambda: listener.can("map", "camera", START))
    waiting = threading.Event()

    def should_stop() -> bool:
        waiting.set()
        return False

    image = START + SECOND // 4
    thread, found = in_thread(
        lambda: listener.get("map", "camera", image, timeout=SECONDS, should_stop=should_stop)
    )
    assert waiting.wait(SECONDS) and not found
    robot.move(stamped("map", "camera", START + SECOND, (4, 0, 0)))
    thread.join(SECONDS)
    assert origin(found[0]) == [1, 0, 0]


def test_waiting_ends_when_the_query_is_cancelled(robot, listener):
    cancelled, waiting = threading.Event(), threading.Event()

    def should_stop() -> bool:
        waiting.set()
        return cancelled.is_set()

    thread, found = in_thread(
        lambda: listener.get("map", "camera", START, timeout=1e6, should_stop=should_stop)
    )
    assert waiting.wait(SECONDS) and not found
    cancelled.set()
    thread.join(SECONDS)
    assert isinstance(found[0], NoTransform) and 'frame "camera" is unknown' in str(found[0])


def test_future_past_and_missing(robot, listener):
    for seconds in (0, 1):
        robot.move(stamped("map", "camera", START + seconds * SECOND))
    robot.move(stamped("world", "table", START))
    until(lambda: listener.can("map", "camera", START + SECOND) and listener.can("world", "table", START))
    beginning = 'no transform from frame "camera" to frame "map" at '
    future = listener.refused("map", "camera", START + 3 * SECOND, timeout=0.05)
    assert future.startswith(f"{beginning}1700000003.000000000 s: ")
    assert '2.000 s newer than the newest transform of "camera" in "map"' in future
    past = listener.refused("map", "camera", START - SECOND)
    assert past.startswith(beginning) and "1.000 s before the oldest" in past
    assert 'frame "elbow" is unknown' in listener.refused("elbow", "camera", START)
    assert "not connected" in listener.refused("table", "camera", START)


def test_a_frame_in_itself_needs_no_transforms(listen):
    assert origin(listen().get("camera", "/camera", START)) == [0, 0, 0]


def test_a_bad_transform_does_not_cost_its_neighbours(robot, listener):
    robot.move(
        stamped("map", "base", START, (1, 0, 0)),
        stamped("base", "camera", START, (math.nan, 0, 0)),
        stamped("base", "lidar", START, (0, 0, 0), (0, 0, 0, 0)),
        stamped("base", "imu", START, (1, 0, 0)),
    )
    assert origin(listener.get("map", "imu", START, timeout=SECONDS)) == [2, 0, 0]
    assert 'frame "camera" is unknown' in listener.refused("map", "camera", START)
    assert 'frame "lidar" is unknown' in listener.refused("map", "lidar", START)


def test_lookups_do_not_need_the_executor(robot, listener):
    """It is busy with something else; what arrives is found all the same."""
    blocked, release = threading.Event(), threading.Event()

    def block():
        blocked.set()
        release.wait(SECONDS)

    timer = listener.node.create_timer(0.001, block)
    assert blocked.wait(SECONDS)
    robot.move(stamped("map", "camera", START, (1, 0, 0)))
    try:
        assert origin(listener.get("map", "camera", START, timeout=SECONDS)) == [1, 0, 0]
    finally:
        listener.node.destroy_timer(timer)
        release.set()


def test_history_is_kept_with_nobody_asking(robot, listener):
    """More messages than the publisher's and the subscription's queues hold, and the first is found afterwards."""
    count = 3000
    for number in range(count):
        robot.move(stamped("map", "camera", START + number * 1_000_000, (number, 0, 0)))
        if number % 50 == 49:
            until(lambda number=number: last(listener) >= number)
    assert origin(listener.get("map", "camera", START)) == [0, 0, 0]
    assert origin(listener.get("map", "camera", START + 1500 * 1_000_000)) == [1500, 0, 0]


def last(listener: Listener) -> int:
    """The newest sample that the node has read by itself: looked at without a lookup, which would read."""
    edge = listener.transforms._buffer._edges.get("camera")
    return -1 if edge is None else (edge.stamps[-1] - START) // 1_000_000


def test_a_simulation_that_starts_again(robot, listen):
    """The node's clock jumps back: transforms from before it are forgotten, mounts are not."""
    listener = listen(use_sim_time=True)
    robot.mount(stamped("base", "camera", 0, (1, 0, 0)))
    until(lambda: clock_reads(robot, listener, 100))

    def arrives() -> bool:
        robot.move(stamped("map", "base", 100 * SECOND, (9, 0, 0)))
        return listener.can("map", "camera", 100 * SECOND)

    until(arrives)
    until(lambda: clock_reads(robot, listener, 50))
    until(lambda: not listener.can("map", "camera", 100 * SECOND))
    robot.move(stamped("map", "base", 50 * SECOND, (2, 0, 0)))
    assert origin(listener.get("map", "camera", 50 * SECOND, timeout=SECONDS)) == [3, 0, 0]


def test_a_bag_that_loops(robot, listener):
    for seconds in (0, 10):
        robot.move(stamped("map", "camera", START + seconds * SECOND, (seconds, 0, 0)))
    until(lambda: listener.can("map", "camera", START + 10 * SECOND))
    for seconds in (1, 2):
        robot.move(stamped("map", "camera", START + seconds * SECOND, (0, seconds, 0)))
    end = START + 2 * SECOND
    until(lambda: listener.can("map", "camera", end) and not listener.can("map", "camera", end + 1))
    assert origin(listener.get("map", "camera", START + 3 * SECOND // 2)) == [0, 1.5, 0]


def test_opened_and_closed_again_and_again(robot, listen):
    """As deactivate and activate do; nothing stays behind on the network."""
    listener = listen()
    robot.mount(stamped("base", "camera", 0, (1, 0, 0)))
    for _ in range(3):
        assert origin(listener.get("base", "camera", START, timeout=SECONDS)) == [1, 0, 0]
        listener.transforms.close()
        until(lambda: robot.node.count_subscribers("/tf") + robot.node.count_subscribers("/tf_static") == 0)
        listener.transforms = open_transforms(listener.node)
        until(lambda: robot.node.count_subscribers("/tf") == robot.node.count_subscribers("/tf_static") == 1)


def test_qos_can_be_overridden(listen):
    listener = listen(**{"qos_overrides./tf.subscription.reliability": "best_effort"})
    robot = Robot(ReliabilityPolicy.BEST_EFFORT)  # a reliable subscription would get nothing from this one
    connect(robot, listener)
    robot.node.destroy_node()


# ---- messages ----
def test_rclpy_writes_what_is_read():
    rng = np.random.default_rng(0)
    for count in range(12):
        message = TFMessage()
        for number in range(count):
            parent, stamp_ns = "p" * int(rng.integers(0, 40)), int(rng.integers(0, 2**31 * SECOND))
            message.transforms.append(stamped(parent, "ß" * number, stamp_ns, rng.normal(size=3), rng.normal(size=4)))
        expected = []
        for one in message.transforms:
            shift, turn, stamp = one.transform.translation, one.transform.rotation, one.header.stamp
            pose = (shift.x, shift.y, shift.z, turn.x, turn.y, turn.z, turn.w)
            expected.append((one.header.frame_id, one.child_frame_id, stamp.sec * SECOND + stamp.nanosec, pose))
        assert list(transforms_in(serialize_message(message))) == expected


# ---- other doors ----
def test_neither_tf2_ros_nor_tf2_msgs(monkeypatch, no_tf2):
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    transforms = open_transforms(None)
    with pytest.raises(NoTransform, match="neither tf2_ros nor tf2_msgs is installed") as refused:
        transforms.lookup("map", "camera", START)
    assert 'from frame "camera" to frame "map"' in str(refused.value)
    assert origin(transforms.lookup("map", "map", START)) == [0, 0, 0]
    transforms.close()


class FakeTf2(ModuleType):
    """Stands for tf2_ros, which is not on PyPI: only how its Python API is called is tested here, not tf2 itself.

    Names and arguments are those of geometry2's tf2_ros_py (Jazzy): Buffer(cache_time) with lookup_transform(target,
    source, time, timeout) and clear(); TransformListener(buffer, node, *, spin_thread) with unregister();
    TransformException.
    """

    def __init__(self) -> None:
        super().__init__("tf2_ros")
        fake, self.calls, self.answers = self, [], {}

        class TransformException(Exception):
            pass

        class Buffer:
            def __init__(self, cache_time=None, node=None):
                fake.calls.append(("cache", cache_time.nanoseconds))

            def lookup_transform(self, target_frame, source_frame, time, timeout=None):
                assert timeout is None, "tf2_ros waits with its own clock and cannot be stopped"
                assert time.nanoseconds != 0, "that would be the latest transform"
                if (target_frame, source_frame, time.nanoseconds) not in fake.answers:
                    raise TransformException("Lookup would require extrapolation into the future")
                return fake.answers[target_frame, source_frame, time.nanoseconds]

            def clear(self):
                fake.calls.append("clear")

        class TransformListener:
            def __init__(self, buffer, node, *, spin_thread=False):
                assert isinstance(buffer, Buffer) and not spin_thread, "the node is spun elsewhere"
                fake.calls.append("listen")

            def unregister(self):
                fake.calls.append("unregister")

        self.TransformException, self.Buffer, self.TransformListener = TransformException, Buffer, TransformListener


def test_the_door_to_tf2_ros(monkeypatch, robot):
    """With a fake behind it: see FakeTf2."""
    fake = FakeTf2()
    monkeypatch.setitem(sys.modules, "tf2_ros", fake)
    listener = Listener(use_sim_time=True)
    try:
        assert fake.calls == [("cache", 60 * SECOND), "listen"]
        assert robot.node.count_subscribers("/tf") == 0, "our own buffer listens as well"
        for stamp in (0, START):
            refused = listener.refused("map", "/camera", stamp, timeout=0.03)
            assert 'from frame "camera" to frame "map"' in refused and "extrapolation into the future" in refused

        answer = SimpleNamespace(transform=stamped("map", "camera", START, (1, 2, 3), QUARTER_TURN_Z).transform)
        thread, found = in_thread(lambda: listener.get("map", "camera", START, timeout=SECONDS))
        fake.answers["map", "camera", START] = answer
        thread.join(SECONDS)
        assert origin(found[0]) == [1, 2, 3]
        np.testing.assert_allclose(found[0].quaternion(), QUARTER_TURN_Z)

        for seconds in (100, 50):
            until(lambda seconds=seconds: clock_reads(robot, listener, seconds))
        until(lambda: "clear" in fake.calls)
    finally:
        listener.close()
    assert fake.calls[-1] == "unregister"
