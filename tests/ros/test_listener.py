"""Messages past the executor: they come without one, in order, whatever a callback does; `close` ends it for good."""

from __future__ import annotations

import threading

import pytest
import rclpy
from node_harness import SECONDS
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message
from std_msgs.msg import String

from lisa_ros.node.listener import Listener, NotByExecutor


class Heard:
    """A node that listens to two topics, and what came on them."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("listening")
        self.received: list[tuple[str, str, str]] = []
        group = NotByExecutor()
        self.plain = self.node.create_subscription(String, "plain", print, 100, callback_group=group)
        self.raw = self.node.create_subscription(String, "raw", print, 100, callback_group=group, raw=True)
        self.listener = Listener(self.node, [(self.plain, self.on_plain), (self.raw, self.on_raw)])

    def on_plain(self, message: String) -> None:
        self.received.append(("plain", message.data, threading.current_thread().name))
        if message.data == "surprise":
            raise KeyError(message.data)

    def on_raw(self, message: bytes) -> None:
        text = deserialize_message(message, String).data
        self.received.append(("raw", text, threading.current_thread().name))


@pytest.fixture
def heard():
    heard = Heard()
    yield heard
    heard.listener.close()
    heard.node.destroy_node()


@pytest.fixture
def publish(client):
    publishers = {topic: client.node.create_publisher(String, topic, 100) for topic in ("plain", "raw")}

    def publish(topic, text):
        client.until(lambda: publishers[topic].get_subscription_count() > 0)
        publishers[topic].publish(String(data=text))

    return publish


def test_messages_come_in_order_and_without_an_executor(client, heard, publish):
    for number in range(20):
        publish("plain", f"p{number}")
        publish("raw", f"r{number}")
    client.until(lambda: len(heard.received) == 40)
    for topic in ("plain", "raw"):
        assert [text for name, text, _ in heard.received if name == topic] == [f"{topic[0]}{n}" for n in range(20)]
    assert {thread for _, _, thread in heard.received} == {"lisa-listener"}


def test_an_executor_leaves_them_alone(client, heard, publish):
    executor = SingleThreadedExecutor()
    executor.add_node(heard.node)
    publish("plain", "one")

    def come():
        executor.spin_once(timeout_sec=0.02)
        return heard.received

    client.until(come)
    client.settle(0.1)
    executor.shutdown()
    assert heard.received == [("plain", "one", "lisa-listener")]


def test_a_callback_that_raises_does_not_end_it(client, heard, publish):
    publish("plain", "surprise")
    publish("plain", "next")
    client.until(lambda: [text for _, text, _ in heard.received] == ["surprise", "next"])


def test_close_returns_though_nothing_comes_and_nothing_comes_after_it(client, heard, publish):
    publish("plain", "one")
    client.until(lambda: heard.received)
    closing = threading.Thread(target=heard.listener.close)
    closing.start()
    closing.join(SECONDS)
    assert not closing.is_alive()
    publish("plain", "two")
    client.settle(0.3)
    assert [text for _, text, _ in heard.received] == ["one"]
    heard.listener = Listener(heard.node, [(heard.plain, heard.on_plain)])  # and listening again hears what waited
    client.until(lambda: [text for _, text, _ in heard.received] == ["one", "two"])


def test_it_ends_with_ros():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("short", context=context)
    subscription = node.create_subscription(String, "plain", print, 1, callback_group=NotByExecutor())
    listener = Listener(node, [(subscription, print)])
    rclpy.shutdown(context=context)
    listener._thread.join(SECONDS)
    assert not listener._thread.is_alive()
