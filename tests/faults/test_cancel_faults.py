"""Requests that are cancelled at every stage, replaced, or whose client goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from campaign import fault
from lisa_ros.msg import SegmentationResult as Result
from node_harness import Client, wait_for
from planner import Planner, finished
from rig import STATUS, arrive, each_ended_once, ends, still_answers
from std_msgs.msg import String

from lisa_ros import perception

CLIENT = str(Path(__file__).parent / "client_process.py")
CANCELED, SUCCEEDED = GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_SUCCEEDED
NONE, TERMINATED, UNKNOWN = (
    CancelGoal.Response.ERROR_NONE,
    CancelGoal.Response.ERROR_GOAL_TERMINATED,
    CancelGoal.Response.ERROR_UNKNOWN_GOAL_ID,
)


class Gate:
    """Put in the way of a function: it waits there until the test opens the gate. reached: somebody waits."""

    def __init__(self, function) -> None:
        self._function = function
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, *args, **kwargs):
        self.reached.set()
        wait_for(self.opened)
        return self._function(*args, **kwargs)


@pytest.fixture
def gate(monkeypatch):
    """gate(owner, name) -> Gate before that function; open at the end of the test."""
    gates = []

    def put(owner, name):
        gates.append(Gate(getattr(owner, name)))
        monkeypatch.setattr(owner, name, gates[-1])
        return gates[-1]

    yield put
    for made in gates:
        made.opened.set()


def ready(lisa, client) -> None:
    client.connect()
    arrive(client, lisa)


def is_cancelled(goal, *says: str) -> Result:
    """A goal that its client cancels ends as CANCELED, with the result that says so."""
    assert goal.cancel().return_code == NONE
    status, result = goal.result()
    assert status == CANCELED
    return ends(result, Result.CANCELLED, *says or ("cancelled by the client",))


def results_of(client, count: int) -> dict[str, Result]:
    """Results by query, when there are exactly so many."""
    client.until(lambda: len(client.results) >= count)
    client.settle()
    by_query = {result.query: result for result in client.results}
    assert len(by_query) == len(client.results) == count, [r.query for r in client.results]
    return by_query


# ---- cancel at every stage ----
@fault("cancel of a goal that waits behind another", "`CANCELLED` at once, the model never hears of it")
def test_cancel_before_start(lisa, client, planner):
    ready(lisa, client)
    running = planner.goal("slow red")
    wait_for(lisa.engine.started)
    waiting = planner.goal("red that waits")
    is_cancelled(waiting)
    lisa.engine.release.set()
    status, result = running.result()
    assert status == SUCCEEDED and result.status == Result.FOUND
    assert lisa.engine.asked == ["slow red"]
    results_of(client, 2)
    still_answers(client, lisa)


@fault("cancel of a goal that waits for the first image", "`CANCELLED` at once, not after `frame_timeout`")
def test_cancel_without_a_frame(make_node, client, planner):
    lisa = make_node(frame_timeout=60.0)
    client.connect()
    goal = planner.goal()
    goal.reaches("convert")
    is_cancelled(goal)
    assert list(results_of(client, 1)) == ["the red box"]
    still_answers(client, lisa)


@fault("cancel while the image is encoded", "`CANCELLED` at once; what the model makes of the image is dropped")
def test_cancel_during_encode(lisa, client, planner, gate):
    ready(lisa, client)
    encode = gate(lisa.engine, "encode")
    goal = planner.goal()
    goal.reaches("encode")
    wait_for(encode.reached)
    is_cancelled(goal)
    encode.opened.set()
    results_of(client, 1)
    assert lisa.engine.asked == [] and not client.outputs["mask"]
    still_answers(client, lisa)


@fault("cancel while the model works", "`CANCELLED`, the model is told to stop")
def test_cancel_during_segment(lisa, client, planner):
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    is_cancelled(goal)
    results_of(client, 1)  # not released: the engine must have heard
    still_answers(client, lisa)


@fault("cancel while the model writes an answer", "`CANCELLED`; no feedback comes after the result")
def test_cancel_during_generate(lisa, client, planner):
    ready(lisa, client)
    lisa.engine.pace = 0.2
    goal = planner.goal(mode="chat")
    client.until(lambda: any(feedback.answer for feedback in goal.feedback))
    is_cancelled(goal)
    client.settle()
    told = len(goal.feedback)
    results_of(client, 1)
    still_answers(client, lisa)  # after the engine has written the rest, which nobody hears
    assert len(goal.feedback) == told and not goal.feedback[-1].answer.endswith("one.")
    assert len(client.results) == 2


@fault("cancel while the target is lifted", "`CANCELLED` at once; mask and points are not published")
def test_cancel_during_lift(lisa, client, planner, gate):
    ready(lisa, client)
    lift = gate(perception, "lift")
    goal = planner.goal()
    wait_for(lift.reached)
    is_cancelled(goal)
    lift.opened.set()
    results_of(client, 1)
    assert not client.outputs["mask"] and not client.outputs["points"]
    still_answers(client, lisa)


@fault("cancel of a standing query", "`CANCELLED`, no further frame is answered")
def test_cancel_a_standing_query(lisa, client, planner):
    ready(lisa, client)
    goal = planner.goal(standing=True)
    client.until(lambda: len(client.results) == 1)
    arrive(client, lisa)
    client.until(lambda: len(client.results) == 2)
    is_cancelled(goal)
    client.until(lambda: len(client.results) >= 3)
    arrive(client, lisa)
    client.settle()
    assert [STATUS[result.status] for result in client.results] == ["FOUND", "FOUND", "CANCELLED"]
    still_answers(client, lisa)


@fault("cancel twice", "one `CANCELLED` result; the second cancel hears that the goal is cancelled or has ended")
def test_cancel_twice(lisa, client, planner):
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    first, second = goal.handle.cancel_goal_async(), goal.handle.cancel_goal_async()
    assert finished(client, first).return_code == NONE
    assert finished(client, second).return_code in (NONE, TERMINATED)
    status, result = goal.result()
    assert status == CANCELED
    ends(result, Result.CANCELLED, "cancelled by the client")
    assert goal.cancel().return_code == TERMINATED
    results_of(client, 1)
    still_answers(client, lisa)


@fault("cancel after the end", "the cancel is refused as too late, the result stays `FOUND`")
def test_cancel_after_the_end(lisa, client, planner):
    ready(lisa, client)
    goal = planner.goal()
    assert goal.result()[0] == SUCCEEDED
    answer = goal.cancel()
    assert answer.return_code == TERMINATED and not answer.goals_canceling
    assert results_of(client, 1)["the red box"].status == Result.FOUND
    still_answers(client, lisa)


@fault("cancel of a goal that never was", "the cancel is refused, the query that runs goes on")
def test_cancel_of_an_unknown_goal(lisa, client, planner):
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    service = client.node.create_client(CancelGoal, "lisa/segment/_action/cancel_goal")
    client.until(service.service_is_ready)
    request = CancelGoal.Request()
    request.goal_info.goal_id.uuid = [7] * 16
    assert finished(client, service.call_async(request)).return_code == UNKNOWN
    lisa.engine.release.set()
    assert goal.result()[1].status == Result.FOUND
    results_of(client, 1)
    still_answers(client, lisa)


@fault("cancel of all goals, one running and two waiting", "each ends once, as `CANCELLED`")
def test_cancel_all(make_node, client, planner):
    lisa = make_node(query_policy="fifo")
    ready(lisa, client)
    goals = [planner.goal("slow red")]
    wait_for(lisa.engine.started)
    goals += [planner.goal(f"red {number}") for number in range(2)]
    service = client.node.create_client(CancelGoal, "lisa/segment/_action/cancel_goal")
    client.until(service.service_is_ready)
    answer = finished(client, service.call_async(CancelGoal.Request()))  # all zero: every goal
    assert len(answer.goals_canceling) == 3
    for goal in goals:
        status, result = goal.result()
        assert status == CANCELED
        ends(result, Result.CANCELLED, "cancelled by the client")
    results_of(client, 3)
    still_answers(client, lisa)


# ---- newer queries ----
@fault("newer query, `query_policy` newest", "the one that waits ends as `CANCELLED` and names the newer one")
def test_newest_replaces_the_waiting(lisa, client):
    ready(lisa, client)
    client.query.publish(String(data="slow red"))
    wait_for(lisa.engine.started)
    for text in ("red one", "red two"):
        client.query.publish(String(data=text))
    client.until(lambda: len(client.results) == 1)
    lisa.engine.release.set()
    by_query = results_of(client, 3)
    ends(by_query["red one"], Result.CANCELLED, f"replaced by the newer query {by_query['red two'].request_id}")
    assert by_query["slow red"].status == by_query["red two"].status == Result.FOUND
    still_answers(client, lisa)


@fault("newer query, `query_policy` preempt", "the one that runs ends as `CANCELLED`, the newer one is answered")
def test_preempt_ends_the_running(make_node, client, planner):
    lisa = make_node(query_policy="preempt")
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    client.query.publish(String(data="red now"))
    status, result = goal.result()
    by_query = results_of(client, 2)
    assert status == GoalStatus.STATUS_ABORTED  # not by its client
    ends(result, Result.CANCELLED, f"replaced by the newer query {by_query['red now'].request_id}")
    assert by_query["red now"].status == Result.FOUND
    still_answers(client, lisa)


@fault("more queries than `queue_size` with `query_policy` fifo", "`REJECTED` names queue_size; those in line are answered")
def test_fifo_is_bounded(make_node, client):
    lisa = make_node(query_policy="fifo", queue_size=2)
    ready(lisa, client)
    client.query.publish(String(data="slow red"))
    wait_for(lisa.engine.started)
    for number in range(4):
        client.query.publish(String(data=f"red {number}"))
    client.until(lambda: len(client.results) == 2)
    lisa.engine.release.set()
    by_query = results_of(client, 5)
    for text in ("red 2", "red 3"):
        ends(by_query[text], Result.REJECTED, "2 queries wait already; queue_size is 2")
    for text in ("slow red", "red 0", "red 1"):
        ends(by_query[text], Result.FOUND)
    still_answers(client, lisa)


# ---- clients ----
@pytest.fixture
def client_process():
    """client_process("action" or "service") -> a process whose goal or call has begun; `gone` kills it."""
    processes = []

    def start(kind: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, CLIENT, kind, "slow red"], stdout=subprocess.DEVNULL, env=dict(os.environ)
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def gone(process: subprocess.Popen) -> None:
    assert process.poll() is None, "the client ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(("kind", "status"), [("action", Result.FOUND), ("service", Result.NO_DEPTH)])
@fault("client of an action or a service killed in the middle", "its result is published all the same")
def test_client_killed(lisa, client, client_process, kind, status):
    ready(lisa, client)
    process = client_process(kind)
    client.until(lisa.engine.started.is_set)
    gone(process)
    lisa.engine.release.set()
    ends(results_of(client, 1)["slow red"], status)
    still_answers(client, lisa)


@fault("client's node destroyed in the middle of a goal", "its result is published all the same")
def test_client_destroyed(lisa, client):
    ready(lisa, client)
    other = Client()
    planner = Planner(other)
    planner.goal("slow red")
    wait_for(lisa.engine.started)
    planner.close()
    other.close()
    lisa.engine.release.set()
    assert results_of(client, 1)["slow red"].status == Result.FOUND
    still_answers(client, lisa)


@fault("two clients at once, action and service", "each gets the answer to its own query")
def test_two_clients(make_node, client, planner):
    lisa = make_node(query_policy="fifo")
    ready(lisa, client)
    other = Client()
    try:
        second = Planner(other)
        goal = planner.goal("slow red")
        wait_for(lisa.engine.started)
        goals = [planner.goal("the blue box"), second.goal("the red box")]
        calls = [planner.image_call("the red one"), second.image_call("the green one")]
        lisa.engine.release.set()
        assert goal.result()[1].query == "slow red"
        assert [goal.result()[1].status for goal in goals] == [Result.NOT_FOUND, Result.FOUND]
        answers = [finished(client, calls[0]).result, finished(other, calls[1]).result]
        assert [(r.query, r.status) for r in answers] == [
            ("the red one", Result.FOUND),
            ("the green one", Result.NOT_FOUND),
        ]
        results_of(client, 5)
        second.close()
    finally:
        other.close()
    still_answers(client, lisa)
    each_ended_once(client)
