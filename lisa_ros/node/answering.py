"""From a request to its one result: frame -> convert -> encode -> perceive -> publish. Runs in the worker thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from lisa_ros.engine.segmentation import Cancelled, QueryError
from lisa_ros.geometry import Frame
from lisa_ros.msg import SegmentationResult
from lisa_ros.node import conversions, messages
from lisa_ros.node.conversions import ConversionError
from lisa_ros.node.frame_buffer import FrameBuffer, Pair, Received
from lisa_ros.node.inputs import Inputs
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import Outputs, Publishers, ResultPublisher
from lisa_ros.node.requests import Request
from lisa_ros.overlay import draw_overlay
from lisa_ros.perception import Perception, Status, perceive

ECHO_LENGTH = 200
"""Characters of a query that was refused for its length which its result still shows."""


@dataclass
class Reply:
    """What ends a request: the result, and the outputs when the model answered."""

    result: SegmentationResult
    outputs: Outputs | None = None


class Refused(Exception):
    """The request ends here with this status and this message."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Seen:
    """A frame as numpy, with what its outputs need: header, camera_info as received, and why something is missing.

    key: identifies the colour message for reuse of its encoding; None = never reuse.
    """

    frame: Frame
    header: Header
    camera_info: CameraInfo | None = None
    missing: list[str] = field(default_factory=list)
    key: Received | None = None
    remark: str = ""


@dataclass
class Conversation:
    """A chat on a frame of the camera, as far as it went.

    request_id: of the last turn. turns: (query, answer).
    """

    request_id: str
    seen: Seen
    turns: list[tuple[str, str]]


class Stages:
    """Where the seconds go: `begin` closes the stage before it and tells the client what comes."""

    def __init__(self, request: Request) -> None:
        self.seconds: list[tuple[str, float]] = [("wait", time.monotonic() - request.created)]
        self._request = request
        self._running: tuple[str, float] | None = None

    def begin(self, stage: str) -> None:
        """Start a stage; raises Cancelled when the client wants no more."""
        self.end()
        if self._request.cancelled:
            raise Cancelled
        self._running = (stage, time.monotonic())
        self._request.on_stage(stage)

    def end(self) -> None:
        """Close the running stage."""
        if self._running:
            stage, begun = self._running
            self.seconds.append((stage, time.monotonic() - begun))
            self._running = None

    def replace(self, seconds: list[tuple[str, float]]) -> None:
        """Close the running stage with finer figures in its place. What they leave open goes to the stage before it: a
        GPU was still at work on that when this one began.
        """
        if self._running and self.seconds:
            open_rest = time.monotonic() - self._running[1] - sum(spent for _, spent in seconds)
            name, spent = self.seconds[-1]
            self.seconds[-1] = (name, spent + max(0.0, open_rest))
        self._running = None
        self.seconds += seconds


class Answering:
    """Owns the path of a request. `now_ns` is the node's clock. Inputs and buffer are those of the active node, None
    otherwise.
    """

    def __init__(
        self,
        engine: Any,
        parameters: Parameters,
        publishers: Publishers,
        results: ResultPublisher,
        now_ns: Callable[[], int],
        logger: Any,
    ) -> None:
        self.engine = engine
        self.inputs: Inputs | None = None
        self.buffer: FrameBuffer | None = None
        self._parameters, self._publishers, self._results = parameters, publishers, results
        self._now_ns, self._logger = now_ns, logger
        self._encoded: tuple[Received, Any] | None = None
        self._conversation: Conversation | None = None
        self._engine_lock = threading.Lock()  # a worker that was given up on may still be inside

    # ---- the three ways in which a request ends ----
    def answer(self, request: Request) -> None:
        """Answer a request; anything unforeseen is raised."""
        stages = Stages(request)
        try:
            self._check(request)
            stages.begin("convert")
            seen = self._look(request)
            with self._engine_lock:
                perception = self._perceive(request, seen, stages)
            stages.begin("publish")
            outputs = self._outputs(seen, perception, only_images=request.image is not None)
        except Refused as refusal:
            self._end(request, Reply(self._plain(request, refusal.status, str(refusal), stages)))
        except Cancelled:
            self._end(request, Reply(self._plain(request, Status.CANCELLED, request.cancel_reason, stages)))
        else:
            self._remember(request, seen, perception)
            result = messages.to_result(perception, stages.seconds)
            result.header = seen.header
            self._end(request, Reply(result, outputs), stages)

    def conclude(self, request: Request, reason: str) -> None:
        """End a request as CANCELLED."""
        self._end(request, Reply(self._plain(request, Status.CANCELLED, reason)))

    def fail(self, request: Request, error: Exception) -> None:
        """End a request as FAILED."""
        self._encoded = None  # whatever state the model is in, start the next query afresh
        message = f"{type(error).__name__}: {error}"
        self._logger.error(f"query {request.id} failed: {message}")
        self._end(request, Reply(self._plain(request, Status.FAILED, message[:500])))

    def forget(self) -> None:
        """Let go of everything that belongs to the engine or a frame."""
        self.engine, self._encoded, self._conversation = None, None, None

    # ---- the path ----
    def _check(self, request: Request) -> None:
        limit = self._parameters["max_query_length"]
        if len(request.query) > limit:
            raise Refused(
                Status.REJECTED, f"the query has {len(request.query)} characters; max_query_length is {limit}"
            )
        if not request.query.strip():
            raise Refused(Status.REJECTED, "the query is empty: say what to look for")
        if request.mode not in ("", "mask", "chat"):
            raise Refused(Status.REJECTED, f'mode must be "mask" or "chat", got "{request.mode[:50]}"')
        if not request.max_age >= 0:
            raise Refused(Status.REJECTED, f"max_age must be 0 or more seconds, got {request.max_age}")
        if not request.continues:
            return
        if request.mode == "mask":
            raise Refused(Status.REJECTED, 'only chat can be continued: leave mode empty or say "chat"')
        newest = self._conversation.request_id if self._conversation is not None else None
        if request.continues != newest:
            instead = "there is none" if newest is None else f'that is "{newest}"'
            raise Refused(
                Status.REJECTED,
                f'"{request.continues[:50]}" cannot be continued, only the newest chat answer can: {instead}',
            )

    def _mode(self, request: Request) -> str:
        return "chat" if request.continues else request.mode or self._parameters["mode"]

    def _remember(self, request: Request, seen: Seen, perception: Perception) -> None:
        """Keep a chat on the camera's frame, so that a goal can go on from it."""
        if self._mode(request) == "chat" and request.image is None:
            earlier = self._conversation.turns if request.continues else []
            turns = [*earlier, (request.query, perception.answer)]
            self._conversation = Conversation(request.id, replace(seen, remark=""), turns)

    def _look(self, request: Request) -> Seen:
        """The frame that the request is about. Raises Refused when there is none or it cannot be read."""
        if request.continues:
            return self._conversation.seen
        if request.image is not None:
            try:
                color = conversions.color_image(request.image.color, self._parameters["max_image_pixels"])
            except ConversionError as error:
                raise Refused(Status.REJECTED, f"color: {error}") from error
            has_depth, has_camera = len(request.image.depth.data) > 0, any(request.image.camera_info.k)
            names = {"depth": "depth", "camera_info": "camera_info"}
            return self._assemble(
                color,
                request.image.color.header,
                request.image.depth if has_depth else "the request has no depth image",
                request.image.camera_info if has_camera else "the request has no camera_info",
                names,
            )
        return self._newest(request)

    def _newest(self, request: Request) -> Seen:
        """The newest frame of the camera topics."""
        inputs, buffer, parameters = self.inputs, self.buffer, self._parameters
        if inputs is None or buffer is None:
            raise Refused(Status.NO_FRAME, "the node is not active")
        tolerance = parameters["sync_tolerance"]
        pair = buffer.newest(
            round(tolerance * 1e9), timeout=parameters["frame_timeout"], should_stop=lambda: request.cancelled
        )
        if request.cancelled:
            raise Cancelled
        if pair is None:
            raise Refused(Status.NO_FRAME, f"no image has arrived on {inputs.color_topic}")
        age = (self._now_ns() - pair.color.stamp_ns) / 1e9
        max_age = request.max_age or parameters["max_age"]
        if max_age and age > max_age:
            raise Refused(
                Status.NO_FRAME,
                f"the newest image on {inputs.color_topic} is {age:.2f} s old; max_age is {max_age:g} s",
            )
        try:
            message = deserialize_message(pair.color.message, inputs.color_type)
            color = conversions.color_image(message, parameters["max_image_pixels"])
        except ConversionError as error:
            raise Refused(Status.FAILED, f"{inputs.color_topic}: {error}") from error
        depth: Image | str = self._why_no_depth(pair, inputs, tolerance)
        if pair.depth is not None:
            depth = deserialize_message(pair.depth.message, inputs.depth_type)
        camera_info: CameraInfo | str = f"no message has arrived on {inputs.camera_info_topic}"
        if pair.camera_info is not None:
            camera_info = deserialize_message(pair.camera_info.message, CameraInfo)
        names = {"depth": inputs.depth_topic, "camera_info": inputs.camera_info_topic}
        seen = self._assemble(color, message.header, depth, camera_info, names)
        seen.key = pair.color
        silence = time.monotonic() - pair.color.arrived
        if silence > parameters["input_timeout"]:
            seen.remark = f"the newest image on {inputs.color_topic} arrived {silence:.1f} s ago"
        return seen

    @staticmethod
    def _why_no_depth(pair: Pair, inputs: Inputs, tolerance: float) -> str:
        if pair.stamp_gap_ns is None:
            return f"no depth image has arrived on {inputs.depth_topic}"
        gap = pair.stamp_gap_ns / 1e9
        where = f"the nearest image on {inputs.depth_topic} is {gap:.3f} s away from the colour image"
        return f"{where}; sync_tolerance is {tolerance:g} s"

    def _assemble(
        self, color: Any, header: Header, depth: Image | str, camera_info: CameraInfo | str, names: dict[str, str]
    ) -> Seen:
        """A frame of what is there; a text in place of a message says why it is not."""
        missing, camera, pixels = [], None, None
        height, width = color.shape[:2]
        if isinstance(camera_info, str):
            missing.append(camera_info)
        else:
            try:
                camera = conversions.camera_of(camera_info, width, height)
            except ConversionError as error:
                missing.append(f"{names['camera_info']}: {error}")
        if isinstance(depth, str):
            missing.append(depth)
        else:
            try:
                limits = self._parameters["depth_scale"], self._parameters["max_image_pixels"]
                pixels = conversions.depth_image(depth, *limits)
                Frame(color, depth=pixels)
            except ValueError as error:
                missing.append(f"{names['depth']}: {error}")
                pixels = None
        stamp = conversions.stamp_ns(header.stamp)
        frame = Frame(color, camera, pixels, stamp, header.frame_id)
        info = None
        if camera is not None:
            info, info.header = camera_info, header
        return Seen(frame, header, info, missing)

    def _perceive(self, request: Request, seen: Seen, stages: Stages) -> Perception:
        """Ask the model. The frame is encoded at most once, however many queries follow."""
        stages.begin("encode")
        if seen.key is not None and self._encoded is not None and self._encoded[0] is seen.key:
            encoded = self._encoded[1]
        else:
            self._encoded = None  # frees the old one before the new one needs the memory
            encoded = self.engine.encode(seen.frame.color)
            if seen.key is not None:
                self._encoded = (seen.key, encoded)
        stages.begin("segment")
        try:
            (perception,) = perceive(
                self.engine,
                seen.frame,
                [request.query],
                encoded=encoded,
                mode=self._mode(request),
                lift_options=self._parameters.lift_options(),
                should_stop=lambda: request.cancelled,
                **self._chat_options(request),
            )
        except QueryError as error:
            raise Refused(Status.REJECTED, str(error)) from error
        stages.replace(
            [(name, seconds) for name, seconds in perception.seconds.items() if name not in ("encode", "total")]
        )
        if perception.status == Status.NO_DEPTH and seen.missing:
            perception.message = "the target is found, but not lifted: " + "; ".join(seen.missing)
        if request.target_frame not in ("", seen.frame.frame_id) and perception.instances:
            perception.status = Status.NO_TRANSFORM
            perception.message = (
                f'no transform from "{seen.frame.frame_id}" to "{request.target_frame}": '
                "this node does not use TF yet, the mask is published"
            )
            unlifted = {"cloud": None, "centroid": None, "box": None, "status_3d": "NO_DEPTH"}
            perception.instances = [replace(instance, **unlifted) for instance in perception.instances]
        if seen.remark:
            perception.message = "; ".join(filter(None, [perception.message, seen.remark]))
        return perception

    def _chat_options(self, request: Request) -> dict[str, Any]:
        """What Engine.ask needs to know for chat only."""
        if self._mode(request) != "chat":
            return {}
        options: dict[str, Any] = {"max_new_tokens": self._parameters["max_new_tokens"]}
        if request.continues:
            options["history"] = self._conversation.turns
        if (tell := request.on_text) is not None:
            options["on_text"] = lambda index, text: tell(text)
        return options

    def _outputs(self, seen: Seen, perception: Perception, *, only_images: bool) -> Outputs:
        """The messages of an answered query; overlay and markers only for those who listen."""
        masks = [instance.mask for instance in perception.instances]
        shape = seen.frame.color.shape[:2]
        outputs = Outputs(
            mask=messages.to_mask(seen.header, masks, shape),
            instances=messages.to_instances(seen.header, masks, shape),
            points=messages.to_cloud(
                seen.header, [i.cloud for i in perception.instances if i.status_3d == "LIFTED"]
            ),
            camera_info=seen.camera_info,
        )
        if not only_images and self._publishers.wants("overlay"):
            title = f"{perception.query}  {perception.status.name}  p={perception.target_probability:.2f}"
            outputs.overlay = messages.to_image(
                seen.header, draw_overlay(seen.frame.color, masks, title=title), "rgb8"
            )
        if not only_images and self._publishers.wants("markers"):
            outputs.markers = messages.to_markers(seen.header, perception.instances, perception.query)
        return outputs

    # ---- the one end ----
    def _plain(
        self, request: Request, status: Status, message: str, stages: Stages | None = None
    ) -> SegmentationResult:
        """A result without a frame."""
        result = SegmentationResult(query=request.query, status=int(status), message=message)
        if len(request.query) > self._parameters["max_query_length"]:
            result.query = request.query[:ECHO_LENGTH]
        if stages is not None:
            stages.end()
            result.stages = messages.to_stages(stages.seconds)
        return result

    def _end(self, request: Request, reply: Reply, stages: Stages | None = None) -> None:
        """Publish outputs and result and tell the client: once per request, whoever comes second is ignored."""
        if not request.claim():
            return
        result = reply.result
        result.request_id = request.id
        if self.engine is not None:
            result.model, result.device = str(self.engine.name), str(self.engine.device)
        try:
            if reply.outputs is not None and request.image is None:
                self._publishers.publish(reply.outputs)
            if stages is not None:
                stages.end()
                result.stages = messages.to_stages(stages.seconds)
            stamp = conversions.stamp_ns(result.header.stamp)
            result.age = (self._now_ns() - stamp) / 1e9 if stamp else 0.0
            self._results.publish(result)
        finally:
            request.on_end(reply)
