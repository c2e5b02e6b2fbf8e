"""`lisa scannet-demo`: a scene in ScanNet's formats from end to end: made, bagged, replayed to the node, scored."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lisa_ros.cli.demo.command import Progress
from lisa_ros.cli.errors import CommandError, UsageError
from lisa_ros.cli.table import render

if TYPE_CHECKING:
    from lisa_ros.cli.demo.client import Client, Reply
    from lisa_ros.cli.demo.processes import Process
    from scannet_tools.questions import SceneQuestion
    from scannet_tools.scene import Scene

READY_SECONDS = 100.0
ASK_SECONDS = 40.0
REPLAY_RATE = 0.5
"""As fast as it was recorded, times this: decoding 30 pictures a second leaves a small machine little for the model."""

ON_TARGET = 0.05
"""Metres from a vertex of the target within which a point is on it."""

NO_ROS = (
    "ROS 2 or the built lisa_ros interfaces are not there ({error}), and the replay goes through the node; "
    "`./run lisa scannet-demo` sets both up, or source your workspace's install/setup.bash. Without ROS: python3 -m "
    "scannet_tools synthesize --out DIR, then python3 -m scannet_tools evaluate DIR --out SCORES"
)
HEADERS = ("question", "kind", "frame", "status", "mask IoU", "points", "on target", "ms")


@dataclass
class Heard:
    """One question and what the node sent back while the bag played.

    frame: number of the frame that the answer is about, by its stamp; None without an answer. in_view: pixels of the
    target there. iou: of the mask; None where no pixel of the target is in view. on_target: share of the points on the
    target's vertices; None without points or without a target.
    """

    question: str
    kind: str
    reply: Reply
    frame: int | None = None
    in_view: int = 0
    iou: float | None = None
    on_target: float | None = None

    def cells(self) -> tuple[object, ...]:
        """As a row under `HEADERS`."""
        points = 0 if self.reply.points is None else len(self.reply.points)
        hidden = self.kind != "absent" and self.frame is not None and self.in_view == 0
        iou = None if self.iou is None else f"{self.iou:.2f}"
        return (
            self.question,
            self.kind,
            self.frame,
            self.reply.status,
            "out of view" if hidden else iou,
            points or None,
            None if self.on_target is None else f"{100 * self.on_target:.0f} %",
            f"{1000 * self.reply.seconds:.0f}",
        )


def main(argv: Sequence[str]) -> int:
    """0 when every question got its one answer over ROS and the scene was scored, else 1."""
    args = _parse(argv)
    logs = _fresh_folder(args.out)
    client_type, env = _ros(logs)
    say = Progress()
    scene, bag = _scene_and_bag(args)
    heard = _replay(args, scene, bag, logs, client_type, env, say)
    say.end()
    table = render(HEADERS, [one.cells() for one in heard], align="llrllrrr")
    print(f"\nthrough the node, while the bag played:\n\n{table}\n")
    status = _score(args, scene, heard)
    return status or (0 if all(len(one.reply.results) == 1 for one in heard) else 1)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lisa scannet-demo",
        description="Make a scene in ScanNet's formats, bag it, replay it through the node, score the model, report.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo_out/scannet"), help="folder for everything that is written"
    )
    parser.add_argument("--frames", type=int, default=300, help="of the scene (default 300)")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="score every N-th frame (default 10)")
    parser.add_argument("--questions", type=int, default=6, metavar="N", help="asked through the node (default 6)")
    parser.add_argument("--seed", type=int, default=0, help="which scene: rooms are even, table tops odd (default 0)")
    parser.add_argument("--model", default="lisa-mini", help="lisa-mini (default), a checkpoint directory, or a hub id")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N")
    args = parser.parse_args(argv)
    for name in ("frames", "every", "questions"):
        if getattr(args, name) < 1:
            raise UsageError(f"--{name} is {getattr(args, name)}: at least 1")
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file: give a folder")
    return args


def _fresh_folder(out: Path) -> Path:
    """`out` with an empty folder of logs, which is returned. A scene that is there is kept: making it takes longest."""
    try:
        shutil.rmtree(out / "logs", ignore_errors=True)
        (out / "logs").mkdir(parents=True)
    except OSError as error:
        raise CommandError(f"cannot write --out {out}: {error.strerror or error}; choose another folder") from error
    return (out / "logs").resolve()


def _ros(logs: Path) -> tuple[type[Client], dict[str, str]]:
    """The demo's client and an environment for the processes, in a ROS domain of their own."""
    from lisa_ros.cli.demo.processes import private_environment

    env = private_environment(logs)
    try:
        from lisa_ros.cli.demo.client import Client
    except ImportError as error:
        raise CommandError(NO_ROS.format(error=error)) from error
    return Client, env


def _scene_and_bag(args: argparse.Namespace) -> tuple[Scene, Path]:
    """Both made by the commands that a user would type."""
    from scannet_tools.scene import Scene
    from scannet_tools.synthetic.scannet import scene_folder

    try:
        folder = scene_folder(args.out, args.seed)
    except ValueError as error:
        raise UsageError(f"--seed: {error}") from error
    bag = args.out / "bag"
    _tool("synthesize", "--out", args.out, "--seed", args.seed, "--frames", args.frames)
    _tool("bag", folder, "--out", bag, "--overwrite")
    return Scene(folder), bag


def _tool(*arguments: object) -> None:
    """`python3 -m scannet_tools ...` in this process."""
    from scannet_tools.cli import main as scannet_tools

    words = [str(argument) for argument in arguments]
    print(f"$ python3 -m scannet_tools {shlex.join(words)}", flush=True)
    status = scannet_tools(words)
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise CommandError(f"scannet_tools {words[0]} ended with status {status}; what it says above is the reason")


def _replay(
    args: argparse.Namespace,
    scene: Scene,
    bag: Path,
    logs: Path,
    client_type: type[Client],
    env: dict[str, str],
    say: Progress,
) -> list[Heard]:
    """Start node and replay, ask, stop both."""
    from lisa_ros.cli.demo.processes import ros_process

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the processes are stopped below
    node = {
        "model": args.model,
        "device": args.device,
        "color_transport": "compressed",
        "depth_transport": "compressed",
        "target_frame": "map",
    }
    replay = {"source": str(bag.resolve()), "stamps": "file", "rate": REPLAY_RATE}
    processes: list[Process] = []
    client = None
    try:
        say("starting the LISA node and the replay of the bag")
        processes.append(ros_process("lisa_node", "lisa_ros.node.main", node, log=logs / "lisa_node.log", env=env))
        processes.append(
            ros_process("lisa_replay", "lisa_ros.node.replay", replay, log=logs / "lisa_replay.log", env=env)
        )
        client = client_type()
        judge = _Judge(scene)
        reply, heard = _wait_for_answers(client, processes, say), []
        for number, question in enumerate(_some(judge.questions, args.questions), start=1):
            say(f"question {number} of {args.questions}: {question.question}")
            in_view = partial(judge.in_view_now, question, judge.frame_of(reply), time.monotonic())
            client.spin_until(in_view, judge.seconds / REPLAY_RATE)
            reply = client.ask(question.question, seconds=ASK_SECONDS, alive=lambda: _running(processes))
            _must_run(processes, say)
            client.late_results(reply)
            heard.append(judge.judge(question, reply))
        return heard
    finally:
        say("stopping both")
        if client is not None:
            client.close()
        for process in processes:
            process.stop()
        say.end()


def _wait_for_answers(client: Client, processes: Sequence[Process], say: Progress) -> Reply:
    """The first answer, to a question that is not counted, about a frame whose place the node knows."""
    say("the node loads the model")
    end = time.monotonic() + READY_SECONDS
    reply = None
    while True:
        if client.spin_until(client.ready, 0.25):
            reply = client.ask("anything at all", seconds=ASK_SECONDS, alive=lambda: _running(processes))
            if reply.status in ("FOUND", "NOT_FOUND"):
                return reply
        _must_run(processes, say)
        say.tick()
        if time.monotonic() > end:
            say.end()
            said = "the node was not ready" if reply is None or reply.result is None else reply.result.message
            tails = "\n".join(f"  {process.log}:\n{process.log_tail(8)}" for process in processes)
            raise CommandError(f"no answer within {READY_SECONDS:.0f} s ({said}); the ends of the logs:\n{tails}")


def _running(processes: Sequence[Process]) -> bool:
    return all(process.exit_status is None for process in processes)


def _must_run(processes: Sequence[Process], say: Progress) -> None:
    for process in processes:
        if process.exit_status is not None:
            say.end()
            raise CommandError(
                f"{process.name} ended with status {process.exit_status}; "
                f"the end of {process.log}:\n{process.log_tail()}"
            )


def _some(questions: Sequence[SceneQuestion], count: int) -> list[SceneQuestion]:
    """So many questions, one of each kind after the other; no text twice, since results are told apart by it."""
    by_kind: dict[str, list[SceneQuestion]] = {}
    for question in {question.question: question for question in questions}.values():
        by_kind.setdefault(question.kind, []).append(question)
    in_turn = [
        kind[i] for i in range(max(map(len, by_kind.values()), default=0)) for kind in by_kind.values() if i < len(kind)
    ]
    return in_turn[:count]


class _Judge:
    """Holds replies against the scene: which frame they are about, its truth, and the mesh.

    questions: the scene's own. seconds: from its first frame to its last, as recorded.
    """

    def __init__(self, scene: Scene) -> None:
        from scannet_tools.questions import read_questions

        self._scene = scene
        self.questions = read_questions(scene.folder / "questions.jsonl")
        with scene.open_sens() as sens:
            self._stamps = sens.stamps_ns()
        self.seconds = (self._stamps[-1] - self._stamps[0]) / 1e9
        self._pixels = [self._count(number) for number in range(len(self._stamps))]
        self._vertices, self._annotation = scene.mesh().vertices, scene.annotation()

    def judge(self, question: SceneQuestion, reply: Reply) -> Heard:
        from lisa_ros.evaluation.metrics import mask_iou

        heard = Heard(question.question, question.kind, reply)
        heard.frame = self.frame_of(reply)
        if reply.mask is None or heard.frame is None:
            return heard
        truth = np.isin(self._scene.instance_image(heard.frame), question.targets)
        heard.in_view = int(np.count_nonzero(truth))
        if heard.in_view:
            heard.iou = mask_iou(reply.mask > 0, truth)
        if reply.points is not None and question.targets:
            heard.on_target = self._share_on(reply.points, self._annotation.vertices_of(question.targets))
        return heard

    def frame_of(self, reply: Reply) -> int | None:
        """Number of the frame that an answer is about; None without one, or when the scene has no such frame."""
        if reply.result is None:
            return None
        stamp = reply.result.header.stamp
        (matching,) = np.nonzero(self._stamps == stamp.sec * 1_000_000_000 + stamp.nanosec)
        return int(matching[0]) if len(matching) else None

    def in_view_now(self, question: SceneQuestion, frame: int | None, since: float) -> bool:
        """Whether the replay probably shows the target, `frame` having been there at `since` (time.monotonic).

        A question about what is not there can be asked anywhere.
        """
        if frame is None or not question.targets:
            return True
        pace = len(self._stamps) / self.seconds * REPLAY_RATE
        now = int(frame + (time.monotonic() - since) * pace) % len(self._stamps)
        return self._pixels[now][list(question.targets)].sum() > 0.01 * self._pixels[now].sum()

    def _count(self, number: int) -> np.ndarray:
        """int64 [65536], the pixels of each object id in a frame."""
        return np.bincount(self._scene.instance_image(number).reshape(-1), minlength=1 << 16)

    def _share_on(self, points: np.ndarray, target: np.ndarray) -> float:
        """Share of points [n,3], in the mesh's frame, near a vertex of the target, bool [m]."""
        from scipy.spatial import cKDTree

        distances, _ = cKDTree(self._vertices[target]).query(points, distance_upper_bound=ON_TARGET)
        return float(np.mean(np.isfinite(distances)))


def _score(args: argparse.Namespace, scene: Scene, heard: Sequence[Heard]) -> int:
    """`scannet_tools evaluate` of the scene, with what went through the node on the page too."""
    from scannet_tools.cli import evaluate

    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    options = parser.parse_args(
        [
            str(scene.folder),
            *("--out", str(args.out), "--every", str(args.every)),
            *("--model", args.model, "--device", args.device),
        ]
    )
    try:
        return evaluate.run_part(options, node=_section(heard))
    except (OSError, ValueError, ImportError) as error:
        raise CommandError(str(error)) from error


def _section(heard: Sequence[Heard]) -> str:
    """The page's section about the node."""
    from lisa_ros.evaluation.page.markup import table

    rows = [["–" if cell is None else cell for cell in one.cells()] for one in heard]
    return (
        '<section aria-labelledby="node"><h2 id="node">Through the node</h2>'
        '<p class="small">Asked over the query topic while the bag played, each about the newest frame. On target: '
        f"points within {100 * ON_TARGET:.0f} cm of the target's vertices on the mesh. ms: from question to result.</p>"
        '<div class="wide" tabindex="0" role="region" aria-labelledby="node">'
        f"{table(HEADERS, rows, text_columns=2)}</div></section>"
    )
