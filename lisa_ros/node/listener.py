"""A thread that takes messages off subscriptions, past the node's executor.

rclpy's executor builds its list of everything it waits for anew, in Python, for every message of every topic: with a
camera that alone is half of an idle node's work, and it grows with each endpoint that the node has. What is waited for
here is only what is listened to. (Measured at 30 Hz 1296x968 rgb8 + 640x480 16UC1: 15.3 % of a core by the executor, 8.7 %
here.) rclpy's events executor, made for this, locks up in Jazzy when other threads create endpoints or wake it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription

LOOK_NS = 1_000_000_000
"""Between two looks at whether ROS is still up, when nothing comes."""

WARN_SECONDS = 10.0


class NotByExecutor(CallbackGroup):
    """Subscriptions of this group are none of the executor's business."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing has begun."""


class Listener:
    """Takes messages from construction to `close`.

    subscriptions: each with what is called for its messages, in this object's thread. Their callback group must be
    `NotByExecutor`; they stay the caller's, to be destroyed after `close`.
    """

    def __init__(self, node: Node, subscriptions: list[tuple[Subscription, Callable[[Any], None]]]) -> None:
        self._node, self._subscriptions = node, subscriptions
        self._wake = GuardCondition(None, None, context=node.context)
        self._open = True
        self._thread = threading.Thread(target=self._listen, name="lisa-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more; returns when the last callback has."""
        self._open = False
        self._wake.trigger()
        self._thread.join()
        self._wake.destroy()

    def _listen(self) -> None:
        context = self._node.context
        with context.handle:
            wait_set = _rclpy.WaitSet(len(self._subscriptions), 1, 0, 0, 0, 0, context.handle)
        while self._open and context.ok():
            wait_set.clear_entities()
            wait_set.add_guard_condition(self._wake.handle)
            indices = [wait_set.add_subscription(subscription.handle) for subscription, _ in self._subscriptions]
            wait_set.wait(LOOK_NS)
            for index, (subscription, callback) in zip(indices, self._subscriptions):
                if self._open and wait_set.is_ready("subscription", index):
                    self._take(subscription, callback)

    def _take(self, subscription: Subscription, callback: Callable[[Any], None]) -> None:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if taken is None:
            return
        try:
            callback(taken[0])
        except Exception as error:  # noqa: BLE001 - one message that surprises must not silence the camera
            text = f"{subscription.topic_name}: {type(error).__name__}: {error}"
            self._node.get_logger().error(text, throttle_duration_sec=WARN_SECONDS)
