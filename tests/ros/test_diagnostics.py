"""What `/diagnostics` says of engine, cameras and requests, and that it is said whatever state the node is in."""

from __future__ import annotations

import math
import threading

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_harness import SECONDS
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from lisa_ros.node.diagnostics import (
    ERROR,
    OK,
    STALE,
    WARN,
    Diagnostics,
    Queue,
    Tally,
    camera_status,
    engine_status,
    requests_status,
    resident_bytes,
)
from lisa_ros.node.inputs import CameraReport, TopicReport
from lisa_ros.node.traffic import Pairing
from lisa_ros.perception import Status


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


class Engine:
    """An engine in a process of its own, as far as diagnostics look."""

    name, device, dtype = "lisa-mini", "cuda:0", "bfloat16"
    state, restarts = "ready", 2

    def memory(self):
        return {"resident": 512 << 20, "cuda_allocated": 3 << 30}


# ---- engine ----
def test_an_engine_that_is_ready():
    status = engine_status(Engine())
    assert (status.name, status.level, status.message) == ("engine", OK, "lisa-mini on cuda:0")
    said = values(status)
    assert (said["model"], said["device"], said["dtype"], said["restarts"]) == ("lisa-mini", "cuda:0", "bfloat16", "2")
    assert said["memory of the engine, resident [MiB]"] == "512"
    assert said["memory of the engine, cuda_allocated [MiB]"] == "3072"
    assert int(said["memory of the node [MiB]"]) == pytest.approx(resident_bytes() / 2**20, rel=0.2)


@pytest.mark.parametrize("state, level", [("restarting", WARN), ("failed: no memory", ERROR), ("closed", ERROR)])
def test_an_engine_that_is_not(state, level):
    engine = Engine()
    engine.state = state
    status = engine_status(engine)
    assert status.level == level and state in status.message


def test_no_engine_and_one_in_the_nodes_own_process():
    assert (engine_status(None).level, engine_status(None).message) == (STALE, "no model is loaded")

    class Plain:
        name, device, dtype = "lisa-mini", "cpu", "float32"

    assert engine_status(Plain()).level == OK and values(engine_status(Plain()))["restarts"] == "0"


# ---- cameras ----
PAIRED = Pairing(100, 99, -0.7)


def report(color=30, depth=30, info=30, pairing=PAIRED, camera="", wrong=("", "")):
    topics = [
        TopicReport(f"/{name}", count, count / 3, 0.1, 0.05 if count else None, wrong[1] if wrong[0] == name else "")
        for name, count in (("color", color), ("depth", depth), ("info", info))
    ]
    return CameraReport(camera, topics, pairing)


def test_a_camera_that_is_well():
    status = camera_status(report(camera="wrist"))
    assert (status.name, status.level, status.message) == ("camera wrist", OK, "10.0 Hz, 99 of 100 paired")
    said = values(status)
    assert said["/depth rate [Hz]"] == "10.0" and said["/color age [s]"] == "0.050" and said["/info messages"] == "30"
    assert said["paired of newest colour images"] == "99 of 100"
    assert said["depth stamps behind colour where not paired [s]"] == "0.700"
    assert not any("complaint" in key for key in said)


@pytest.mark.parametrize(
    "report, level, message",
    [
        (report(0, 0, 0, Pairing(0, 0)), STALE, "nothing has come yet on /color"),
        (report(0, 0, 0, Pairing(0, 0), wrong=("color", "nobody publishes it")), STALE, "nobody publishes it"),
        (report(0, 30, 30, Pairing(0, 0), wrong=("color", "nobody publishes it")), ERROR, "nobody publishes it"),
        (report(wrong=("depth", "it stopped")), WARN, "it stopped"),
    ],
    ids=["young", "nothing", "no colour", "depth stopped"],
)
def test_a_camera_that_is_not_well(report, level, message):
    status = camera_status(report)
    assert (status.name, status.level, status.message) == ("camera", level, message)


# ---- requests ----
def test_counts_and_percentiles_of_the_newest_hundred():
    tally = Tally()
    for number in range(200):
        tally.note(Status.FOUND, [("decode", (number - 99) / 1000), ("wait", 0.001), ("wait", 0.002)], number / 100)
    tally.note(Status.NOT_FOUND)
    tally.note(Status.CANCELLED, message="by the client")
    said = values(requests_status(Queue(waiting=3, running=1.25), tally))
    assert (said["waiting"], said["running"], said["answered"]) == ("3", "for 1.2 s", "202")
    assert (said["FOUND"], said["NOT_FOUND"], said["CANCELLED"]) == ("200", "1", "1") and "FAILED" not in said
    assert said["stage decode"] == "p50 51.0 ms, p95 95.0 ms"  # 1 .. 100 ms: the older hundred is forgotten
    assert said["stage wait"] == "p50 3.0 ms, p95 3.0 ms"
    assert said["age from stamp to publish"] == "p50 1500.0 ms, p95 1940.0 ms"


def test_a_failure_is_a_warning_until_a_query_is_answered():
    tally = Tally()
    assert requests_status(Queue(), tally).level == OK
    tally.note(Status.FAILED, message="CUDA error: out of memory")
    status = requests_status(Queue(), tally)
    assert status.level == WARN and "CUDA error: out of memory" in status.message
    tally.note(Status.NOT_FOUND, [("decode", 0.1)], 0.2)
    assert requests_status(Queue(), tally).level == OK


def test_many_threads_may_note():
    tally = Tally()

    def work():
        for number in range(300):
            tally.note(Status.FOUND, [(f"stage {number % 7}", 0.1)], 0.1)
            tally.values()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert tally.values()["answered"] == "1200"


# ---- over DDS ----
@pytest.mark.parametrize("simulated", [False, True], ids=["own clock", "a simulated clock that stands still"])
def test_a_report_comes_again_and_again(client, simulated):
    node = rclpy.create_node("lisa", namespace="robot", parameter_overrides=[Parameter("use_sim_time", value=simulated)])
    received: list[DiagnosticArray] = []
    client.node.create_subscription(DiagnosticArray, "/diagnostics", received.append, 10)
    diagnostics = Diagnostics(node, lambda: None, lambda: [report(camera="wrist")], Queue, Tally())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:

        def two():
            executor.spin_once(timeout_sec=0.02)
            return len(received) >= 2

        client.until(two)
    finally:
        diagnostics.close()
        executor.shutdown()
        node.destroy_node()
    names = [status.name for status in received[0].status]
    assert names == ["robot/lisa: engine", "robot/lisa: camera wrist", "robot/lisa: requests"]
    assert {status.hardware_id for status in received[0].status} == {"robot/lisa"}
    assert [status.level for status in received[0].status] == [STALE, OK, OK]
    assert math.isclose(received[0].header.stamp.sec, 0) == simulated
