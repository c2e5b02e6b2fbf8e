"""A planner's side of the node: goals, cancels, service calls and lifecycle transitions, each waited for."""

from __future__ import annotations

from typing import Any

import pytest
from action_msgs.srv import CancelGoal
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult
from lisa_ros.srv import SegmentImage
from node_harness import CAMERA, Client, depth_picture, red_box_picture
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.task import Future
from std_msgs.msg import Header

from lisa_ros.node import messages

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
}


class Goal:
    """A goal that the node has accepted. feedback: what it was told so far."""

    def __init__(self, planner: Planner, fields: dict[str, Any]) -> None:
        self._client, self.feedback = planner.client, []
        sent = planner.actions.send_goal_async(
            Segment.Goal(**fields), feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        self.handle: ClientGoalHandle = finished(self._client, sent)
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    def reaches(self, stage: str) -> None:
        """Wait until a stage begins."""
        self._client.until(lambda: any(feedback.stage == stage for feedback in self.feedback))

    def cancel(self) -> CancelGoal.Response:
        """Ask for a cancel; the node's answer to that."""
        return finished(self._client, self.handle.cancel_goal_async())

    def result(self) -> tuple[int, SegmentationResult]:
        """(GoalStatus, result), once it is there."""
        answer = finished(self._client, self._result)
        return answer.status, answer.result.result


class Planner:
    """Action, service and lifecycle clients of one node of ours."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.actions = ActionClient(client.node, Segment, "lisa/segment")
        self.images = client.node.create_client(SegmentImage, "lisa/segment_image")
        self.states = client.node.create_client(GetState, "lisa/get_state")
        self.changes = client.node.create_client(ChangeState, "lisa/change_state")

    def goal(self, query: str = "the red box", **fields: Any) -> Goal:
        """Send a goal; returns when it is accepted."""
        self.client.until(self.actions.server_is_ready)
        return Goal(self, {"query": query, **fields})

    def image_call(self, query: str = "the red box") -> Future:
        """Call the service with a good picture."""
        self.client.until(self.images.service_is_ready)
        return self.images.call_async(image_request(query))

    def change(self, transition: str) -> Future:
        """Ask for a lifecycle transition, as `ros2 lifecycle set` does."""
        self.client.until(self.changes.service_is_ready)
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        return self.changes.call_async(request)

    def changed(self, transition: str) -> bool:
        """Whether the transition succeeded."""
        return finished(self.client, self.change(transition)).success

    def state(self) -> str:
        """The lifecycle state, asked over ROS."""
        self.client.until(self.states.service_is_ready)
        return finished(self.client, self.states.call_async(GetState.Request())).current_state.label

    def close(self) -> None:
        self.actions.destroy()


def finished(client: Client, future: Future) -> Any:
    """The future's result."""
    client.until(future.done)
    return future.result()


def image_request(query: str) -> SegmentImage.Request:
    """A request that brings its own picture of the red box."""
    header = Header(frame_id="phone")
    return SegmentImage.Request(
        query=query,
        color=messages.to_image(header, red_box_picture(), "rgb8"),
        depth=messages.to_image(header, depth_picture(), "16UC1"),
        camera_info=messages.to_camera_info(header, CAMERA),
    )


@pytest.fixture
def planner(client):
    planner = Planner(client)
    yield planner
    planner.close()
