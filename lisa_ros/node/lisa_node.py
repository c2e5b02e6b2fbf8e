"""The lifecycle node: configure loads the model, activate opens the inputs, deactivate closes them, cleanup frees the
model.
"""

from __future__ import annotations

import functools
import gc
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from lisa_ros.node.answering import Answering
from lisa_ros.node.frame_buffer import FrameBuffer
from lisa_ros.node.inputs import Inputs
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import Publishers, ResultPublisher, overridable
from lisa_ros.node.requests import Request, Requests
from lisa_ros.node.servers import Servers

EngineFactory = Callable[..., Any]
"""Called as Engine.load is, factory(model, device=..., dtype=..., further options that were set); returns an Engine or
raises with a message for a person.
"""

STOP_SECONDS = 2.0
"""How long a stop waits for the engine to return; a request that it holds longer ends as CANCELLED without it."""

QUERY_DEPTH = 1000
"""Queries that may arrive faster than they are read: each must get its result, if only CANCELLED."""

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


def load_engine(model: str, **options: Any) -> Any:
    """The real engine; imports torch, so only when called."""
    from lisa_ros.engine import Engine

    return Engine.load(model, **options)


def transition(callback: Callable) -> Callable:
    """Log what a transition raises: rclpy turns it into ERROR without a word."""

    @functools.wraps(callback)
    def logged(self: LisaNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return callback(self, state)
        except Exception:  # noqa: BLE001 - goes on to on_error
            self.get_logger().error(f"{callback.__name__} failed:\n{traceback.format_exc()}")
            return ERROR

    return logged


class LisaNode(LifecycleNode):
    """Answers queries about the newest frame of one RGB-D camera."""

    def __init__(self, *, engine_factory: EngineFactory = load_engine, **node_options: Any) -> None:
        super().__init__("lisa", **node_options)
        self._engine_factory = engine_factory
        self._answering: Answering | None = None
        self._output_topics: Publishers | None = None
        self._results: ResultPublisher | None = None
        self._servers: Servers | None = None
        self._requests: Requests | None = None
        self._inputs: Inputs | None = None
        self._query_subscription = None
        self._jump_handle = None
        self.parameters = Parameters(self, self.state_label)
        self._warn_about_unknown_parameters()

    def state_label(self) -> str:
        """The lifecycle state: unconfigured, inactive, active, ..."""
        return self._state_machine.current_state[1]

    # ---- transitions ----
    @transition
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; fails, with the reason in the log, when it cannot be loaded."""
        model, options = self.parameters["model"], self.parameters.load_options()
        described = ", ".join(f"{name} {value}" for name, value in options.items())
        self.get_logger().info(f'loading model "{model}" ({described})')
        try:
            engine = self._engine_factory(model, **options)
        except Exception as error:  # noqa: BLE001 - rclpy would swallow it without a word
            self.get_logger().fatal(f'model "{model}" cannot be loaded: {error}')
            return FAILURE
        self._output_topics, self._results = Publishers(self), ResultPublisher(self)
        self._answering = Answering(
            engine, self.parameters, self._output_topics, self._results, self._now_ns, self.get_logger()
        )
        self._servers = Servers(self, self._submit, self._cancel)
        self.get_logger().info(f"model {engine.name} loaded on {engine.device}, {engine.dtype}")
        return SUCCESS

    @transition
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open camera topics and queries."""
        buffer = FrameBuffer(self.parameters["buffer_size"])
        self._inputs = Inputs(self, self.parameters, buffer)
        self._answering.buffer, self._answering.inputs = buffer, self._inputs
        jump_back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self.get_clock().create_jump_callback(jump_back, post_callback=lambda jump: buffer.clear())
        self._requests = Requests(self._answering.answer, self._answering.conclude, self._answering.fail)
        self._query_subscription = self.create_subscription(
            String, "~/query", self._on_query, QoSProfile(depth=QUERY_DEPTH), qos_overriding_options=overridable()
        )
        topics = f"{self._inputs.color_topic}, {self._inputs.depth_topic}, {self._inputs.camera_info_topic}"
        self.get_logger().info(f"ready: queries on {self._query_subscription.topic_name}, frames from {topics}")
        return SUCCESS

    @transition
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the inputs; requests under way end as CANCELLED."""
        self._close_inputs("the node was deactivated")
        return SUCCESS

    @transition
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._free()
        return SUCCESS

    @transition
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close and free whatever there is."""
        self._close_inputs("the node was shut down")
        self._free()
        return SUCCESS

    @transition
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, from where configure may be tried again."""
        self.get_logger().error("a transition failed: back to unconfigured")
        self._close_inputs("the node had an error")
        self._free()
        return SUCCESS

    def close(self) -> None:
        """End all requests, close the inputs and free the model, in whatever state the node is. Publishes the last
        results.
        """
        self._close_inputs("the node was stopped")

    def busy(self) -> bool:
        """Whether a client of action or service still waits for its (already decided) answer to be sent."""
        return self._servers is not None and self._servers.busy()

    # ---- requests ----
    def _on_query(self, message: String) -> None:
        self._submit(Request(message.data))

    def _submit(self, request: Request) -> None:
        if self._requests is None:
            self._answering.conclude(request, "the node is not active")
        else:
            self._requests.submit(request)

    def _cancel(self, request: Request, reason: str) -> None:
        if self._requests is not None:
            self._requests.cancel(request, reason)

    # ---- parts ----
    def _close_inputs(self, reason: str) -> None:
        if self._query_subscription is not None:
            self.destroy_subscription(self._query_subscription)
            self._query_subscription = None
        requests, self._requests = self._requests, None
        if requests is not None and not requests.close(reason, timeout=STOP_SECONDS):
            self.get_logger().warning(
                f"the model is still busy after {STOP_SECONDS:g} s; its query was ended without it"
            )
        if self._jump_handle is not None:
            self._jump_handle.unregister()
            self._jump_handle = None
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        if self._answering is not None:
            self._answering.inputs = self._answering.buffer = None

    def _free(self) -> None:
        if self._servers is not None:
            self._servers.destroy()
            self._servers = None
        if self._answering is not None:
            engine = self._answering.engine
            self._answering.forget()
            self._answering = None
            if callable(getattr(engine, "close", None)):
                engine.close()
            del engine
            gc.collect()
        if self._output_topics is not None:
            self._output_topics.destroy()
            self._results.destroy()
            self._output_topics = self._results = None

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _warn_about_unknown_parameters(self) -> None:
        """A misspelt name in a parameter file would otherwise do nothing, silently."""
        for name in self._parameter_overrides:
            if not self.has_parameter(name) and not name.startswith("qos_overrides."):
                self.get_logger().warning(f"parameter {name} is not known and has no effect")
