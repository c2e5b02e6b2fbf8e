"""`~/segment` (action) and `~/segment_image` (service): two more doors to the same request path as the query topic."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult
from lisa_ros.node.answering import Reply
from lisa_ros.node.feedback import Feedback
from lisa_ros.node.requests import Request
from lisa_ros.srv import SegmentImage

ANSWERED = (
    SegmentationResult.FOUND,
    SegmentationResult.NOT_FOUND,
    SegmentationResult.NO_DEPTH,
    SegmentationResult.NO_TRANSFORM,
)
"""Statuses with which a goal has succeeded: the model answered."""


class Servers:
    """Coroutines wait for the worker, so the executor stays free. `submit` and `cancel` are those of the node's
    requests.
    """

    def __init__(self, node: Node, submit: Callable[[Request], None], cancel: Callable[[Request, str], None]) -> None:
        self._node, self._submit, self._cancel = node, submit, cancel
        self._goals: dict[bytes, Request] = {}
        group = ReentrantCallbackGroup()  # a waiting service call must not keep the others out
        self._action = ActionServer(
            node, Segment, "~/segment", self._run_goal, callback_group=group, cancel_callback=self._on_cancel
        )
        self._service = node.create_service(SegmentImage, "~/segment_image", self._on_image, callback_group=group)
        self._open = 0

    def busy(self) -> bool:
        """Whether a client still waits for its answer."""
        return self._open > 0

    def destroy(self) -> None:
        """Take action and service off the network."""
        self._action.destroy()
        self._node.destroy_service(self._service)

    async def _run_goal(self, goal: ServerGoalHandle) -> Segment.Result:
        key, done, wish = bytes(goal.goal_id.uuid), Future(), goal.request
        request = Request(
            wish.query,
            wish.mode,
            wish.max_age,
            wish.target_frame,
            wish.camera,
            continues=wish.continues,
            background=wish.want_background,
            standing=wish.standing,
        )
        feedback, wake = Feedback(goal.publish_feedback, request.id), self._waker(done)

        def end(reply: Reply) -> None:
            feedback.close()
            wake(reply)

        request.on_stage, request.on_text, request.on_end = feedback.begin, feedback.write, end
        request.on_frame = feedback.count
        if goal.is_cancel_requested:
            request.cancel("cancelled by the client")
        self._goals[key] = request
        feedback.begin("waiting")
        try:
            reply: Reply = await self._wait(request, done)
        finally:
            del self._goals[key]
        status = reply.result.status
        if status == SegmentationResult.CANCELLED and goal.is_cancel_requested:
            goal.canceled()
        elif status in ANSWERED:
            goal.succeed()
        else:
            goal.abort()
        return Segment.Result(result=reply.result)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        request = self._goals.get(bytes(goal.goal_id.uuid))
        if request is not None:
            self._cancel(request, "cancelled by the client")
        return CancelResponse.ACCEPT

    async def _on_image(self, wish: SegmentImage.Request, response: SegmentImage.Response) -> SegmentImage.Response:
        done = Future()
        reply: Reply = await self._wait(Request(wish.query, wish.mode, image=wish, on_end=self._waker(done)), done)
        response.result = reply.result
        if reply.outputs is not None:
            response.mask, response.instances = reply.outputs.mask, reply.outputs.instances
            if reply.outputs.points is not None:
                response.points = reply.outputs.points
        return response

    async def _wait(self, request: Request, done: Future) -> Reply:
        self._open += 1
        try:
            self._submit(request)
            return await done
        finally:
            self._open -= 1

    def _waker(self, done: Future) -> Callable[[Reply], None]:
        """Resolves the future from the worker thread and wakes the executor, which looks at its coroutines only when
        it wakes.
        """

        def end(reply: Reply) -> None:
            done.set_result(reply)
            if (executor := self._node.executor) is not None:
                executor.wake()

        return end
