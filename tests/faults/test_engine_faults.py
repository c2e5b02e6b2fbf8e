"""An engine that raises, dies, hangs or runs out of memory, in its own process: it costs the query, not the node."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from campaign import fault
from lisa_ros.msg import SegmentationResult as Result
from planner import finished
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rig import arrive, ask, each_ended_once, ends, heard, log_lines, still_answers
from std_msgs.msg import String

from lisa_ros.node import messages


def ready(lisa, client) -> int:
    """A frame has come; returns the engine's process id."""
    client.connect()
    arrive(client, lisa)
    return lisa.engine.pid


def next_process(lisa, client, old: int) -> None:
    """Wait until another process is the engine."""
    client.until(lambda: lisa.engine.pid not in (None, old))


def only_result(client) -> Result:
    """The one result."""
    client.until(lambda: client.results)
    client.settle()
    (result,) = client.results
    return result


# ---- it raises ----
@fault("model raises an exception", "`FAILED` with its type and text; the same engine goes on")
def test_engine_raises(isolated, client):
    pid = ready(isolated, client)
    ask(client, Result.FAILED, "KeyError: 'layer_7'", query="mistake")
    still_answers(client, isolated)
    assert (isolated.engine.pid, isolated.engine.restarts) == (pid, 0)


@pytest.mark.parametrize(
    ("query", "says"),
    [("memory", "MemoryError: no room for 8 GiB"), ("allocate", "OutOfMemoryError: CUDA out of memory")],
)
@fault("memory runs out, of the machine or the GPU (simulated)", "`FAILED` says so; the engine is replaced by a fresh one")
def test_out_of_memory(isolated, client, query, says):
    pid = ready(isolated, client)
    ask(client, Result.FAILED, says, query=query)
    next_process(isolated, client, pid)
    still_answers(client, isolated)
    assert isolated.engine.restarts == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("cuda error", "CUDA error: an illegal memory access was encountered"),
        ("accelerator", "AcceleratorError: device-side assert triggered"),
    ],
)
@fault("CUDA error that spoils the GPU for its process (simulated)", "`FAILED` says so; the engine is replaced")
def test_cuda_error(isolated, client, query, says):
    pid = ready(isolated, client)
    ask(client, Result.FAILED, says, query=query)
    next_process(isolated, client, pid)
    still_answers(client, isolated)


# ---- it dies ----
@fault("engine killed with SIGKILL in the middle of a query", "`FAILED` at once names the signal; the engine is restarted")
def test_killed_in_a_query(isolated, client):
    pid = ready(isolated, client)
    isolated.begin(client, "hang")
    os.kill(pid, signal.SIGKILL)
    ends(only_result(client), Result.FAILED, "EngineDied: the engine's process ended with signal 9 (SIGKILL)")
    next_process(isolated, client, pid)
    still_answers(client, isolated)
    assert isolated.engine.restarts == 1


@fault("engine killed with SIGKILL while it is idle", "nobody notices: it is restarted, the next query is `FOUND`")
def test_killed_while_idle(isolated, client):
    pid = ready(isolated, client)
    ask(client, Result.FOUND)  # the frame is encoded, and lost with the process
    os.kill(pid, signal.SIGKILL)
    next_process(isolated, client, pid)
    ask(client, Result.FOUND)  # about the same frame
    still_answers(client, isolated)


@fault("engine killed with SIGKILL just before a query", "the query waits for the restart, encodes again, and is `FOUND`")
def test_killed_just_before_a_query(isolated, client):
    pid = ready(isolated, client)
    ask(client, Result.FOUND)
    os.kill(pid, signal.SIGKILL)
    result = client.ask("the red box")
    if result.status != Result.FOUND:  # the signal came when the query was there already
        ends(result, Result.FAILED, "EngineDied", "(SIGKILL)")
    still_answers(client, isolated)


@pytest.mark.parametrize(("query", "says"), [("segfault", "signal 11 (SIGSEGV)"), ("exit", "exit status 3")])
@fault("engine crashes in native code, or exits", "`FAILED` names the signal or the exit status; the engine is restarted")
def test_crash(isolated, client, query, says):
    pid = ready(isolated, client)
    ask(client, Result.FAILED, "EngineDied", says, query=query)
    next_process(isolated, client, pid)
    still_answers(client, isolated)


@fault("engine dies while it encodes", "`FAILED` names the exit status; the engine is restarted")
def test_dies_while_encoding(isolated, client):
    ready(isolated, client)
    header = client.header()
    arrive(client, isolated, header=header, color=messages.to_image(header, np.zeros((1, 1, 3), np.uint8), "rgb8"))
    ask(client, Result.FAILED, "EngineDied", "exit status 4")
    still_answers(client, isolated)


@fault("engine crashes at every query", "each ends once, as `FAILED`; one restart for each, never a loop; the node stays up")
def test_crashes_at_every_query(make_isolated, client):
    lisa = make_isolated(query_policy="fifo")
    ready(lisa, client)
    count = 5
    for number in range(count):
        client.query.publish(String(data=f"segfault {number}"))
    client.until(lambda: len(client.results) == count)
    for result in client.results:
        ends(result, Result.FAILED, "EngineDied", "SIGSEGV")
    assert {result.query for result in client.results} == {f"segfault {number}" for number in range(count)}
    still_answers(client, lisa)
    assert lisa.engine.restarts == count


@fault("cancel while the engine is being restarted", "`CANCELLED` at once; the query after it waits and is `FOUND`")
def test_cancel_during_a_restart(isolated, client, planner):
    pid = ready(isolated, client)
    hold = isolated.notes / "hold"
    hold.touch()
    os.kill(pid, signal.SIGKILL)
    client.until(lambda: isolated.engine.pid is None)
    goal = planner.goal()
    goal.reaches("encode")
    goal.cancel()
    ends(goal.result()[1], Result.CANCELLED, "cancelled by the client")
    assert isolated.engine.pid is None
    hold.unlink()
    next_process(isolated, client, pid)  # beside other work a start takes longer than a frame stays fresh
    still_answers(client, isolated)
    assert len(client.results) == 2


@fault("checkpoint removed, then the engine dies", "`FAILED` names the path, query for query; put back, the next is `FOUND`")
def test_checkpoint_removed_before_a_restart(make_isolated, client, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    lisa = make_isolated(model=str(checkpoint))
    pid = ready(lisa, client)
    checkpoint.rmdir()
    os.kill(pid, signal.SIGKILL)
    client.until(lambda: lisa.engine.state.startswith("failed"))
    for _ in range(2):
        ask(client, Result.FAILED, f"{checkpoint}: no such directory")
    checkpoint.mkdir()
    # For a moment after a failed start the engine is not started again, however many ask.
    client.until(lambda: client.ask("the red box").status == Result.FOUND)
    still_answers(client, lisa)


# ---- it hangs ----
@fault("engine hangs in a query", "`FAILED` names engine_timeout; the engine is ended and restarted")
def test_hang(make_isolated, client):
    lisa = make_isolated(engine_timeout=0.5)
    pid = ready(lisa, client)
    ask(
        client, Result.FAILED, "EngineTimeout: the engine gave no sign of life for 0.5 s (parameter engine_timeout)",
        query="hang",
    )  # fmt: skip
    assert taken(client, engine_timeout=60.0)  # a busy machine may take its time now
    next_process(lisa, client, pid)
    still_answers(client, lisa)


@fault("engine stopped by SIGSTOP", "`FAILED` names engine_timeout; the engine is ended and restarted")
def test_stopped(make_isolated, client):
    lisa = make_isolated(engine_timeout=0.5)
    pid = ready(lisa, client)
    os.kill(pid, signal.SIGSTOP)
    ask(client, Result.FAILED, "EngineTimeout", "(parameter engine_timeout)")
    assert taken(client, engine_timeout=60.0)
    next_process(lisa, client, pid)
    still_answers(client, lisa)


@fault("engine hangs and engine_timeout is 0 (never)", "it is set while the query hangs, and ends it as `FAILED`")
def test_hang_without_a_limit(make_isolated, client):
    lisa = make_isolated(engine_timeout=0.0)
    ready(lisa, client)
    lisa.begin(client, "hang")
    assert taken(client, engine_timeout=0.3)
    ends(only_result(client), Result.FAILED, "0.3 s (parameter engine_timeout)")
    assert taken(client, engine_timeout=60.0)
    still_answers(client, lisa)


@fault("cancel while the engine hangs", "`CANCELLED` at once; the engine is replaced when engine_timeout is over")
def test_cancel_while_it_hangs(make_isolated, client, planner):
    lisa = make_isolated(engine_timeout=0.0)
    pid = ready(lisa, client)
    goal = planner.goal("hang")
    lisa.begun(client)
    goal.cancel()
    ends(goal.result()[1], Result.CANCELLED, "cancelled by the client")
    assert lisa.engine.pid == pid
    assert taken(client, engine_timeout=0.3)
    next_process(lisa, client, pid)
    assert taken(client, engine_timeout=60.0)
    still_answers(client, lisa)
    assert len(client.results) == 2


@fault("parameter calls while the engine is deaf to everything", "answered, valid ones taken, bad ones refused")
def test_parameters_while_it_hangs(make_isolated, client):
    lisa = make_isolated(engine_timeout=0.0)
    ready(lisa, client)
    lisa.begin(client, "hang")
    parameters = AsyncParameterClient(client.node, "lisa")
    client.until(parameters.services_are_ready)
    assert finished(client, parameters.get_parameters(["mode"])).values[0].string_value == "mask"
    assert taken(client, mode="chat") and lisa.node.parameters["mode"] == "chat"
    assert not taken(client, mode="poem") and not client.results
    assert taken(client, mode="mask", engine_timeout=0.3)
    ends(only_result(client), Result.FAILED, "engine_timeout")
    assert taken(client, engine_timeout=60.0)
    still_answers(client, lisa)


def taken(client, **values) -> bool:
    """Set parameters over ROS; whether all were taken."""
    parameters = AsyncParameterClient(client.node, "lisa")
    client.until(parameters.services_are_ready)
    wanted = [Parameter(name, value=value) for name, value in values.items()]
    return all(result.successful for result in finished(client, parameters.set_parameters(wanted)).results)


# ---- what a person sees ----
@fault("engine dies: what the log says", "the query, how the process ended, and that it is restarted")
def test_the_log_names_the_death(isolated, client):
    lines = log_lines(client)
    pid = ready(isolated, client)
    result = ask(client, Result.FAILED, "SIGSEGV", query="segfault")
    heard(client, lines, f"query {result.request_id} failed: EngineDied", "signal 11 (SIGSEGV)", "restarted")
    next_process(isolated, client, pid)
    still_answers(client, isolated)
    each_ended_once(client)
