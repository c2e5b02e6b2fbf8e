"""How fast the node answers others while the model works: parameter calls, and cancels of goals under way.

    python benchmarks/responsiveness.py [--model lisa-mini] [--count 50] [--json FILE]

The node is a process of its own with a 30 Hz camera (1296x968 + 640x480) before it. Parameter call: from asking to
having the answer, while a standing query keeps the engine busy. Cancel: from asking to the CANCELLED result of a chat
goal that the model works on. Limit 50 ms (p95).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from node import RATE, Client, camera_messages, row, running_node, show

LIMIT_MS = 50.0


def main() -> int:
    """0; 1 when the node did not answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--count", type=int, default=50, help="calls and cancels each")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    try:
        with running_node(args.model) as (_, client), Filming(client):
            rows = [parameter_calls(client, args.count), cancels(client, args.count)]
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    show(rows)
    return 0


class Filming:
    """The block has a camera that runs, in a thread of its own."""

    def __init__(self, client: Client) -> None:
        self._client, self._stop = client, threading.Event()
        self._thread = threading.Thread(target=self._film, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *problem) -> None:
        self._stop.set()
        self._thread.join()

    def _film(self) -> None:
        messages = camera_messages(1296, 968, (640, 480))
        while not self._stop.wait(1 / RATE):
            self._client.show(messages)


def timed(client: Client, send, what: str):
    """(seconds, result) of a call that `send` makes and that answers by a future."""
    begun, ended = time.perf_counter(), []
    future = send()
    future.add_done_callback(lambda _: ended.append(time.perf_counter()))
    client.until(lambda: ended, 30.0, what)
    return ended[0] - begun, future.result()


def goal(client: Client, actions, **fields):
    """(handle, future of its result) of a goal that was accepted; returns when the model works on it."""
    from lisa_ros.action import Segment

    stages: list[str] = []
    sent = actions.send_goal_async(
        Segment.Goal(**fields), feedback_callback=lambda message: stages.append(message.feedback.stage)
    )
    client.until(sent.done, 30.0, "sending a goal")
    handle = sent.result()
    client.until(lambda: {"encode", "segment"} & set(stages), 30.0, "a goal's start")
    return handle, handle.get_result_async()


def parameter_calls(client: Client, count: int) -> dict:
    """Parameter calls beside a standing query."""
    from lisa_ros.action import Segment
    from rcl_interfaces.srv import GetParameters
    from rclpy.action import ActionClient

    actions = ActionClient(client.node, Segment, "lisa/segment")
    calls = client.node.create_client(GetParameters, "lisa/get_parameters")
    client.until(lambda: actions.server_is_ready() and calls.service_is_ready(), 30.0, "the node's services")
    handle, ended = goal(client, actions, query="the red box", standing=True)
    seconds = []
    for _ in range(count):
        took, _ = timed(client, lambda: calls.call_async(GetParameters.Request(names=["mode"])), "a parameter call")
        seconds.append(took)
    handle.cancel_goal_async()
    client.until(ended.done, 30.0, "the end of the standing query")
    actions.destroy()
    return row("parameter call during queries", seconds, LIMIT_MS, "a standing query on 1296x968")


def cancels(client: Client, count: int) -> dict:
    """Cancels of goals that the model works on."""
    from lisa_ros.action import Segment
    from lisa_ros.msg import SegmentationResult
    from rclpy.action import ActionClient

    actions = ActionClient(client.node, Segment, "lisa/segment")
    client.until(actions.server_is_ready, 30.0, "the action")
    seconds = []
    while len(seconds) < count:
        handle, ended = goal(client, actions, query="Describe everything you can see in this picture.", mode="chat")

        def cancel(handle=handle, ended=ended):
            handle.cancel_goal_async()
            return ended

        took, answer = timed(client, cancel, "a cancelled goal")
        if answer.result.result.status == SegmentationResult.CANCELLED:  # else it was faster than we
            seconds.append(took)
    actions.destroy()
    return row("cancel while the model works", seconds, LIMIT_MS, "to the goal's result")


if __name__ == "__main__":
    sys.exit(main())
