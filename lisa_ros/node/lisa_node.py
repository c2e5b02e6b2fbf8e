"""The lifecycle node: configure loads the model, activate opens the inputs, deactivate closes them, cleanup frees the
model.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_msgs.msg import String

from lisa_ros.engine.isolation import IsolatedEngine
from lisa_ros.node.answering import Answering
from lisa_ros.node.camera_port import CameraPort
from lisa_ros.node.diagnostics import Diagnostics, Queue, Tally
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import ResultPublisher, overridable
from lisa_ros.node.requests import Request, Requests
from lisa_ros.node.servers import Servers
from lisa_ros.node.transforms import open_transforms
from lisa_ros.perception import Status

EngineFactory = Callable[..., Any]
"""Called as Engine.load is, factory(model, device=..., dtype=..., further options that were set); returns an Engine or
raises with a message for a person.
"""

STOP_SECONDS = 2.0
"""How long a stop waits for the engine to return; a request that it holds longer ends as CANCELLED without it."""

QUERY_DEPTH = 1000
"""Queries that may arrive faster than they are read: each must get its result, if only CANCELLED."""

RCLError = rclpy_implementation.RCLError

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


def load_engine(model: str, **options: Any) -> Any:
    """The real engine, in a process of its own: whatever happens to it, the node stays up."""
    return IsolatedEngine(model, **options)


def transition(callback: Callable) -> Callable:
    """Log what a transition raises: rclpy turns it into ERROR without a word."""

    @wraps(callback)
    def logged(self: LisaNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return callback(self, state)
        except Exception:  # noqa: BLE001 - goes on to on_error
            self.get_logger().error(f"{callback.__name__} failed:\n{traceback.format_exc()}")
            return ERROR

    return logged


class LisaNode(LifecycleNode):
    """Answers queries about the newest frames of one or several RGB-D cameras."""

    def __init__(self, *, engine_factory: EngineFactory = load_engine, **node_options: Any) -> None:
        super().__init__("lisa", **node_options)
        self._engine_factory = engine_factory
        self._cameras: list[CameraPort] = []
        self._requests: Requests | None = None
        self._standing: Request | None = None
        self._query_subscriptions: list[Subscription] = []
        self._tally = Tally()
        self.parameters = Parameters(self, self.state_label, on_change=self._on_parameters)
        self._warn_about_unknown_parameters()
        # From the first moment to the last: a cleanup must not take away answers that are still on their way.
        self._result_publisher = ResultPublisher(self)
        self._answering = self._answering_with(None)
        self._servers = Servers(self, self._submit, self._cancel)
        self._service_change_state.callback = partial(self._change_state, self._service_change_state.callback)
        self._diagnostics = Diagnostics(
            self,
            lambda: self._answering.engine,
            lambda: [camera.inputs.report() for camera in self._cameras if camera.inputs is not None],
            lambda: Queue(*self._requests.report()) if self._requests is not None else Queue(),
            self._tally,
        )

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
        for name in self.parameters["cameras"]:
            self._cameras.append(CameraPort(self, self.parameters, name))
        try:
            engine = self._engine_factory(model, **options)
        except Exception as error:  # noqa: BLE001 - rclpy would swallow it without a word
            self.get_logger().fatal(f'model "{model}" cannot be loaded: {error}')
            self._free()
            return FAILURE
        self._answering = self._answering_with(engine)
        self._set_engine_timeout()
        self.get_logger().info(f"model {engine.name} loaded on {engine.device}, {engine.dtype}")
        return SUCCESS

    @transition
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open camera topics, transforms and queries."""
        for camera in self._cameras:
            camera.open()
        self._answering.transforms = open_transforms(self)
        self._requests = Requests(
            self._answering.answer,
            self._answering.next_frame,
            self._answering.end,
            self._answering.fail,
            policy=lambda: self.parameters["query_policy"],
            queue_size=lambda: self.parameters["queue_size"],
            max_rate=lambda: self.parameters["max_query_rate"],
        )
        self._listen("~/query", "")
        for camera in filter(None, self.parameters["cameras"]):
            self._listen(f"~/{camera}/query", camera)
        for topic, camera in zip(self._query_subscriptions[-len(self._cameras) :], self._cameras):
            inputs = camera.inputs
            frames = f"{inputs.color_topic}, {inputs.depth_topic}, {inputs.camera_info_topic}"
            self.get_logger().info(f"ready: queries on {topic.topic_name}, frames from {frames}")
        self._stand()
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

    def _change_state(
        self, answer: Callable, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        """rclpy's own answer raises, which ends the executor, when the state has no such transition: refuse instead."""
        try:
            return answer(request, response)
        except RCLError:
            wanted = request.transition.label or f"number {request.transition.id}"
            self.get_logger().warning(f"transition {wanted} refused: the node is {self.state_label()}")
            response.success = False
            return response

    def close(self) -> None:
        """End all requests and close the inputs, in whatever state the node is. Publishes the last results."""
        self._close_inputs("the node was stopped")

    def free(self) -> None:
        """End the model's process, take what is left off the network. The last thing before the node is destroyed."""
        self._free()
        self._servers.destroy()
        self._result_publisher.destroy()

    def busy(self) -> bool:
        """Whether a client of action or service still waits for its (already decided) answer to be sent."""
        return self._servers.busy()

    # ---- requests ----
    def _listen(self, topic: str, camera: str) -> None:
        """Queries for a camera ("" = the first one)."""
        self._query_subscriptions.append(
            self.create_subscription(
                String,
                topic,
                lambda message: self._submit(Request(message.data, camera=camera)),
                QoSProfile(depth=QUERY_DEPTH),
                qos_overriding_options=overridable(),
            )
        )

    def _submit(self, request: Request) -> None:
        if self._requests is None:
            self._answering.end(request, Status.CANCELLED, "the node is not active")
        elif refusal := self._answering.refusal(request):
            self._answering.end(request, Status.REJECTED, refusal)
        else:
            self._requests.submit(request)

    def _cancel(self, request: Request, reason: str) -> None:
        if self._requests is not None:
            self._requests.cancel(request, reason)

    def _stand(self) -> None:
        """Follow the parameter `standing_query`."""
        text = self.parameters["standing_query"]
        if self._standing is not None and text != self._standing.query:
            self._cancel(self._standing, "the parameter standing_query was changed")
            self._standing = None
        if self._standing is None and text and self._requests is not None:
            self._standing = Request(text, standing=True)
            self._submit(self._standing)

    def _on_parameters(self, names: set[str]) -> None:
        """Some parameters have new values."""
        if "standing_query" in names:
            self._stand()
        if "engine_timeout" in names:
            self._set_engine_timeout()

    def _set_engine_timeout(self) -> None:
        if self._answering.engine is not None:
            self._answering.engine.timeout = self.parameters["engine_timeout"]

    # ---- parts ----
    def _close_inputs(self, reason: str) -> None:
        for subscription in self._query_subscriptions:
            self.destroy_subscription(subscription)
        self._query_subscriptions.clear()
        requests, self._requests, self._standing = self._requests, None, None
        if requests is not None and not requests.close(reason, timeout=STOP_SECONDS):
            self.get_logger().warning(
                f"the model is still busy after {STOP_SECONDS:g} s; its query was ended without it"
            )
        for camera in self._cameras:
            camera.close()
        if self._answering.transforms is not None:
            self._answering.transforms.close()
            self._answering.transforms = None

    def _free(self) -> None:
        engine = self._answering.engine
        self._answering.forget()
        cameras, self._cameras = self._cameras, []
        self._answering = self._answering_with(None)
        if engine is not None:
            engine.close()
            del engine
            gc.collect()
        for camera in cameras:
            camera.destroy()

    def _answering_with(self, engine: Any | None) -> Answering:
        """None: an Answering that can only end requests."""
        return Answering(
            engine,
            self.parameters,
            self._cameras,
            self._result_publisher,
            self._tally,
            self._now_ns,
            self.get_logger(),
        )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _warn_about_unknown_parameters(self) -> None:
        """A misspelt name in a parameter file would otherwise do nothing, silently."""
        for name in self._parameter_overrides:
            if not self.has_parameter(name) and not name.startswith("qos_overrides."):
                self.get_logger().warning(f"parameter {name} is not known and has no effect")
