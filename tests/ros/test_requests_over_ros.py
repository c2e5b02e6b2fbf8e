"""The action and the service: the same path as the query topic, with feedback, cancel and an image of the request's
own.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.srv import SegmentImage
from node_harness import CAMERA, HEIGHT, WIDTH, depth_picture, red_box_picture, wait_for
from rclpy.action import ActionClient
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from lisa_ros.node import conversions, messages


@pytest.fixture
def goals(client):
    goals = ActionClient(client.node, Segment, "lisa/segment")
    yield goals
    goals.destroy()


def show_frame(lisa, client):
    client.connect()
    client.show()
    client.until(lambda: lisa.frames() > 0)
    client.settle()


def finished(client, future):
    client.until(future.done)
    return future.result()


def send(client, goals, goal, feedback=None):
    client.until(goals.server_is_ready)
    handle = finished(client, goals.send_goal_async(goal, feedback_callback=feedback))
    assert handle.accepted
    return handle


def test_goal_succeeds_with_feedback_for_every_stage(lisa, client, goals):
    show_frame(lisa, client)
    stages = []
    handle = send(client, goals, Segment.Goal(query="the red box"), lambda m: stages.append(m.feedback))
    answer = finished(client, handle.get_result_async())
    client.settle()
    assert answer.status == GoalStatus.STATUS_SUCCEEDED and answer.result.result.status == Result.FOUND
    assert [f.stage for f in stages] == ["waiting", "convert", "encode", "segment", "publish"]
    assert {f.request_id for f in stages} == {answer.result.result.request_id}
    assert [r.request_id for r in client.results] == [answer.result.result.request_id]
    assert client.output("mask").header == answer.result.result.header


def chat(client, goals, query, **fields):
    """(result, feedback) of a goal in chat mode."""
    heard = []
    goal = Segment.Goal(query=query, mode=fields.pop("mode", "chat"), **fields)
    handle = send(client, goals, goal, lambda message: heard.append(message.feedback))
    answer = finished(client, handle.get_result_async())
    client.settle()
    return answer.result.result, heard


def test_feedback_carries_the_answer_while_it_is_written(lisa, client, goals):
    show_frame(lisa, client)
    lisa.engine.pace = 0.04
    result, heard = chat(client, goals, "the red box")
    assert result.status == Result.FOUND and result.answer == "[SEG]. It is that one."
    stages = [feedback.stage for feedback in heard]
    assert list(dict.fromkeys(stages)) == ["waiting", "convert", "encode", "segment", "publish"]
    assert stages == sorted(stages, key=["waiting", "convert", "encode", "segment", "publish"].index)
    texts = [feedback.answer for feedback in heard]
    assert texts[:4] == [""] * 4 and texts[4] == "[SEG]."  # the first word at once
    assert all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:]))
    last = max(index for index, stage in enumerate(stages) if stage == "segment")
    assert texts[last] == texts[-1] == result.answer


def test_mask_mode_writes_no_text(lisa, client, goals):
    show_frame(lisa, client)
    _, heard = chat(client, goals, "the red box", mode="mask")
    assert [feedback.answer for feedback in heard] == [""] * 5
    assert "on_text" not in lisa.engine.options and "max_new_tokens" not in lisa.engine.options


def test_max_new_tokens_is_the_parameter(make_node, client, goals):
    lisa = make_node(max_new_tokens=7)
    show_frame(lisa, client)
    chat(client, goals, "the red box")
    assert lisa.engine.options["max_new_tokens"] == 7


def test_a_goal_goes_on_from_the_newest_chat(lisa, client, goals):
    show_frame(lisa, client)
    first, _ = chat(client, goals, "the red box")
    header = client.header(shift=1.0)
    black = messages.to_image(header, np.zeros((HEIGHT, WIDTH, 3), np.uint8), "rgb8")
    client.show(header=header, color=black)
    client.until(lambda: lisa.frames() > 1)
    client.settle()
    for received in client.outputs.values():
        received.clear()
    second, _ = chat(client, goals, "show it again", continues=first.request_id, mode="", max_age=0.001)
    assert second.status == Result.FOUND and second.header == first.header
    assert client.output("mask").header == first.header
    assert lisa.engine.options["history"] == [("the red box", first.answer)]
    assert lisa.engine.encoded_frames == 1
    third, _ = chat(client, goals, "and now", continues=second.request_id)
    assert third.status == Result.FOUND
    assert [query for query, _ in lisa.engine.options["history"]] == ["the red box", "show it again"]


def test_queries_between_the_turns_do_not_end_a_conversation(lisa, client, goals):
    show_frame(lisa, client)
    first, _ = chat(client, goals, "the red box")
    show_frame(lisa, client)
    assert client.ask("the blue box").status == Result.NOT_FOUND  # another frame, mask mode, no conversation
    assert "history" not in lisa.engine.options
    second, _ = chat(client, goals, "show it again", continues=first.request_id)
    assert second.status == Result.FOUND and second.header == first.header
    assert lisa.engine.encoded_frames == 3  # the frame of the conversation had to make room


def test_only_the_newest_chat_can_be_continued(lisa, client, goals):
    show_frame(lisa, client)
    result, _ = chat(client, goals, "show it again", continues="q0")
    assert result.status == Result.REJECTED and '"q0" cannot be continued' in result.message
    first, _ = chat(client, goals, "the red box")
    newest, _ = chat(client, goals, "the blue box")
    result, _ = chat(client, goals, "show it again", continues=first.request_id)
    assert result.status == Result.REJECTED and f'that is "{newest.request_id}"' in result.message
    result, _ = chat(client, goals, "show it again", continues=newest.request_id, mode="mask")
    assert result.status == Result.REJECTED and "only chat can be continued" in result.message
    result, _ = chat(client, goals, "the white box", continues=newest.request_id)
    assert result.status == Result.NOT_FOUND


def test_cancel_while_running(lisa, client, goals):
    show_frame(lisa, client)
    handle = send(client, goals, Segment.Goal(query="slow red"))
    result = handle.get_result_async()
    client.until(lisa.engine.started.is_set)
    begun = time.monotonic()
    assert len(finished(client, handle.cancel_goal_async()).goals_canceling) == 1
    answer = finished(client, result)
    assert time.monotonic() - begun < 2.0
    assert answer.status == GoalStatus.STATUS_CANCELED and answer.result.result.status == Result.CANCELLED
    client.settle()
    assert len(client.results) == 1
    assert client.ask("the red box").status == Result.FOUND


def test_cancel_while_waiting(lisa, client, goals):
    show_frame(lisa, client)
    send(client, goals, Segment.Goal(query="slow red"))
    client.until(lisa.engine.started.is_set)
    handle = send(client, goals, Segment.Goal(query="red waits"))
    result = handle.get_result_async()
    finished(client, handle.cancel_goal_async())
    assert finished(client, result).status == GoalStatus.STATUS_CANCELED
    assert lisa.engine.asked == ["slow red"]


@pytest.mark.parametrize(
    "goal, status, says",
    [
        (Segment.Goal(query=""), Result.REJECTED, "empty"),
        (Segment.Goal(query="red", mode="poem"), Result.REJECTED, "mode"),
        (Segment.Goal(query="red", max_age=float("nan")), Result.REJECTED, "max_age"),
        (Segment.Goal(query="raise"), Result.FAILED, "simulated"),
    ],
)
def test_bad_goals_are_aborted_with_their_reason(lisa, client, goals, goal, status, says):
    show_frame(lisa, client)
    answer = finished(client, send(client, goals, goal).get_result_async())
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert answer.result.result.status == status and says in answer.result.result.message


def test_unknown_target_frame_gives_the_mask_and_names_both_frames(lisa, client, goals):
    show_frame(lisa, client)
    answer = finished(
        client, send(client, goals, Segment.Goal(query="red", target_frame="base_link")).get_result_async()
    )
    result = answer.result.result
    assert result.status == Result.NO_TRANSFORM and '"camera"' in result.message and '"base_link"' in result.message
    assert client.output("mask") and not client.outputs["points"]


def test_executor_answers_parameter_calls_while_a_query_runs(lisa, client):
    show_frame(lisa, client)
    client.query.publish(conversions_string("slow red"))
    client.until(lisa.engine.started.is_set)
    parameters = AsyncParameterClient(client.node, "lisa")
    client.until(parameters.services_are_ready)
    begun = time.monotonic()
    values = finished(client, parameters.get_parameters(["mode"])).values
    assert values[0].string_value == "mask" and time.monotonic() - begun < 0.5


def conversions_string(text):
    from std_msgs.msg import String

    return String(data=text)


def image_request(query="the red box", **changes):
    header = Header(frame_id="phone")
    fields = {
        "color": messages.to_image(header, red_box_picture(), "rgb8"),
        "depth": messages.to_image(header, depth_picture(), "16UC1"),
        "camera_info": messages.to_camera_info(header, CAMERA),
    }
    return SegmentImage.Request(query=query, **(fields | changes))


@pytest.fixture
def call(client):
    service = client.node.create_client(SegmentImage, "lisa/segment_image")

    def call(request):
        client.until(service.service_is_ready)
        return finished(client, service.call_async(request))

    return call


def test_service_answers_about_the_image_it_is_given(lisa, client, call):
    client.connect()
    response = call(image_request())
    assert response.result.status == Result.FOUND and response.result.header.frame_id == "phone"
    mask = conversions.image_array(response.mask)
    assert mask.shape == (HEIGHT, WIDTH) and np.count_nonzero(mask) == 2400
    assert response.points.width == response.result.instances[0].point_count > 1000
    client.until(lambda: len(client.results) == 1)
    client.settle()
    assert not client.outputs["mask"] and not client.outputs["points"]


def test_service_without_depth_and_with_a_bad_image(lisa, client, call):
    response = call(image_request(depth=Image()))
    assert response.result.status == Result.NO_DEPTH and response.mask.data and response.points.width == 0
    response = call(image_request(color=Image(encoding="yuv422", width=2, height=2)))
    assert response.result.status == Result.REJECTED and "yuv422" in response.result.message


def test_two_services_calls_and_a_query_all_get_their_own_answer(lisa, client, call):
    show_frame(lisa, client)
    lisa.engine.release.set()
    assert client.ask("slow red").status == Result.FOUND
    assert call(image_request("slow blue")).result.status == Result.NOT_FOUND
    assert threading.active_count() < 30 and wait_for(lisa.engine.started) is None
