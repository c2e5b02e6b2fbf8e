"""The node for half an hour: memory, CPU and overhead while a camera runs at 30 Hz and somebody asks every two seconds.

    python benchmarks/soak.py [--minutes 30] [--model lisa-mini] [--json FILE]

Camera: 1296x968 rgb8 and 640x480 16UC1. Camera, node and engine are processes of their own, as on a robot; this one is
the client. A few hiccups fill every queue once; growth after that is between the second tenth's median and the last
one's. "idle" is the node's CPU in the seconds without a query. The JSON has every reading of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from node import NOT_ENGINE, RATE, Client, camera_messages, running_node

QUERY_SECONDS = 2.0
GROWTH_LIMIT, OVERHEAD_LIMIT_MS, IDLE_LIMIT = 2.0, 10.0, 15.0


def main() -> int:
    """0; 1 when the node did not answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--camera", action="store_true", help="only be the camera, until killed")
    args = parser.parse_args()
    if args.camera:
        return camera()
    try:
        with running_node(args.model) as (node, client), subprocess.Popen(
            [sys.executable, __file__, "--camera"]  # in the domain that running_node has chosen
        ) as filming:
            try:
                figures = soak(client, node, args.minutes * 60)
            finally:
                filming.kill()
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    show(figures)
    return 0


def camera() -> int:
    """A camera at RATE, until somebody ends this process."""
    import rclpy

    rclpy.init()
    client, messages = Client(), camera_messages(1296, 968, (640, 480))
    due = time.perf_counter()
    while True:
        client.show(messages)
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))


def soak(client: Client, node: subprocess.Popen, seconds: float) -> dict:
    """Queries and readings for so long."""
    import numpy as np

    for _ in range(3):
        client.ask("the red box")
        hiccup(node.pid)
    memory: list[tuple[float, dict, dict]] = []  # (time, node, engine)
    overheads, idle, times, unanswered, statuses = [], [], [], 0, set()
    start = time.perf_counter()
    for number in range(round(seconds / QUERY_SECONDS)):
        due = start + number * QUERY_SECONDS
        mark = time.perf_counter(), cpu_seconds(node.pid)
        time.sleep(max(0.0, due - time.perf_counter()))
        if number:  # right after a query the node is busy
            idle.append((cpu_seconds(node.pid) - mark[1]) / (time.perf_counter() - mark[0]))
        memory.append((due - start, resident(node.pid), resident(*children(node.pid))))
        try:
            took = client.ask(f"the red box {number}")
        except TimeoutError:
            unanswered += 1
            continue
        stages = {stage.stage: stage.seconds for stage in client.result.stages}
        engine = sum(spent for name, spent in stages.items() if name not in NOT_ENGINE)
        overheads.append(took - engine - stages.get("lift", 0.0))  # lifting grows with the target: benchmarks/lift.py
        times.append(stages | {"on the way": took - sum(stages.values())})
        statuses.add(client.result.status)
    held = np.array([[sum(node.values()), sum(engine.values())] for _, node, engine in memory])
    tenth = len(held) // 10
    first, last = np.median(held[tenth : 2 * tenth], axis=0).tolist(), np.median(held[-tenth:], axis=0).tolist()
    return {
        "minutes": seconds / 60,
        "queries": len(memory),
        "unanswered": unanswered,
        "statuses": sorted(statuses),
        "node_mib": [first[0] / 2**20, last[0] / 2**20],
        "engine_mib": [first[1] / 2**20, last[1] / 2**20],
        "node_growth_percent": 100 * (last[0] / first[0] - 1),
        "engine_growth_percent": 100 * (last[1] / max(first[1], 1) - 1),
        "overhead_ms": [float(value) for value in np.percentile(np.array(overheads) * 1000, (50, 95))],
        "idle_percent": [float(value) for value in np.percentile(np.array(idle) * 100, (50, 95))],
        "stages_ms": {
            name: [1000 * float(v) for v in np.percentile([stages.get(name, 0.0) for stages in times], (50, 95))]
            for name in times[-1]
        },
        "load": os.getloadavg()[0],
        "memory": memory,
    }


def hiccup(pid: int) -> None:
    """Stop a process for half a second: its queues fill, and what they take then they keep. After that memory that
    grows is a leak.
    """
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(pid, signal.SIGCONT)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(*pids: int) -> dict[str, int]:
    """Resident bytes of processes: anonymous, of files, shared."""
    parts = dict.fromkeys(("RssAnon", "RssFile", "RssShmem"), 0)
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in parts:
                parts[name] += 1024 * int(value.split()[0])
    return parts


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def show(f: dict) -> None:
    print(f"{f['minutes']:g} minutes, {f['queries']} queries, {f['unanswered']} unanswered, load {f['load']:.1f}")
    for name in ("node", "engine"):
        first, last = f[f"{name}_mib"]
        growth = f[f"{name}_growth_percent"]
        print(f"{name + ' memory':24} {first:8.1f} -> {last:8.1f} MiB  {growth:+.2f} % (limit {GROWTH_LIMIT:g} %)")
    stages = ", ".join(f"{name} {p50:.1f} / {p95:.1f}" for name, (p50, p95) in f["stages_ms"].items())
    print(f"stages, p50 / p95: {stages} ms")
    for name, key, limit, unit in (
        ("overhead of a query", "overhead_ms", OVERHEAD_LIMIT_MS, "ms"),
        ("idle, share of a core", "idle_percent", IDLE_LIMIT, "%"),
    ):
        p50, p95 = f[key]
        print(f"{name:24} p50 {p50:6.1f} {unit}  p95 {p95:6.1f} {unit} (limit {limit:g} {unit}, ratio {p95 / limit:.2f})")


if __name__ == "__main__":
    sys.exit(main())
