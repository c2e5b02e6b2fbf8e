"""For the tests of faults: frames that have surely arrived, queries that end exactly once, and the proof that the node
goes on.
"""

from __future__ import annotations

from collections import Counter

from lisa_ros.msg import SegmentationResult as Result
from node_harness import Client, Running
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header

from lisa_ros.node.conversions import stamp_ns, to_stamp

STATUS = {getattr(Result, name): name for name in ("FOUND", "NOT_FOUND", "NO_FRAME", "NO_DEPTH", "NO_TRANSFORM")} | {
    Result.CANCELLED: "CANCELLED",
    Result.REJECTED: "REJECTED",
    Result.FAILED: "FAILED",
}


def arrive(client: Client, lisa: Running, *, without: tuple[str, ...] = (), **frame) -> Header:
    """`client.show`, until the node has every message of it; returns the header."""
    inputs = lisa.node._cameras[0].inputs

    def counts() -> dict[str, int]:
        return dict(zip(("color", "depth", "info"), (topic.count for topic in inputs.report().topics)))

    before = counts()
    header = client.show(without=without, **frame)
    client.until(lambda: all(counts()[name] > before[name] for name in before if name not in without))
    return header


def later(header: Header, seconds: float) -> Header:
    """The same camera, `seconds` later (less than 0: earlier)."""
    return Header(stamp=to_stamp(stamp_ns(header.stamp) + round(seconds * 1e9)), frame_id=header.frame_id)


def ends(result: Result, status: int, *says: str) -> Result:
    """A result must have this status, and its message all these parts; returns it."""
    assert STATUS[result.status] == STATUS[status], result.message
    for part in says:
        assert part in result.message, result.message
    return result


def ask(client: Client, status: int, *says: str, query: str = "the red box") -> Result:
    """A query whose one result `ends` so."""
    return ends(client.ask(query), status, *says)


def each_ended_once(client: Client) -> None:
    """Nothing was answered twice."""
    assert not [id for id, times in Counter(result.request_id for result in client.results).items() if times > 1]


def still_answers(client: Client, lisa: Running, **frame) -> Result:
    """After the fault: a good frame, and the next query finds the box in it, in 3D."""
    header = arrive(client, lisa, **frame)
    result = ask(client, Result.FOUND)
    assert result.header == header and result.message == "", result.message
    assert result.instances[0].status_3d == result.instances[0].LIFTED
    each_ended_once(client)
    return result


def set_parameter(lisa: Running, name: str, value: object) -> None:
    """Change a parameter of the running node."""
    (changed,) = lisa.node.set_parameters([Parameter(name, value=value)])
    assert changed.successful, changed.reason


def log_lines(client: Client) -> list[str]:
    """All that the node logs, as it comes, from its start."""
    lines: list[str] = []
    kept = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    client.subscriptions.append(
        client.node.create_subscription(Log, "/rosout", lambda message: lines.append(message.msg), kept)
    )
    return lines


def heard(client: Client, lines: list[str], *parts: str) -> str:
    """Wait for a line of the log with all of these parts."""

    def found() -> list[str]:
        return [line for line in lines if all(part in line for part in parts)]

    client.until(found)
    return found()[0]
