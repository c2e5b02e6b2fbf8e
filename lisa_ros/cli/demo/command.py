"""The course of the demo: read the input, start the processes, ask, check, show."""
from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lisa_ros.cli.demo.inputs import DemoInput, read_input
from lisa_ros.cli.errors import CommandError, UsageError

if TYPE_CHECKING:
    from lisa_ros.cli.demo.client import Client
    from lisa_ros.cli.demo.processes import Process
    from lisa_ros.cli.demo.record import Answer

DEFAULT_SEED = 5
READY_SECONDS = 100.0
FRAME_SECONDS = 30.0
ASK_SECONDS = 40.0
TOTAL_SECONDS = 175.0
OURS = ("*.png", "*.ply", "result.json", "index.html")


def main(argv: Sequence[str]) -> int:
    """0 when every query got exactly one result and all outputs agree with one another, else 1."""
    args = _parse(argv)
    say = Progress()
    say(f"reading the input: {args.input}")
    shown = read_input(args.input, args.query, args.seed)
    logs = _fresh_folder(args.out)
    answers, started = _run(args, shown, logs, say)
    from lisa_ros.cli.demo.record import write_outputs
    from lisa_ros.cli.demo.summary import summary

    page = write_outputs(args.out, shown, answers, model=args.model, mode=args.mode, ready_seconds=started)
    print(summary(shown, answers))
    print(f"\nopen {page}   (overlays, masks, .ply clouds, result.json and logs/ lie beside it)")
    _show(page, browser=not args.no_browser)
    return 0 if all(answer.passed for answer in answers) else 1


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lisa demo", description="See it work: node, camera replay, five questions, a page.")
    parser.add_argument("--input", default="synthetic", help="synthetic (default), arc2017, or a folder with colour + depth + camera JSON")
    parser.add_argument("--query", action="append", default=[], help="ask this instead of the input's own questions; repeatable")
    parser.add_argument("--model", default="lisa-mini", help="lisa-mini (default), a checkpoint directory, or a hub id")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N")
    parser.add_argument("--mode", choices=("mask", "chat"), default="chat", help="chat: the model also writes an answer (default)")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for everything that is written")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="which held-out synthetic scene")
    parser.add_argument("--no-browser", action="store_true", help="do not open index.html on a desktop")
    args = parser.parse_args(argv)
    if any(not query.strip() for query in args.query):
        raise UsageError("--query is empty: say what to look for")
    if len(set(args.query)) < len(args.query):
        raise UsageError("--query: the same question twice; results are told apart by their text")
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file: give a folder")
    return args


class Progress:
    """One line that says what is under way and for how long; a new line per step where the output is no terminal."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._began = time.monotonic()
        self._text = ""

    def __call__(self, text: str) -> None:
        """Begin a step."""
        self.end()
        self._text, self._began = text, time.monotonic()
        print(f"{text} ...", end="" if self._live else "\n", flush=True)

    def tick(self) -> None:
        """Show the seconds of the running step."""
        if self._live and self._text:
            print(f"\r{self._text} ... {time.monotonic() - self._began:.1f} s", end="", flush=True)

    def end(self) -> None:
        """Close the running step's line."""
        if self._live and self._text:
            print(f"\r{self._text} ... {time.monotonic() - self._began:.1f} s")
        self._text = ""


def _fresh_folder(out: Path) -> Path:
    """`out` without the files of an earlier demo; returns its logs folder."""
    try:
        logs = out / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)
        for pattern in OURS:
            for path in out.glob(pattern):
                path.unlink()
    except OSError as error:
        raise CommandError(f"cannot write --out {out}: {error.strerror or error}; choose another folder") from error
    return logs.resolve()


def _run(args: argparse.Namespace, shown: DemoInput, logs: Path, say: Progress) -> tuple[list[Answer], float]:
    """Start both processes, ask everything, stop both. Returns the answers and the seconds until the node was ready."""
    from lisa_ros.cli.demo.processes import private_environment, ros_process

    env = private_environment(logs)
    try:
        from lisa_ros.cli.demo.client import Client
    except ImportError as error:
        raise CommandError(
            f"ROS 2 or the built lisa_ros interfaces are not there ({error}); `./run demo` sets both up, or source your "
            "workspace's install/setup.bash"
        ) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the processes are stopped below
    node = {"model": args.model, "device": args.device, "mode": args.mode}
    replay = {"source": shown.source, "hold_frame": 0, "frames": 1}
    processes: list[Process] = []
    client = None
    try:
        say("starting the camera replay and the LISA node")
        began = time.monotonic()
        processes.append(ros_process("lisa_node", "lisa_ros.node.main", node, log=logs / "lisa_node.log", env=env))
        processes.append(ros_process("lisa_replay", "lisa_ros.node.replay", replay, log=logs / "lisa_replay.log", env=env))
        client = Client()
        _wait_until_ready(client, processes, args.model, say)
        ready_seconds = time.monotonic() - began
        _wait_for_frame(client, processes, say)
        return _ask(client, processes, shown, say, until=began + TOTAL_SECONDS), ready_seconds
    finally:
        say("stopping both")
        if client is not None:
            client.close()
        for process in processes:
            process.stop()
        say.end()


def _wait_until_ready(client: Client, processes: Sequence[Process], model: str, say: Progress) -> None:
    say(f"the node loads {model}")
    end = time.monotonic() + READY_SECONDS
    while not client.spin_until(client.ready, 0.25):
        say.tick()
        _must_run(processes, say)
        if time.monotonic() > end:
            say.end()
            raise CommandError(f"the node was not ready after {READY_SECONDS:.0f} s; the end of its log:\n{_tails(processes)}")


def _wait_for_frame(client: Client, processes: Sequence[Process], say: Progress) -> None:
    """Ask a question that is not counted until the node has a frame to answer it on (it also warms the model up)."""
    say("waiting for the first frame (one question to warm up)")
    end = time.monotonic() + FRAME_SECONDS
    while True:
        reply = client.ask("anything at all", seconds=FRAME_SECONDS, alive=lambda: _running(processes))
        _must_run(processes, say)
        say.tick()
        if reply.result is not None and reply.status != "NO_FRAME":
            return
        if time.monotonic() > end:
            said = reply.result.message if reply.result else "no result came"
            say.end()
            raise CommandError(f"no frame reached the node within {FRAME_SECONDS:.0f} s ({said}):\n{_tails(processes)}")
        client.spin_until(lambda: False, 0.3)


def _ask(client: Client, processes: Sequence[Process], shown: DemoInput, say: Progress, *, until: float) -> list[Answer]:
    from lisa_ros.cli.demo.checks import check_reply
    from lisa_ros.cli.demo.record import Answer

    answers = []
    for number, query in enumerate(shown.queries, start=1):
        say(f"question {number} of {len(shown.queries)}: {query.text}")
        patience = max(1.0, min(ASK_SECONDS, until - time.monotonic()))
        reply = client.ask(query.text, seconds=patience, alive=lambda: _running(processes))
        _must_run(processes, say)
        client.late_results(reply)
        answers.append(Answer(query, reply, check_reply(reply, shown.frame)))
    return answers


def _running(processes: Sequence[Process]) -> bool:
    return all(process.exit_status is None for process in processes)


def _must_run(processes: Sequence[Process], say: Progress) -> None:
    for process in processes:
        if process.exit_status is not None:
            say.end()
            raise CommandError(
                f"{process.name} ended with status {process.exit_status}; the end of {process.log}:\n{process.log_tail()}"
            )


def _tails(processes: Sequence[Process]) -> str:
    return "\n".join(f"  {process.log}:\n{process.log_tail(8)}" for process in processes)


def _show(page: Path, *, browser: bool) -> None:
    """Open the page where there is a desktop; never wait for it."""
    import os
    import webbrowser

    if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(page.resolve().as_uri())
