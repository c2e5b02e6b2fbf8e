"""From a request to its one result: frame -> encode -> perceive -> place -> publish. Runs in the worker thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lisa_ros.engine.isolation import EngineRestarted
from lisa_ros.engine.segmentation import Cancelled, QueryError
from lisa_ros.geometry import background, scene
from lisa_ros.msg import SegmentationResult
from lisa_ros.node import conversions, messages
from lisa_ros.node.camera_port import CameraPort
from lisa_ros.node.diagnostics import Tally
from lisa_ros.node.frame_buffer import Pair, Received
from lisa_ros.node.parameters import Parameters
from lisa_ros.node.publishers import Outputs, ResultPublisher
from lisa_ros.node.requests import Request
from lisa_ros.node.seeing import Refused, Seeing, Seen
from lisa_ros.node.stages import Stages
from lisa_ros.node.target_frame import TargetFrame
from lisa_ros.node.transforms import Transforms
from lisa_ros.overlay import draw_overlay
from lisa_ros.perception import Perception, Status, perceive

ECHO_LENGTH = 200
"""Characters of a query that was refused for its length which its result still shows."""


@dataclass
class Reply:
    """What ends a request: the result, and the outputs when the model answered."""

    result: SegmentationResult
    outputs: Outputs | None = None


@dataclass
class Conversation:
    """A chat on a frame of a camera, as far as it went.

    request_id: of the last turn. turns: (query, answer).
    """

    request_id: str
    seen: Seen
    turns: list[tuple[str, str]]


class Answering:
    """Owns the path of a request.

    cameras: by name, the first one answers requests that name none. now_ns: the node's clock. transforms: those of the
    active node, None otherwise.
    """

    def __init__(
        self,
        engine: Any,
        parameters: Parameters,
        cameras: Sequence[CameraPort],
        result_publisher: ResultPublisher,
        tally: Tally,
        now_ns: Callable[[], int],
        logger: Any,
    ) -> None:
        self.engine = engine
        self.transforms: Transforms | None = None
        self._parameters, self._cameras = parameters, {camera.name: camera for camera in cameras}
        self._result_publisher, self._tally, self._now_ns, self._logger = result_publisher, tally, now_ns, logger
        self._seeing = Seeing(parameters, now_ns)
        self._encoded: dict[str, tuple[Received, Any]] = {}
        self._conversation: Conversation | None = None
        self._engine_lock = threading.Lock()  # a worker that was given up on may still be inside

    # ---- for Requests ----
    def refusal(self, request: Request) -> str:
        """Why a request is not acceptable, whatever the camera shows; empty when it is."""
        limit = self._parameters["max_query_length"]
        if len(request.query) > limit:
            return f"the query has {len(request.query)} characters; max_query_length is {limit}"
        if not request.query.strip():
            return "the query is empty: say what to look for"
        if request.mode not in ("", "mask", "chat"):
            return f'mode must be "mask" or "chat", got "{request.mode[:50]}"'
        if not request.max_age >= 0:
            return f"max_age must be 0 or more seconds, got {request.max_age}"
        if request.camera and request.camera not in self._cameras:
            known = ", ".join(f'"{name}"' for name in self._cameras)
            return f'there is no camera "{request.camera[:50]}"; the parameter cameras has {known}'
        if request.continues and request.mode == "mask":
            return 'only chat can be continued: leave mode empty or say "chat"'
        if request.continues and request.standing:
            return "a standing query cannot continue a conversation, which is about one frame"
        return ""

    def next_frame(self, request: Request, should_stop: Callable[[], bool]) -> Pair | None:
        """A frame that a standing query has not been answered for; None when none comes within a moment."""
        return self._seeing.next_pair(self._camera(request), request.frame, should_stop)

    def answer(self, request: Request) -> None:
        """Answer a request; anything unforeseen is raised."""
        stages = Stages(request)
        try:
            stages.begin("convert")
            seen = self._look(request)
            target_frame = self._target_frame(request, seen)
            with self._engine_lock:
                perception = self._perceive(request, seen, stages)
            if target_frame.moves():
                stages.begin("transform")
                target_frame.place(perception)
            stages.begin("publish")
            outputs = self._outputs(request, seen, perception, target_frame)
        except Refused as refusal:
            self._end(request, Reply(self._plain(request, refusal.status, str(refusal), stages)))
        except Cancelled:
            self.end(request, Status.CANCELLED, request.cancel_reason)
        else:
            self._remember(request, seen, perception)
            result = messages.to_result(perception, stages.seconds)
            result.header, result.target_frame = seen.header, target_frame.name
            self._end(request, Reply(result, outputs), stages)

    def end(self, request: Request, status: Status, reason: str) -> None:
        """End a request without an answer."""
        self._end(request, Reply(self._plain(request, status, reason)))

    def fail(self, request: Request, error: Exception) -> None:
        """End a request as FAILED."""
        self._encoded.clear()  # whatever state the model is in, start the next query afresh
        message = f"{type(error).__name__}: {error}"
        self._logger.error(f"query {request.id} failed: {message}")
        self.end(request, Status.FAILED, message[:500])

    def forget(self) -> None:
        """Let go of everything that belongs to the engine or a frame."""
        self.engine, self._conversation = None, None
        self._encoded.clear()

    # ---- the path ----
    def _camera(self, request: Request) -> CameraPort:
        return self._cameras[request.camera or next(iter(self._cameras))]

    def _mode(self, request: Request) -> str:
        return "chat" if request.continues else request.mode or self._parameters["mode"]

    def _look(self, request: Request) -> Seen:
        """The frame that the request is about. Raises Refused when there is none or it cannot be read."""
        if request.image is not None:
            return self._seeing.own_frame(request.image)
        if not request.continues:
            return self._seeing.camera_frame(request, self._camera(request))
        newest = self._conversation.request_id if self._conversation is not None else None
        if request.continues != newest:
            instead = "there is none" if newest is None else f'that is "{newest}"'
            raise Refused(
                Status.REJECTED,
                f'"{request.continues[:50]}" cannot be continued, only the newest chat answer can: {instead}',
            )
        return self._conversation.seen

    def _target_frame(self, request: Request, seen: Seen) -> TargetFrame:
        """Looked up now, before the model takes its time: buffers of transforms are short."""
        name = request.target_frame or self._parameters["target_frame"] if request.image is None else ""
        timeout = self._parameters["transform_timeout"]
        return TargetFrame(name, seen.frame, self.transforms, timeout=timeout, should_stop=lambda: request.cancelled)

    def _perceive(self, request: Request, seen: Seen, stages: Stages) -> Perception:
        """Ask the model. An engine that was started again in between has forgotten the frame: it gets it once more."""
        try:
            perception = self._ask(request, seen, stages)
        except EngineRestarted:
            self._encoded.clear()
            perception = self._ask(request, seen, stages)
        except QueryError as error:
            raise Refused(Status.REJECTED, str(error)) from error
        stages.replace(
            [(name, seconds) for name, seconds in perception.seconds.items() if name not in ("encode", "total")]
        )
        if perception.status == Status.NO_DEPTH and seen.missing:
            perception.message = "the target is found, but not lifted: " + "; ".join(seen.missing)
        if seen.remark:
            perception.message = "; ".join(filter(None, [perception.message, seen.remark]))
        return perception

    def _ask(self, request: Request, seen: Seen, stages: Stages) -> Perception:
        """A camera's newest frame is encoded at most once, however many queries follow."""
        stages.begin("encode")
        camera = self._camera(request).name
        key, encoded = self._encoded.get(camera, (None, None))
        if seen.key is None or seen.key is not key:
            if seen.key is not None:
                self._encoded.pop(camera, None)  # frees the old one before the new one needs the memory
            encoded = self.engine.encode(seen.frame.color)
            if seen.key is not None:
                self._encoded[camera] = (seen.key, encoded)
        stages.begin("segment")
        (perception,) = perceive(
            self.engine,
            seen.frame,
            [request.query],
            encoded=encoded,
            mode=self._mode(request),
            split=self._parameters["split"],
            lift_options=self._parameters.lift_options(),
            should_stop=lambda: request.cancelled,
            **self._chat_options(request),
        )
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

    def _remember(self, request: Request, seen: Seen, perception: Perception) -> None:
        """Keep a chat on a camera's frame, so that a goal can go on from it."""
        if self._mode(request) == "chat" and request.image is None:
            earlier = self._conversation.turns if request.continues else []
            turns = [*earlier, (request.query, perception.answer)]
            self._conversation = Conversation(request.id, replace(seen, remark=""), turns)

    def _outputs(self, request: Request, seen: Seen, perception: Perception, target_frame: TargetFrame) -> Outputs:
        """The messages of an answered query; what costs time only for those who listen."""
        masks = [instance.mask for instance in perception.instances]
        shape = seen.frame.color.shape[:2]
        header_3d = target_frame.header(seen.header)
        outputs = Outputs(
            mask=messages.to_mask(seen.header, masks, shape),
            instances=messages.to_instances(seen.header, masks, shape),
            points=messages.to_cloud(header_3d, [i.cloud for i in perception.instances if i.status_3d == "LIFTED"]),
            camera_info=seen.camera_info,
        )
        if request.image is not None:
            return outputs
        publishers = self._camera(request).publishers
        if publishers.wants("overlay"):
            title = f"{perception.query}  {perception.status.name}  p={perception.target_probability:.2f}"
            picture = draw_overlay(seen.frame.color, masks, title=title)
            outputs.overlay = messages.to_image(seen.header, picture, "rgb8")
        if publishers.wants("markers"):
            outputs.markers = messages.to_markers(header_3d, perception.instances, perception.query)
        if publishers.wants("detections"):
            outputs.detections = messages.to_detections(header_3d, perception)
        if seen.frame.depth is not None and seen.frame.camera is not None:
            self._add_surroundings(outputs, request, seen, masks, publishers)
        return outputs

    def _add_surroundings(self, outputs: Outputs, request: Request, seen: Seen, masks: list, publishers: Any) -> None:
        """Background and scene clouds. Always in the optical frame: octomaps and grasp nets take the cloud's origin for
        the place from which it was seen.
        """
        frame, lift_options = seen.frame, self._parameters.lift_options()
        if request.background or publishers.wants("background"):
            cloud = background(
                masks,
                frame.depth,
                frame.camera,
                frame.color,
                min_depth=lift_options["min_depth"],
                max_depth=lift_options["max_depth"],
                margin=self._parameters["background_margin"],
                voxel=self._parameters["background_voxel"],
            )
            outputs.background = messages.to_cloud(seen.header, [cloud])
        if request.background or publishers.wants("scene"):
            cloud, labels = scene(masks, frame.depth, frame.camera, frame.color, **lift_options)
            outputs.scene = messages.to_scene(seen.header, cloud, labels)

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
        result.request_id, result.camera = request.id, request.camera
        if (engine := self.engine) is not None:
            result.model, result.device = str(engine.name), str(engine.device)
        stamp = conversions.stamp_ns(result.header.stamp)
        try:
            if reply.outputs is not None and request.image is None:
                self._camera(request).publishers.publish(reply.outputs)
            if stages is not None:
                stages.end()
                result.stages = messages.to_stages(stages.seconds)
            result.age = (self._now_ns() - stamp) / 1e9 if stamp else 0.0
            self._result_publisher.publish(result)
        finally:
            times = [(stage.stage, stage.seconds) for stage in result.stages]
            self._tally.note(result.status, times, result.age if stamp else None, result.message)
            request.on_end(reply)
