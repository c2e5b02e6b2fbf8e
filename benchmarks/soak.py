"""The node for half an hour: memory, CPU and overhead while a camera runs at 30 Hz and somebody asks every two seconds.

    python benchmarks/soak.py [--minutes 30] [--model lisa-mini] [--json FILE]

Camera: 1296x968 rgb8 and 640x480 16UC1. Node and engine are processes of their own, this one is camera and client.
Growth is between the end of the first tenth and the end; "idle" is the node's CPU in the seconds without a query.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from node import NOT_ENGINE, RATE, Client, camera_messages, environment, start_node

QUERY_SECONDS = 2.0
GROWTH_LIMIT, OVERHEAD_LIMIT_MS, IDLE_LIMIT = 2.0, 10.0, 15.0


def main() -> int:
    """0; 1 when the node did not answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    environment()
    import rclpy

    rclpy.init()
    with tempfile.TemporaryFile("w+") as log:
        node = start_node(args.model, log)
        try:
            figures = soak(Client(), node, args.minutes * 60)
        except TimeoutError as error:
            log.seek(0)
            print(f"{error}\n{log.read()[-2000:]}", file=sys.stderr)
            return 1
        finally:
            os.killpg(node.pid, signal.SIGINT)
            try:
                node.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
            rclpy.try_shutdown()
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    show(figures)
    return 0


def soak(client: Client, node: subprocess.Popen, seconds: float) -> dict:
    """Camera, queries and readings for so long."""
    import numpy as np
    from std_msgs.msg import String

    client.connect(node)
    messages = camera_messages(1296, 968, (640, 480))
    memory: list[tuple[float, int, int]] = []  # (time, node, engine) bytes
    overheads, idle, times, unanswered, statuses = [], [], [], 0, set()
    start = due = time.perf_counter()
    next_query, asked, pending, cpu_mark = start + 1.0, 0, None, None
    while due < start + seconds:
        client.show(messages)
        due += 1 / RATE
        while (left := due - time.perf_counter()) > 0:
            client.executor.spin_once(timeout_sec=left)
        now = time.perf_counter()
        if pending is not None and client.result is not None and client.result.query == pending[0]:
            stages = {stage.stage: stage.seconds for stage in client.result.stages}
            engine = sum(spent for name, spent in stages.items() if name not in NOT_ENGINE)
            engine += stages.get("lift", 0.0)  # grows with the target: benchmarks/lift.py
            overheads.append(client.received - pending[1] - engine)
            times.append(stages | {"on the way": client.received - pending[1] - sum(stages.values())})
            statuses.add(client.result.status)
            pending, cpu_mark = None, (now, cpu_seconds(node.pid))
        if now >= next_query:
            unanswered += pending is not None
            if cpu_mark is not None:
                idle.append((cpu_seconds(node.pid) - cpu_mark[1]) / (now - cpu_mark[0]))
            memory.append((now - start, resident(node.pid), sum(resident(pid) for pid in children(node.pid))))
            asked += 1
            next_query += QUERY_SECONDS
            client.result, pending = None, (f"the red box {asked}", now)
            client.query.publish(String(data=pending[0]))
    settled = [reading for reading in memory if reading[0] >= 0.1 * seconds]
    grown = [100 * (settled[-1][part] / max(settled[0][part], 1) - 1) for part in (1, 2)]
    return {
        "minutes": seconds / 60,
        "queries": asked,
        "unanswered": unanswered,
        "statuses": sorted(statuses),
        "node_mib": [settled[0][1] / 2**20, settled[-1][1] / 2**20],
        "engine_mib": [settled[0][2] / 2**20, settled[-1][2] / 2**20],
        "node_growth_percent": grown[0],
        "engine_growth_percent": grown[1],
        "overhead_ms": [float(value) for value in np.percentile(np.array(overheads) * 1000, (50, 95))],
        "idle_percent": [float(value) for value in np.percentile(np.array(idle) * 100, (50, 95))],
        "stages_ms": {
            name: 1000 * float(np.median([stages.get(name, 0.0) for stages in times])) for name in times[-1]
        },
        "load": os.getloadavg()[0],
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def show(f: dict) -> None:
    print(f"{f['minutes']:g} minutes, {f['queries']} queries, {f['unanswered']} unanswered, load {f['load']:.1f}")
    for name in ("node", "engine"):
        first, last = f[f"{name}_mib"]
        growth = f[f"{name}_growth_percent"]
        print(f"{name + ' memory':24} {first:8.1f} -> {last:8.1f} MiB  {growth:+.2f} % (limit {GROWTH_LIMIT:g} %)")
    print("stages, p50: " + ", ".join(f"{name} {spent:.1f}" for name, spent in f["stages_ms"].items()) + " ms")
    for name, key, limit, unit in (
        ("overhead of a query", "overhead_ms", OVERHEAD_LIMIT_MS, "ms"),
        ("idle, share of a core", "idle_percent", IDLE_LIMIT, "%"),
    ):
        p50, p95 = f[key]
        print(f"{name:24} p50 {p50:6.1f} {unit}  p95 {p95:6.1f} {unit} (limit {limit:g} {unit}, ratio {p95 / limit:.2f})")


if __name__ == "__main__":
    sys.exit(main())
