"""`lisa bench`: the stages of a query, from encode to the node's overhead, in one table with limits."""
from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lisa_ros
from lisa_ros.cli.errors import CommandError
from lisa_ros.cli.model import add_model_flags, load_engine
from lisa_ros.cli.table import render

RANDOM_WEIGHTS = ("7b", "13b", "llava-1.5-7b", "mini")
HEADERS = ("stage", "p50", "p95", "n", "limit", "x limit", "remark")


def main(argv: Sequence[str]) -> int:
    """Measure and print; parts that cannot run here are named as not measured."""
    args = _parse(argv)
    command = ("lisa bench " + shlex.join(argv)).strip()
    if args.random_weights:
        from lisa_ros.cli.random_bench import RandomBench, table

        bench = RandomBench.build(args)
        lines = machine_lines(bench.engine) + bench.lines()
        print(f"{command}\n" + "\n".join(lines) + "\n", flush=True)
        rows = bench.rows()
        print(table(rows))
    else:
        engine = load_engine(args)
        lines = machine_lines(engine)
        print(f"{command}\n" + "\n".join(lines) + "\n", flush=True)
        rows = _measure(engine, args.repeats)
        rows += [] if args.no_node else _node_rows(args)
        print(render(HEADERS, [_cells(row) for row in rows], align="lrrrrrl"))
    if args.json:
        _write_json(args.json, {"command": command, "machine": lines, "rows": rows})
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lisa bench", description="Measure the stages of a query.")
    add_model_flags(parser)
    parser.add_argument("--repeats", type=int, default=10, help="runs per stage (default 10)")
    parser.add_argument(
        "--no-node", action="store_true", help="leave out what needs ROS: node overhead, idle CPU share"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    group = parser.add_argument_group("without a checkpoint")
    group.add_argument(
        "--random-weights",
        metavar="SHAPES",
        choices=RANDOM_WEIGHTS,
        help=f"a model of true shapes with random weights instead of --model: {', '.join(RANDOM_WEIGHTS)}. "
        "Measures every stage, memory, and the same work done the way of the published code",
    )
    group.add_argument(
        "--layers", type=int, metavar="N", help="only so many of its language model's layers, for a small machine"
    )
    args = parser.parse_args(argv)
    if args.random_weights is None:
        if args.layers is not None:
            parser.error("--layers needs --random-weights: a checkpoint's layers are all needed")
        if args.repeats < 3:
            parser.error("--repeats must be at least 3: p95 of fewer says nothing")
    elif args.repeats < 1:
        parser.error("--repeats must be at least 1")
    elif args.model != parser.get_default("model"):
        parser.error("give --model or --random-weights, not both")
    return args


def _measure(engine: Any, repeats: int) -> list[dict[str, Any]]:
    from lisa_ros.evaluation.baselines import largest_object
    from lisa_ros.evaluation.timing import engine_timings, lift_timings
    from lisa_ros.geometry import Frame
    from scannet_tools.synthetic import make_frame

    scene = make_frame(0, split="test")
    queries = [question.text for question in scene.questions]
    frame = Frame(scene.color, camera=scene.camera, depth=scene.depth)
    timings = engine_timings(engine, frame.color, queries, repeats=repeats)
    timings += lift_timings(frame, largest_object(scene.instance), repeats=max(repeats, 20))
    return [timing.as_dict() for timing in timings]


def _node_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What benchmarks/node.py of the source tree measures, in a process of its own."""
    script = Path(lisa_ros.__file__).parents[1] / "benchmarks" / "node.py"
    if not script.is_file():
        return [_not_measured("node overhead", "needs benchmarks/node.py of the source tree")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "node.json"
        command = [sys.executable, str(script), "--json", str(out)]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0 or not out.is_file():
            tail = "\n".join(done.stdout.strip().splitlines()[-15:])
            status = f"failed with status {done.returncode} (--no-node leaves it out)"
            raise CommandError(f"benchmarks/node.py {status}:\n{tail}")
        return node_rows(json.loads(out.read_text(encoding="utf-8")))


def node_rows(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table from what benchmarks/node.py --json wrote."""
    return list(measured["rows"])


def _not_measured(stage: str, why: str) -> dict[str, Any]:
    return {"stage": stage, "p50_ms": None, "p95_ms": None, "n": 0, "limit_ms": None, "remark": f"not measured: {why}"}


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    unit = row.get("unit", "ms")
    limit = row.get("limit_ms")
    value = row.get("p50_ms")
    return (
        row["stage"],
        _quantity(value, unit),
        _quantity(row.get("p95_ms"), unit),
        row.get("n") or None,
        None if limit is None else f"{limit:g} {unit}",
        None if limit is None or value is None else f"{value / limit:.2f}",
        row.get("remark", ""),
    )


def _quantity(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.1f} {unit}"


def machine_lines(engine: Any) -> list[str]:
    """What the figures were measured on."""
    import torch

    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    lines = [f"machine: {_cpu_name()}, {cores} cores; load {load:.1f} before the run"]
    if load > 0.5 * cores:
        lines.append("other programs kept these cores busy: the times below are longer than this machine needs")
    if torch.cuda.is_available():
        lines.append(f"GPU: {torch.cuda.get_device_name(0)}")
    threads = torch.get_num_threads()
    lines.append(
        f"model: {engine.name} on {engine.device}, {engine.dtype}; torch {torch.__version__}, {threads} threads"
    )
    lines.append(f"python {platform.python_version()}, lisa_ros {lisa_ros.__version__}")
    return lines


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write --json {path}: {error.strerror or error}") from error
