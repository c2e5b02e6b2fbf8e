"""Queries that are empty, endless, not text, too many, or for what is not there; standing queries on bad days."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from campaign import fault
from lisa_ros.msg import SegmentationResult as Result
from planner import finished, image_request
from rig import STATUS, arrive, ask, each_ended_once, ends, set_parameter, still_answers
from std_msgs.msg import String

from lisa_ros.node import messages

MANY = 1000
BINARY = (b"\xff\xfe\x80 red box", b"\xc3", b"red \xf0\x9f", b"red\x00box", bytes(range(1, 256)))


# ---- the text ----
@fault("an empty query", "`REJECTED` says so")
def test_empty_query(lisa, client):
    client.connect()
    ask(client, Result.REJECTED, "the query is empty: say what to look for", query="")
    still_answers(client, lisa)


@fault("a query of blanks and newlines", "`REJECTED` as empty")
def test_blank_query(lisa, client):
    client.connect()
    ask(client, Result.REJECTED, "the query is empty: say what to look for", query=" \n\r\n\t ")
    still_answers(client, lisa)


@fault("a query of 100 kB", "`REJECTED` gives its length and max_query_length; the result echoes its beginning")
def test_query_of_100_kb(lisa, client):
    client.connect()
    arrive(client, lisa)
    says = "the query has 100000 characters; max_query_length is 1000"
    assert ask(client, Result.REJECTED, says, query="red " * 25_000).query == "red " * 50
    assert lisa.engine.asked == []
    still_answers(client, lisa)


@fault("a query with line breaks", "answered as text, echoed as it came")
def test_query_with_newlines(lisa, client):
    client.connect()
    arrive(client, lisa)
    text = "the\nred\r\nbox\n"
    assert ask(client, Result.FOUND, query=text).query == text
    assert lisa.engine.asked == [text]
    still_answers(client, lisa)


@fault("a query with control characters", "answered as text, echoed as it came")
def test_query_with_control_characters(lisa, client):
    client.connect()
    arrive(client, lisa)
    text = "the red \x01\x02\x1b[31m\x7f\xff\u202e box"
    assert ask(client, Result.FOUND, query=text).query == text
    still_answers(client, lisa)


@fault("a binary query (bytes that are no UTF-8)", "exactly one result; the node's executor survives")
@pytest.mark.parametrize("text", BINARY)
def test_binary_query(lisa, client, text):
    client.connect()
    arrive(client, lisa)
    client.query.publish(b"\x00\x01\x00\x00" + struct.pack("<I", len(text) + 1) + text + b"\x00")
    client.until(lambda: client.results)
    assert client.results[0].status in (Result.FOUND, Result.NOT_FOUND)
    still_answers(client, lisa)
    assert len(client.results) == 2


@fault("a query message cut off on the wire", "dropped by the middleware; the next query is answered")
def test_query_cut_off(lisa, client):
    client.connect()
    client.query.publish(b"\x00\x01\x00\x00" + struct.pack("<I", 1000) + b"the red")
    still_answers(client, lisa)


# ---- what a goal asks for ----
@pytest.mark.parametrize(
    "wish, says",
    [
        pytest.param({"mode": "poem"}, 'mode must be "mask" or "chat", got "poem"', id="mode"),
        pytest.param({"camera": "left"}, 'there is no camera "left"; the parameter cameras has ""', id="camera"),
        pytest.param({"max_age": float("nan")}, "max_age must be 0 or more seconds, got nan", id="max_age"),
        pytest.param({"max_age": -1.0}, "max_age must be 0 or more seconds, got -1.0", id="negative_age"),
        pytest.param({"continues": "q0"}, '"q0" cannot be continued, only the newest chat answer can', id="continues"),
    ],
)
@fault(
    "a goal with an unknown mode or camera, a max_age that is none, a conversation that is not there",
    "`REJECTED` names the field and what it may be; the goal is aborted",
)
def test_goal_for_what_is_not_there(lisa, client, planner, wish, says):
    client.connect()
    arrive(client, lisa)
    status, result = planner.goal(**wish).result()
    assert status == GoalStatus.STATUS_ABORTED
    ends(result, Result.REJECTED, says)
    client.until(lambda: client.results)
    assert client.results[0] == result
    still_answers(client, lisa)


@fault("a goal whose max_age no frame meets", "`NO_FRAME` says how old the frame is; the goal is aborted")
def test_goal_with_max_age(lisa, client, planner):
    client.connect()
    arrive(client, lisa, header=client.header(shift=-60.0))
    status, result = planner.goal(max_age=5.0).result()
    assert status == GoalStatus.STATUS_ABORTED
    ends(result, Result.NO_FRAME, "the newest image on /color/image_raw is", "s old; max_age is 5 s")
    still_answers(client, lisa)


@fault("a service call with a picture that cannot be read", "`REJECTED` names the field and the encoding")
def test_service_with_a_bad_picture(lisa, client, planner):
    client.connect()
    client.until(planner.images.service_is_ready)
    request = image_request("the red box")
    request.color.encoding = "yuv422"
    response = finished(client, planner.images.call_async(request))
    ends(response.result, Result.REJECTED, 'color: encoding "yuv422" is no colour image that is understood')
    assert not response.mask.data and not response.points.data
    still_answers(client, lisa)


# ---- too many ----
def during(lisa, client, count: int) -> Counter:
    """Send so many queries while one runs, then let it go on; how all of them, and that one, ended."""
    arrive(client, lisa)
    client.query.publish(String(data="slow red"))
    client.until(lisa.engine.started.is_set)
    for number in range(count):
        client.query.publish(String(data=f"the red box {number}"))
    expected = count + 1
    held = 1 + (lisa.node.parameters["queue_size"] if lisa.node.parameters["query_policy"] == "fifo" else 1)
    client.until(lambda: len(client.results) >= expected - held)
    lisa.engine.release.set()
    client.until(lambda: len(client.results) >= expected)
    client.settle()
    assert len(client.results) == expected
    assert len({result.query for result in client.results}) == expected
    each_ended_once(client)
    return Counter(STATUS[result.status] for result in client.results)


@fault(
    "1000 queries in a second, newest wins",
    "each has exactly one result: the last one `FOUND`, the others `CANCELLED`",
)
def test_many_queries_newest(lisa, client):
    client.connect()
    assert during(lisa, client, MANY) == {"FOUND": 2, "CANCELLED": MANY - 1}
    (last,) = (result for result in client.results if result.query == f"the red box {MANY - 1}")
    ends(last, Result.FOUND)
    assert all("replaced by the newer query" in r.message for r in client.results if r.status == Result.CANCELLED)
    assert lisa.engine.asked == ["slow red", last.query]
    still_answers(client, lisa)


@fault(
    "1000 queries in a second, first come first served",
    "queue_size of them are answered in order, the others `REJECTED`",
)
def test_many_queries_fifo(make_node, client):
    lisa = make_node(query_policy="fifo", queue_size=20)
    client.connect()
    assert during(lisa, client, MANY) == {"FOUND": 21, "REJECTED": MANY - 20}
    says = "20 queries wait already; queue_size is 20"
    assert {r.message for r in client.results if r.status == Result.REJECTED} == {says}
    assert lisa.engine.asked == ["slow red"] + [f"the red box {number}" for number in range(20)]
    still_answers(client, lisa)


@fault(
    "1000 queries in a second, each preempts",
    "each has exactly one result: the last one `FOUND`, the others `CANCELLED`",
)
def test_many_queries_preempt(make_node, client):
    lisa = make_node(query_policy="preempt")
    client.connect()
    arrive(client, lisa)
    for number in range(MANY):
        client.query.publish(String(data=f"slow red {number}"))
    client.until(lambda: len(client.results) >= MANY - 1)
    lisa.engine.release.set()
    client.until(lambda: len(client.results) >= MANY)
    client.settle()
    assert len(client.results) == MANY == len({result.query for result in client.results})
    assert [result.query for result in client.results if result.status == Result.FOUND] == [f"slow red {MANY - 1}"]
    assert Counter(STATUS[result.status] for result in client.results) == {"FOUND": 1, "CANCELLED": MANY - 1}
    still_answers(client, lisa)


@fault("more queries than max_query_rate", "`REJECTED` names the parameter and its value; the others are answered")
def test_query_rate(make_node, client):
    lisa = make_node(query_policy="fifo", max_query_rate=0.01)
    client.connect()
    arrive(client, lisa)
    for _ in range(5):
        client.query.publish(String(data="the red box"))
    client.until(lambda: len(client.results) == 5)
    assert Counter(STATUS[result.status] for result in client.results) == {"FOUND": 1, "REJECTED": 4}
    says = "too many queries; max_query_rate is 0.01 per second"
    assert {r.message for r in client.results if r.status == Result.REJECTED} == {says}
    set_parameter(lisa, "max_query_rate", 0.0)
    still_answers(client, lisa)


@fault("more standing queries than the node serves at once", "`REJECTED` says how many there are; the others go on")
def test_too_many_standing_queries(lisa, client, planner):
    client.connect()
    arrive(client, lisa)
    standing = [planner.goal(standing=True) for _ in range(16)]
    _, refused = planner.goal(standing=True).result()
    ends(refused, Result.REJECTED, "16 standing queries are being answered already: cancel one")
    for goal in standing:
        goal.cancel()
        ends(goal.result()[1], Result.CANCELLED)
    client.until(lambda: Counter(STATUS[result.status] for result in client.results)["CANCELLED"] >= 16)
    client.settle()
    each_ended_once(client)
    still_answers(client, lisa)


# ---- standing queries ----
def stands(client, planner):
    """A standing query that has been answered for the frame that is there already."""
    goal = planner.goal(standing=True)
    client.until(lambda: client.results)
    ends(client.results[0], Result.FOUND)
    return goal


def stands_no_more(client, goal) -> None:
    goal.cancel()
    status, result = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    ends(result, Result.CANCELLED, "cancelled by the client")
    client.until(lambda: any(other.request_id == result.request_id for other in client.results))


@fault(
    "the camera stops under a standing query, and comes back",
    "one result for each frame, none in between; it goes on",
)
def test_camera_stops_under_a_standing_query(lisa, client, planner):
    client.connect()
    first = arrive(client, lisa)
    goal = stands(client, planner)
    ask(client, Result.FOUND)  # a query between the frames; `ask` makes sure that nothing else came
    again = arrive(client, lisa)
    client.until(lambda: len(client.results) == 3)
    assert [result.header for result in client.results] == [first, first, again]
    stands_no_more(client, goal)
    assert [result.request_id.partition("/")[2] for result in client.results] == ["1", "", "2", ""]
    still_answers(client, lisa)


@fault("a broken frame under a standing query", "`FAILED` for that frame; the next one is answered")
def test_broken_frame_under_a_standing_query(lisa, client, planner):
    client.connect()
    arrive(client, lisa)
    goal = stands(client, planner)
    header = client.header()
    arrive(client, lisa, header=header, color=messages.to_image(header, np.ones((9, 9), np.float32), "32FC1"))
    client.until(lambda: len(client.results) == 2)
    ends(client.results[1], Result.FAILED, '/color/image_raw: encoding "32FC1" is no colour image')
    good = arrive(client, lisa)
    client.until(lambda: len(client.results) == 3)
    assert ends(client.results[2], Result.FOUND).header == good
    stands_no_more(client, goal)
    still_answers(client, lisa)


@fault("the model fails under a standing query", "`FAILED` for that frame; it is asked again for the next one")
def test_model_fails_under_a_standing_query(lisa, client, planner):
    client.connect()
    arrive(client, lisa)
    goal = planner.goal("raise", standing=True)
    client.until(lambda: len(client.results) == 1)
    arrive(client, lisa)
    client.until(lambda: len(client.results) == 2)
    for result in client.results:
        ends(result, Result.FAILED, "CUDA error: out of memory (simulated)")
    stands_no_more(client, goal)
    still_answers(client, lisa)
