"""For tests of the node: a ROS domain of our own on loopback, one node per test with a fake engine, and a client that
waits instead of sleeping.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).parents[1] / "config" / "fastdds.xml"))

import numpy as np
import rclpy
from lisa_ros.msg import SegmentationResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from scripted_engine import ScriptedEngine
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, String
from visualization_msgs.msg import MarkerArray

from lisa_ros.geometry import Camera
from lisa_ros.node import conversions, messages
from lisa_ros.node.lisa_node import EngineFactory, LisaNode
from lisa_ros.node.process import Spinning

SECONDS = 60.0
WIDTH, HEIGHT = 160, 120
CAMERA = Camera(120.0, 120.0, 79.5, 59.5, WIDTH, HEIGHT)
OUTPUTS = {
    "mask": Image,
    "instances": Image,
    "points": PointCloud2,
    "overlay": Image,
    "markers": MarkerArray,
    "camera_info": CameraInfo,
}


def red_box_picture() -> np.ndarray:
    """Grey with a red rectangle: rows 40..80, columns 50..110."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[40:80, 50:110] = (255, 0, 0)
    return picture


def depth_picture() -> np.ndarray:
    """Millimetres: the rectangle at 1 m, all else at 2 m."""
    depth = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    depth[40:80, 50:110] = 1000
    return depth


class Client:
    """A camera and a user of the node, in one ROS node of its own."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("client")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        qos = QoSProfile(depth=2000)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.color = self.node.create_publisher(Image, "color/image_raw", latched)
        self.depth = self.node.create_publisher(Image, "depth/image_raw", latched)
        self.info = self.node.create_publisher(CameraInfo, "color/camera_info", latched)
        self.query = self.node.create_publisher(String, "lisa/query", qos)
        self.results: list[SegmentationResult] = []
        self.outputs: dict[str, list] = {name: [] for name in OUTPUTS}
        # transient local: on a busy machine the node may publish its first result before it has discovered this subscriber

        kept = QoSProfile(depth=2000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.subscriptions = [
            self.node.create_subscription(SegmentationResult, "lisa/result", self.results.append, kept)
        ]
        for name, kind in OUTPUTS.items():
            self.subscriptions.append(
                self.node.create_subscription(kind, f"lisa/{name}", self.outputs[name].append, qos)
            )

    def until(self, condition, seconds: float = SECONDS) -> None:
        """Spin until the condition holds; fails the test when it does not."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.executor.spin_once(timeout_sec=0.05)

    def connect(self) -> None:
        """Wait until every endpoint has found its partner in the node."""
        publishers = (self.color, self.depth, self.info, self.query)
        self.until(
            lambda: (
                all(p.get_subscription_count() for p in publishers)
                and all(s.get_publisher_count() for s in self.subscriptions)
            )
        )

    def header(self, *, shift: float = 0.0) -> Header:
        """Now, `shift` seconds later, in the camera's frame."""
        stamp = conversions.to_stamp(self.node.get_clock().now().nanoseconds + round(shift * 1e9))
        return Header(stamp=stamp, frame_id="camera")

    def show(self, *, color=None, depth=None, info=None, header=None, without=()) -> Header:
        """Publish one frame; returns its header."""
        header = header or self.header()
        color = color if color is not None else messages.to_image(header, red_box_picture(), "rgb8")
        depth = depth if depth is not None else messages.to_image(header, depth_picture(), "16UC1")
        info = info if info is not None else messages.to_camera_info(header, CAMERA)
        for publisher, message, name in (
            (self.info, info, "info"),
            (self.depth, depth, "depth"),
            (self.color, color, "color"),
        ):
            if name not in without:
                publisher.publish(message)
        return header

    def ask(self, text: str) -> SegmentationResult:
        """Publish a query, wait for its result, and make sure that it is the only one."""
        before = len(self.results)
        for received in self.outputs.values():
            received.clear()
        self.query.publish(String(data=text))
        self.until(lambda: len(self.results) > before)
        self.settle()
        assert len(self.results) == before + 1
        return self.results[-1]

    def settle(self, seconds: float = 0.15) -> None:
        """Let stragglers arrive."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def output(self, name: str):
        """The one message of this output since the last `ask`."""
        self.until(lambda: self.outputs[name])
        assert len(self.outputs[name]) == 1
        return self.outputs[name][0]

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


class Running:
    """A node under test in its own executor thread."""

    def __init__(self, factory: EngineFactory, **parameters) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = LisaNode(engine_factory=factory, parameter_overrides=overrides)
        self.spinning = Spinning(self.node)
        self.closed = False

    def start(self) -> None:
        """Configure and activate."""
        self.node.trigger_configure()
        self.node.trigger_activate()
        assert self.node.state_label() == "active"

    @property
    def inputs(self):
        """Inputs of the first camera; None while the node is not active."""
        return self.node._cameras[0].inputs

    def frames(self) -> int:
        """Colour messages in the buffer."""
        port = self.node._cameras[0]
        return port.buffer.frames() if port.buffer is not None else 0

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.node.close()
        self.spinning.stop()
        self.node.free()
        self.node.destroy_node()


class Scripted(Running):
    """A node with a fake engine in its own process."""

    def __init__(self, **parameters) -> None:
        self.engine = ScriptedEngine()
        self.loads: list[tuple[str, dict]] = []
        super().__init__(self._load, **parameters)

    def close(self) -> None:
        self.engine.release.set()
        super().close()

    def _load(self, model: str, **options) -> ScriptedEngine:
        self.loads.append((model, options))
        return self.engine


@pytest.fixture(scope="session", autouse=True)
def ros():
    if not rclpy.ok():  # both tests/ros and tests/faults have this fixture
        rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def make_node():
    """Starts nodes with a fake engine: make_node(parameter=value, ...) -> Scripted, configured and active."""
    running: list[Scripted] = []

    def make(*, start: bool = True, **parameters) -> Scripted:
        gc.collect()  # lifecycle nodes of earlier tests live until then, and /rosout serves one node of a name only
        node = Scripted(**parameters)
        running.append(node)
        if start:
            node.start()
        return node

    yield make
    for node in running:
        node.close()


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def lisa(make_node):
    """A node with default parameters, active."""
    return make_node()


def wait_for(event: threading.Event) -> None:
    assert event.wait(SECONDS)
