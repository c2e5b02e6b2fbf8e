"""A bag of scannet_tools through lisa_replay and the node: what comes out is what reading the bag in code gives, also
with loops, simulated time, pauses and steps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from lisa_ros.msg import SegmentationResult
from node_harness import HEIGHT, WIDTH, depth_picture, red_box_picture
from processes import wait_for_line
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from scripted_engine import ScriptedEngine
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_srvs.srv import SetBool, Trigger

from lisa_ros.geometry import Frame
from lisa_ros.node import conversions, messages
from lisa_ros.node.replay import SourceError
from lisa_ros.perception import perceive
from lisa_ros.sources.bag import Bag
from scannet_tools.bag import write_bag
from scannet_tools.sens import SensHeader, SensWriter

FRAMES = 6
TOPICS = {
    "/color/image_raw/compressed": CompressedImage,
    "/depth/image_raw/compressedDepth": CompressedImage,
    "/color/camera_info": CameraInfo,
}
CODED = {"color_transport": "compressed", "depth_transport": "compressed"}


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Six frames, 0.1 s apart; the red box moves to the right by 5 pixels a frame."""
    folder = tmp_path_factory.mktemp("scan")
    matrix = np.eye(4)
    matrix[:2] = [[120, 0, 79.5, 0], [0, 120, 59.5, 0]]
    header = SensHeader((WIDTH, HEIGHT), (WIDTH, HEIGHT), matrix, matrix, color_compression="png")
    with SensWriter(folder / "a.sens", header) as writer:
        for number in range(FRAMES):
            color, depth = (np.roll(picture, 5 * number, axis=1) for picture in (red_box_picture(), depth_picture()))
            writer.add(color, depth, np.eye(4), 100_000 * (number + 1), 100_000 * (number + 1))
    return write_bag(folder / "a.sens", folder / "bag").path


class Listener:
    """Serialized messages of the camera's topics, and the times of /clock, in the order of their arrival."""

    def __init__(self, client) -> None:
        self.received: dict[str, list[bytes]] = {topic: [] for topic in TOPICS}
        self.clock: list[int] = []
        qos = QoSProfile(depth=100)
        for topic, kind in TOPICS.items():
            client.node.create_subscription(kind, topic, self.received[topic].append, qos, raw=True)
        client.node.create_subscription(
            Clock, "/clock", lambda message: self.clock.append(conversions.stamp_ns(message.clock)), qos
        )

    def stamps(self, topic: str = "/color/image_raw/compressed") -> list[int]:
        return [conversions.serialized_stamp_ns(data) for data in self.received[topic]]


@pytest.fixture
def listener(client):
    return Listener(client)


def recorded(bag, topic: str) -> list[bytes]:
    with Bag(bag) as opened:
        return [message.serialized for message in opened.messages({topic})]


def bare(serialized: list[bytes]) -> set[bytes]:
    """Without the zeros that the middleware may put behind a message."""
    return {data.rstrip(b"\0") for data in serialized}


def call(client, kind: type, service: str, **fields):
    caller = client.node.create_client(kind, service)
    client.until(caller.service_is_ready)
    future = caller.call_async(kind.Request(**fields))
    client.until(future.done)
    return future.result()


def by_code(bag, number: int):
    """What perceive() says of a frame of the bag, read without a node."""
    color, depth, info = (
        conversions.deserialized(recorded(bag, topic)[number], kind) for topic, kind in TOPICS.items()
    )
    camera = conversions.camera_of(info, WIDTH, HEIGHT)
    frame = Frame(conversions.color_image(color), camera, conversions.depth_image(depth, 0.001))
    return color.header, perceive(ScriptedEngine(), frame, ["the red box"])[0]


def test_every_byte_goes_out_in_every_loop(bag, listener, client, play):
    play(bag, stamps="file", rate=4.0)
    client.until(lambda: all(len(received) > 2 * FRAMES for received in listener.received.values()))
    for topic, received in listener.received.items():
        assert bare(received) == bare(recorded(bag, topic))
    # a loop begins again with the first frame
    stamps = listener.stamps()
    first, last = min(stamps), max(stamps)
    assert all(late > early or (early, late) == (last, first) for early, late in zip(stamps, stamps[1:]))


def test_the_nodes_answer_to_each_frame_is_that_of_the_code(bag, client, make_node, play):
    """Frame by frame, by stepping; with the bag's own time, so that an age can be judged."""
    lisa = make_node(use_sim_time=True, max_age=5.0, **CODED)
    replay = play(bag, stamps="file", paused=True, clock=20.0, loop=False)
    client.until(lambda: all(replay.count_subscribers(topic) for topic in TOPICS))
    client.until(lambda: heard_of(replay, lisa))
    for number in range(FRAMES):
        assert call(client, Trigger, "lisa_replay/step").success
        header, expected = by_code(bag, number)
        client.until(partial(sees, lisa, header))
        result = client.ask("the red box")
        assert result.status == SegmentationResult.FOUND and result.header == header, result.message
        masks = [instance.mask for instance in expected.instances]
        assert client.output("mask") == messages.to_mask(header, masks, (HEIGHT, WIDTH))
        assert client.output("points") == messages.to_cloud(header, [one.cloud for one in expected.instances])
        assert [messages.to_instance(1, one) for one in expected.instances] == list(result.instances)
    assert not call(client, Trigger, "lisa_replay/step").success


def heard_of(replay, lisa) -> bool:
    """Publishers and subscriptions have found each other, from both ends."""
    publishers = replay._player._publishers
    matched = all(publishers[topic].get_subscription_count() for topic in TOPICS)
    return matched and all(lisa.node.count_publishers(topic) for topic in TOPICS)


def sees(lisa, header) -> bool:
    """The node has depth and camera_info of this frame, too, and its clock has come so far."""
    stamp = conversions.stamp_ns(header.stamp)
    port = lisa.node._cameras[0]
    pair = port.buffer.newest(1_000_000)
    there = pair is not None and pair.depth is not None and pair.camera_info is not None
    return there and pair.color.stamp_ns == stamp and lisa.node.get_clock().now().nanoseconds >= stamp


def test_a_loop_under_simulated_time(bag, client, make_node, play):
    """Time jumps back at each loop: the node forgets what was before, and goes on answering."""
    lisa = make_node(use_sim_time=True, max_age=5.0, **CODED)
    play(bag, stamps="file", rate=2.0, clock=50.0)
    stamps = {conversions.serialized_stamp_ns(data) for data in recorded(bag, "/color/image_raw/compressed")}
    client.until(lambda: lisa.frames() > 0)
    for _ in range(8):
        result = client.ask("the red box")
        assert result.status == SegmentationResult.FOUND, result.message
        assert conversions.stamp_ns(result.header.stamp) in stamps
        assert abs(result.age) < 1.0  # less than 0 when time jumped back while the query was answered


def subscription_found(client, topic: str) -> bool:
    return client.node.count_publishers(topic) > 0


def got(listener, frames: int) -> bool:
    return all(len(received) == frames for received in listener.received.values())


def shows(listener, time_ns: int) -> bool:
    return listener.clock[-1] == time_ns


def test_pause_and_step(bag, listener, client, play):
    play(bag, stamps="file", paused=True, clock=50.0, loop=False)
    client.until(lambda: len(listener.clock) > 3)
    assert len(set(listener.clock)) == 1 and not listener.stamps()  # time stands still
    expected = [conversions.serialized_stamp_ns(data) for data in recorded(bag, "/color/image_raw/compressed")]
    client.until(lambda: all(subscription_found(client, topic) for topic in TOPICS))
    for number in (1, 2):
        assert call(client, Trigger, "lisa_replay/step").success
        client.until(partial(got, listener, number))
        assert listener.stamps() == expected[:number]
        client.until(partial(shows, listener, expected[number - 1]))
    assert call(client, SetBool, "lisa_replay/pause", data=False).success
    client.until(lambda: len(listener.stamps()) == FRAMES)
    assert listener.stamps() == expected and listener.clock == sorted(listener.clock)


def test_clock_needs_recorded_stamps(bag, play):
    with pytest.raises(SourceError, match="set parameter stamps to file"):
        play(bag, clock=10.0)
    with pytest.raises(SourceError, match="parameter clock is for bags"):
        play("synthetic", clock=10.0)


def test_the_verb(bag, listener, client, start):
    process = start(["-m", "scannet_tools", "replay", str(bag), "--rate", "4", "--loop"])
    client.until(lambda: len(listener.stamps()) > FRAMES)
    topic = "/color/image_raw/compressed"
    assert bare(listener.received[topic]) == bare(recorded(bag, topic))
    process.send_signal(2)
    assert process.wait(30) == 0


def test_the_verb_without_a_bag(tmp_path, start):
    process = start(["-m", "scannet_tools", "replay", str(tmp_path / "none")])
    wait_for_line(process, "no such bag")
    assert process.wait(30) == 1
