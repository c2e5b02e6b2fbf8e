"""What configure and cleanup leave behind: memory, threads, files and processes of the node over a hundred cycles.

    python benchmarks/lifecycle.py [--cycles 100] [--model lisa-mini] [--json FILE]

Each cycle: configure (loads the model in a process of its own), activate, deactivate, cleanup. Growth is from the tenth
cycle to the last; what is made once and kept has been made by then. About 3 s a cycle.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from node import environment
from soak import children, resident
from tqdm import tqdm

SETTLED = 10
GROWTH_LIMIT = 2.0


def main() -> int:
    """0; 1 when a transition failed or a process was left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=100, help=f"more than {SETTLED}")
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--json", type=Path, help="write the readings here too")
    args = parser.parse_args()
    if args.cycles <= SETTLED:
        parser.error(f"--cycles must be more than {SETTLED}")
    environment()
    import rclpy
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    from lisa_ros.node.lisa_node import LisaNode
    from lisa_ros.node.process import Spinning

    rclpy.init()
    node = LisaNode(parameter_overrides=[Parameter("model", value=args.model)])
    spinning = Spinning(node)
    readings, took = [], []
    try:
        for _ in tqdm(range(args.cycles), unit="cycle", disable=None):
            begun = time.perf_counter()
            for transition in ("configure", "activate", "deactivate", "cleanup"):
                if getattr(node, f"trigger_{transition}")() != TransitionCallbackReturn.SUCCESS:
                    print(f"{transition} failed in cycle {len(readings) + 1}", file=sys.stderr)
                    return 1
            took.append(time.perf_counter() - begun)
            readings.append(held())
    finally:
        node.close()
        spinning.stop()
        node.free()
        node.destroy_node()
        rclpy.try_shutdown()
    settled, last = readings[SETTLED - 1], readings[-1]
    growth = 100 * (last["memory"] / settled["memory"] - 1)
    if args.json:
        args.json.write_text(json.dumps({"readings": readings, "seconds": took}, indent=1) + "\n", encoding="utf-8")
    print(f"{args.cycles} cycles, {sorted(took)[len(took) // 2]:.2f} s each (p50), load {os.getloadavg()[0]:.1f}")
    before, after = settled["memory"] / 2**20, last["memory"] / 2**20
    print(f"memory {before:.1f} -> {after:.1f} MiB  {growth:+.2f} % (limit {GROWTH_LIMIT:g} %)")
    for name in ("threads", "files", "processes"):
        print(f"{name} {settled[name]} -> {last[name]}")
    return int(last["processes"] > 0)


def held() -> dict[str, int]:
    """What this process holds while its node is unconfigured. memory: resident bytes."""
    gc.collect()
    return {
        "memory": resident(os.getpid()),
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "processes": len(children(os.getpid())),
    }


if __name__ == "__main__":
    sys.exit(main())
