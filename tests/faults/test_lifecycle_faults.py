"""Transitions at bad moments or that fail, bad parameters, and the ends that a process can come to."""

from __future__ import annotations

import gc
import os
import signal
import threading
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from campaign import fault
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECONDS, wait_for
from planner import finished
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rig import arrive, ask, each_ended_once, ends, heard, log_lines, still_answers
from std_msgs.msg import String

from lisa_ros.node import camera_port, lisa_node

HERE = Path(__file__).parent
FAKE = [str(HERE.parent / "ros" / "fake_node.py")]
ISOLATED = [str(HERE / "isolated_node.py")]


def ready(lisa, client) -> None:
    client.connect()
    arrive(client, lisa)


def children() -> set[int]:
    """Processes that this one has started and that run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if int(rest[1]) == os.getpid() and rest[0] not in "ZX":
            found.add(int(pid))
    return found


def runs(pid: int) -> bool:
    """Whether a process is alive; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# ---- the checkpoint ----
@fault("checkpoint removed between two configure", "configure fails, the log names the path; put back, configure works")
def test_checkpoint_removed(make_isolated, client, planner, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    before = children()
    lisa = make_isolated(model=str(checkpoint))
    lines = log_lines(client)
    ready(lisa, client)
    ask(client, Result.FOUND)
    assert planner.changed("deactivate") and planner.changed("cleanup") and children() == before
    checkpoint.rmdir()
    assert not planner.changed("configure") and planner.state() == "unconfigured" and children() == before
    heard(client, lines, f'model "{checkpoint}" cannot be loaded', "no such directory")
    checkpoint.mkdir()
    assert planner.changed("configure") and planner.changed("activate")
    client.connect()
    still_answers(client, lisa)


# ---- transitions ----
@fault("deactivate in the middle of a query", "all requests end as `CANCELLED`; after activate queries are answered")
def test_deactivate_in_a_query(make_node, client, planner):
    lisa = make_node(query_policy="fifo")
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    call = planner.image_call("red image")
    client.query.publish(String(data="red topic"))
    client.until(lambda: lisa.node._requests.report()[0] == 2)
    assert planner.changed("deactivate")
    status, result = goal.result()
    assert status == GoalStatus.STATUS_ABORTED
    for ended in (result, finished(client, call).result):
        ends(ended, Result.CANCELLED, "the node was deactivated")
    client.until(lambda: len(client.results) == 3)
    assert {(r.status, r.message) for r in client.results} == {(Result.CANCELLED, "the node was deactivated")}
    assert planner.changed("activate")
    client.connect()
    still_answers(client, lisa)


@fault("deactivate while the engine hangs", "`CANCELLED`; cleanup ends the hanging engine, the next configure works")
def test_deactivate_while_the_engine_hangs(make_isolated, client, planner, monkeypatch):
    monkeypatch.setattr(lisa_node, "STOP_SECONDS", 0.1)
    lisa = make_isolated(engine_timeout=0.0)
    ready(lisa, client)
    pid = lisa.engine.pid
    lisa.begin(client, "hang")
    assert planner.changed("deactivate")
    client.until(lambda: client.results)
    ends(client.results[0], Result.CANCELLED, "the node was deactivated")
    assert planner.changed("cleanup") and not runs(pid)
    assert planner.changed("configure") and planner.changed("activate")
    client.connect()
    still_answers(client, lisa)
    assert len(client.results) == 2


@pytest.mark.parametrize("transition", ["cleanup", "configure", "activate"])
@fault(
    "a transition that the state does not have, in the middle of a query",
    "refused; the query goes on and is `FOUND`",
)
def test_transition_that_is_not_possible(lisa, client, planner, transition):
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    assert not planner.changed(transition)
    assert planner.state() == "active"
    lisa.engine.release.set()
    assert goal.result()[1].status == Result.FOUND
    still_answers(client, lisa)


@fault(
    "deactivate, cleanup, configure and activate all at once, in the middle of requests",
    "each request ends once, as `CANCELLED`",
)
def test_transitions_in_a_burst(lisa, client, planner):
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    call = planner.image_call("red image")
    client.until(lambda: lisa.node._requests.report()[0] == 1)
    futures = [planner.change(name) for name in ("deactivate", "cleanup", "configure", "activate")]
    assert all(finished(client, future).success for future in futures)
    ends(finished(client, call).result, Result.CANCELLED, "the node was deactivated")
    ends(goal.result()[1], Result.CANCELLED, "the node was deactivated")
    client.until(lambda: len(client.results) == 2)
    client.connect()
    still_answers(client, lisa)


@fault(
    "goal and service call to an inactive node",
    "`CANCELLED`: the node is not active; a query on the topic is not heard",
)
def test_requests_while_inactive(lisa, client, planner):
    ready(lisa, client)
    assert planner.changed("deactivate")
    client.query.publish(String(data="red unheard"))
    status, result = planner.goal().result()
    assert status == GoalStatus.STATUS_ABORTED
    ends(result, Result.CANCELLED, "the node is not active")
    ends(finished(client, planner.image_call()).result, Result.CANCELLED, "the node is not active")
    client.until(lambda: len(client.results) == 2)
    assert planner.changed("activate")
    client.connect()
    still_answers(client, lisa)
    assert len(client.results) == 3


@pytest.mark.parametrize(
    ("transition", "part"),
    [("configure", "CameraPort"), ("activate", "open_transforms"), ("activate", "Requests")],
)
@fault("a transition raises", "the log says what; unconfigured, nothing left over; configure and activate work again")
def test_transition_raises(make_isolated, client, planner, monkeypatch, transition, part):
    lines = log_lines(client)
    before = children()
    lisa = make_isolated(start=False)
    if transition == "activate":
        assert planner.changed("configure")

    def broken(*args, **kwargs):
        raise OSError(f"no room for {part}")

    with monkeypatch.context() as patch:
        patch.setattr(lisa_node, part, broken)
        assert not planner.changed(transition)
    assert planner.state() == "unconfigured"
    heard(client, lines, f"on_{transition} failed", f"OSError: no room for {part}")
    assert children() == before
    assert planner.changed("configure") and planner.changed("activate")
    client.connect()
    still_answers(client, lisa)


@fault(
    "closing the inputs raises, in the middle of a query",
    "the query ends as `CANCELLED`; unconfigured, configure works",
)
def test_deactivate_raises(lisa, client, planner, monkeypatch):
    ready(lisa, client)
    goal = planner.goal("slow red")
    wait_for(lisa.engine.started)
    close = camera_port.Inputs.close

    def close_then_fail(inputs) -> None:
        monkeypatch.setattr(camera_port.Inputs, "close", close)
        raise OSError("the network is gone")

    monkeypatch.setattr(camera_port.Inputs, "close", close_then_fail)
    assert not planner.changed("deactivate") and planner.state() == "unconfigured"
    ends(goal.result()[1], Result.CANCELLED, "the node was deactivated")
    assert planner.changed("configure") and planner.changed("activate")
    client.connect()
    still_answers(client, lisa)


@fault("10 times configure, activate, query, deactivate, cleanup", "no thread, file, process or topic is left over")
def test_cycles(make_isolated, client, planner):
    lisa = make_isolated(start=False)

    def cycle() -> None:
        for transition in ("configure", "activate"):
            assert planner.changed(transition)
        client.connect()
        still_answers(client, lisa)
        for transition in ("deactivate", "cleanup"):
            assert planner.changed(transition)
        lisa.engines.clear()  # the harness alone still knows them

    def held() -> dict[str, int]:
        gc.collect()
        endpoints = lisa.node.get_topic_names_and_types()
        mine = [lisa.node.get_publisher_names_and_types_by_node, lisa.node.get_subscriber_names_and_types_by_node]
        return {
            "threads": threading.active_count(),
            "tasks": len(os.listdir("/proc/self/task")),
            "files": len(os.listdir("/proc/self/fd")),
            "children": len(children()),
            "topics": len(endpoints),
            "endpoints": sum(len(names("lisa", "/")) for names in mine),
            "services": len(lisa.node.get_service_names_and_types_by_node("lisa", "/")),
        }

    for _ in range(3):  # what is made once and kept
        cycle()
    before = held()
    for _ in range(10):
        cycle()
    client.until(lambda: all(count <= before[name] for name, count in held().items()))


# ---- parameters ----
@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"sync_tolerance": "5.0"}, "parameter sync_tolerance must be within 0 and 1, got 5"),
        ({"frame_timeout": "soon"}, "parameter frame_timeout must be a number"),
        ({"query_policy": "oldest"}, "parameter query_policy must be one of newest, preempt, fifo"),
        ({"min_depth": "3.0", "max_depth": "2.0"}, "parameter min_depth (3) must be smaller than max_depth (2)"),
        ({"model": "missing"}, "missing: no such checkpoint"),
    ],
)
@fault("bad parameter at start", "the process says which and what is allowed, and exits with 1")
def test_bad_parameter_at_start(start, parameters, says):
    process = start(FAKE, **parameters)
    assert process.wait(SECONDS) == 1
    output = process.stdout.read()
    assert says in output and "Traceback" not in output


def set_parameter(client, name, value):
    """The node's answer to one parameter."""
    parameters = AsyncParameterClient(client.node, "lisa")
    client.until(parameters.services_are_ready)
    (answer,) = finished(client, parameters.set_parameters([Parameter(name, value=value)])).results
    return answer


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mode", "poem", "parameter mode must be one of mask, chat"),
        ("min_depth", 50.0, "parameter min_depth (50) must be smaller than max_depth (10)"),
        ("frame_timeout", -1.0, "frame_timeout"),  # by its declared range, in rclpy's words
        ("frame_timeout", "soon", "Wrong parameter type"),  # by its declared type, in rclpy's words
        ("model", "other", "parameter model can only change before configure; the node is active"),
        ("depth_transport", "compressed", "parameter depth_transport can only change before activate"),
    ],
)
@fault("bad parameter at run time, or one that may not change now", "refused with the reason; the old value stays")
def test_bad_parameter_at_run_time(lisa, client, name, value, says):
    ready(lisa, client)
    old = lisa.node.parameters[name]
    answer = set_parameter(client, name, value)
    assert not answer.successful and says in answer.reason
    assert lisa.node.parameters[name] == lisa.node.get_parameter(name).value == old
    still_answers(client, lisa)


@fault("misspelt parameter", "a warning names it; the node works")
def test_unknown_parameter(make_node, client):
    lines = log_lines(client)
    lisa = make_node(max_deph=3.0)
    heard(client, lines, "parameter max_deph is not known and has no effect")
    ready(lisa, client)
    still_answers(client, lisa)


# ---- ends of a process ----
@pytest.fixture
def process(start, client, tmp_path):
    """process(name=value, ...) -> a node in a process of its own, its engine in a third one, active."""

    def run(**parameters):
        node = start(ISOLATED, str(tmp_path), **parameters)
        client.connect()
        return node

    return run


def begin(client, notes: Path, query: str) -> None:
    """Publish a query, and frames until the engine has it: the first ones may come before the node knows the camera."""
    client.query.publish(String(data=query))
    client.until(lambda: client.show() and (notes / "begun").exists())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@fault("SIGINT or SIGTERM in the middle of a query", "`CANCELLED` is published, exit status 0, the engine ends too")
def test_signal_in_a_query(process, client, tmp_path, number):
    node = process()
    begin(client, tmp_path, "until cancelled")
    engine = only_child(node.pid)
    os.kill(node.pid, number)
    assert node.wait(SECONDS) == 0
    client.until(lambda: client.results)
    ends(client.results[0], Result.CANCELLED, "the node was stopped")
    client.until(lambda: not runs(engine))
    assert "Traceback" not in node.stdout.read()
    each_ended_once(client)


def only_child(pid: int) -> int:
    """The id of the one process that a process has started."""
    found = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    (child,) = found
    return child


@fault(
    "SIGINT, and SIGINT again, while the engine hangs",
    "`CANCELLED` is published, exit status 0, the engine ends too",
)
def test_second_sigint(process, client, tmp_path):
    node = process(engine_timeout=0.0)
    begin(client, tmp_path, "hang")
    engine = only_child(node.pid)
    os.kill(node.pid, signal.SIGINT)
    client.until(lambda: client.results)  # the node is ending: it waits for the engine
    os.kill(node.pid, signal.SIGINT)
    assert node.wait(SECONDS) == 0
    ends(client.results[0], Result.CANCELLED, "the node was stopped")
    client.until(lambda: not runs(engine))
    output = node.stdout.read()
    assert "Traceback" not in output and "its query was ended without it" in output, output


@fault("SIGTERM while the model is loaded", "exit status 0, the half-loaded engine ends too")
def test_sigterm_while_loading(start, tmp_path):
    (tmp_path / "hold").touch()
    node = start(ISOLATED, str(tmp_path))
    for line in node.stdout:
        if "loading model" in line:
            break
    os.kill(node.pid, signal.SIGTERM)
    assert node.wait(SECONDS) == 0
    assert "Traceback" not in node.stdout.read()


@fault("node killed with SIGKILL in the middle of a query", "its engine's process ends as well, and frees its memory")
def test_node_killed(process, client, tmp_path):
    node = process()
    begin(client, tmp_path, "hang")
    engine = only_child(node.pid)
    assert runs(engine)
    os.kill(node.pid, signal.SIGKILL)
    node.wait(SECONDS)
    client.until(lambda: not runs(engine))
