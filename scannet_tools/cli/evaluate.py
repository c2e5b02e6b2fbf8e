"""Ask a model questions about ScanNet scenes and score its answers.

Every frame that is asked about is encoded once, and all questions of its scene are asked in one batch. Masks are scored
against the frame's truth, the points of all frames, fused by votes, against the vertices of the mesh. DIR gets
scores.json, report.html (one file, opens anywhere) and rows/, one file per scene: a second call with the same settings
goes on where the first one ended.
Several GPUs: accelerate launch --num_processes N -m scannet_tools evaluate ... (or --jobs N here).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scannet_tools.evaluation.part import Part
    from scannet_tools.evaluation.run import Run
    from scannet_tools.evaluation.settings import Settings

TABLE = ("question", "frames", "gIoU", "cIoU", "refused", "vertex IoU", "precision", "recall", "Acc@0.25", "Acc@0.5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `scannet_tools evaluate`."""
    from lisa_ros.cli.model import add_model_flags

    parser.add_argument(
        "path", type=Path, metavar="SCENES", help="a scene folder, or a folder of them (scans, or its parent)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for scores.json, report.html and rows/"
    )
    parser.add_argument("--scenes", nargs="+", metavar="NAME", default=[], help="only these, e.g. scene0000_00")
    parser.add_argument(
        "--questions", type=Path, metavar="FILE",
        help="JSON lines; without it each scene's own questions.jsonl, or questions made from its annotation",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="TSV", help="scannetv2-labels.combined.tsv, when it is not beside the scenes"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="ask about every N-th frame (default 1)")
    parser.add_argument(
        "--max", type=int, default=0, metavar="N", help="at most so many frames per scene (default 0: all)"
    )
    parser.add_argument(
        "--truth", choices=("filt", "mesh"), default="filt",
        help="of the masks: the scene's -filt instance pictures (default), or the annotated mesh, ray-cast",
    )  # fmt: skip
    parser.add_argument(
        "--in-view", type=float, default=0.3, metavar="PERCENT",
        help="share of the picture from which a target counts as in view (default 0.3)",
    )  # fmt: skip
    parser.add_argument("--mode", choices=("mask", "chat"), default="mask")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes on this machine (default 1)")
    add_model_flags(parser)
    through = parser.add_argument_group("a running node instead of a model here (its parameters say which model)")
    through.add_argument(
        "--bag", type=Path, metavar="BAG", help="ask about the frames of this bag of the scene, over ~/segment_image"
    )
    through.add_argument("--node", default="/lisa", metavar="NAME", help="full name of the node (default /lisa)")


def run(options: argparse.Namespace) -> int:
    """0 when every scene was scored, 1 when one was left out or a file cannot be used.

    Raises:
        OSError, ValueError, ImportError: with what to do about it.
    """
    from scannet_tools.evaluation.part import Part, run_in_processes

    _check(options)
    part = Part.from_environment()
    if options.jobs == 1:
        return run_part(options)
    if options.bag is not None:
        raise ValueError("--bag asks one node, one frame after the other: leave --jobs out")
    if part.count > 1:
        raise ValueError("--jobs and accelerate launch (RANK, WORLD_SIZE) both start processes: use one of them")
    return run_in_processes(options.jobs, run_part, options)


def run_part(options: argparse.Namespace, *, node: str = "") -> int:
    """This process's scenes, and the report if it finds all scenes done. node: a section for the page, as HTML."""
    from scannet_tools.cli.evaluate_plan import node_plan, plan
    from scannet_tools.evaluation.part import Part

    part = Part.from_environment()
    if options.bag is None:
        return _carry_out(plan(options, part), part, options, node=node)
    with node_plan(options) as planned:
        return _carry_out(planned, part, options, through=f"{options.node}, asked about the frames of {options.bag}")


def _carry_out(planned: Run, part: Part, options: argparse.Namespace, *, node: str = "", through: str = "") -> int:
    """Ask, and report. through: which node was asked, for the page."""
    from tqdm import tqdm

    made = planned.ask(part, say=tqdm.write)
    rows = planned.rows()
    if rows is None:
        print(f"process {part.rank} of {part.count} is done; the last one makes the report")
        return 0
    if made == 0 and part.rank != 0:  # nothing new: one of the processes is enough
        return 0
    figures = planned.report(rows, about(planned.settings, options, through), node=node)
    print(scores_table(figures))
    print(f"\nopen {options.out / 'report.html'}   (all figures: {options.out / 'scores.json'})")
    return 1 if figures["failed"] else 0


def about(settings: Settings, options: argparse.Namespace, through: str) -> dict[str, Any]:
    """Facts about the run for scores.json and the page."""
    model = (
        {"node": through} if through else {"model": settings.model, "device": settings.device, "dtype": settings.dtype}
    )
    return {
        **model,
        "mode": options.mode,
        "truth": {"filt": "instance pictures (-filt)", "mesh": "annotated mesh, ray-cast"}[options.truth],
        "frames asked": f"one of {options.every}" if options.every > 1 else "all",
        "at most per scene": options.max or "",
    }


def scores_table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    from lisa_ros.cli.table import render

    names = ("giou", "ciou", "false_refusals", "vertex_iou", "precision", "recall", "acc25", "acc50")
    rows = [
        (kind, values["in_view"], *(None if values[name] is None else f"{values[name]:.3f}" for name in names))
        for kind, values in figures["kinds"].items()
    ]
    absent, hidden = figures["absent"], figures["out_of_view"]
    lines = [render(TABLE, rows, align="l" + "r" * len(names)), ""]
    lines.append(f"absent targets refused: {_percent(absent['refused'])} of {absent['asked']} answers")
    lines.append(f"targets elsewhere in the scene refused: {_percent(hidden['refused'])} of {hidden['asked']} answers")
    for stage, seconds in figures["seconds"].items():
        if seconds["count"]:
            lines.append(
                f"{stage}: p50 {1000 * seconds['p50']:.1f} ms, p95 {1000 * seconds['p95']:.1f} ms ({seconds['count']})"
            )
    lines += [f"left out: {scene}: {reason}" for scene, reason in figures["failed"].items()]
    return "\n".join(lines)


def _check(options: argparse.Namespace) -> None:
    for name, value, low, high in (
        ("--every", options.every, 1, None),
        ("--max", options.max, 0, None),
        ("--jobs", options.jobs, 1, None),
        ("--in-view", options.in_view, 0, 100),
    ):
        if value < low or (high is not None and value > high):
            wanted = f"{low} or more" if high is None else f"{low} to {high}"
            raise ValueError(f"{name} is {value}: give {wanted}")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {options.out} is a file: give a folder")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
