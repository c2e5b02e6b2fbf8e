"""`lisa eval reasonseg` and `lisa eval refcoco`: the paper's evaluation of a model on data sets on disk.

Started by `accelerate launch` or torchrun, the processes share the pictures; they meet in --out only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lisa_ros.cli.errors import CommandError, UsageError
from lisa_ros.cli.model import add_model_flags, load_engine, load_options
from lisa_ros.cli.table import render
from lisa_ros.evaluation.protocol import MODES, PROTOCOLS, STATED, WORDINGS

if TYPE_CHECKING:
    from lisa_ros.datasets.example import EvaluationSet
    from lisa_ros.evaluation.summary import Summary
    from scannet_tools.evaluation.part import Part

REFCOCO = {
    "refcoco": ("val", "testA", "testB"),
    "refcoco+": ("val", "testA", "testB"),
    "refcocog": ("val", "test"),
    "grefcoco": ("val", "testA", "testB"),
}
"""Set -> its splits for evaluation."""

ROWS = "rows.jsonl"
HEADERS = ("set", "kind", "n", "gIoU", "cIoU", "N-acc", "T-acc")


def add_parsers(kinds: argparse._SubParsersAction) -> None:
    """Add both sub-commands."""
    reasonseg = kinds.add_parser(
        "reasonseg",
        help="the ReasonSeg benchmark: gIoU and cIoU of short and long queries",
        description="gIoU and cIoU on ReasonSeg, over short and long queries and all of them.",
    )
    reasonseg.set_defaults(set="reasonseg")
    known = ("val", "test", "train")
    reasonseg.add_argument("--split", nargs="+", choices=known, default=["val"], help="one or more (default val)")
    _add_flags(reasonseg)
    refcoco = kinds.add_parser(
        "refcoco",
        help="refCOCO, refCOCO+, refCOCOg, gRefCOCO: gIoU and cIoU per split, and refusals of absent targets",
        description="gIoU and cIoU on the refCOCO sets; on gRefCOCO also N-acc and T-acc (GRES).",
    )
    refcoco.add_argument("--set", choices=tuple(REFCOCO), default="refcoco", help="which of them (default refcoco)")
    splits = ("val", "testA", "testB", "test")
    refcoco.add_argument("--split", nargs="+", choices=splits, default=["val"], help="one or more (default val)")
    _add_flags(refcoco)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_model_flags(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="ROOT", help="folder of the data sets, laid out as LISA's"
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="mask",
        help='mask (default): the answer "[SEG]." is forced, as in the paper; chat: the model writes, all its [SEG] '
        "together are the answer, none is an empty one",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="lisa",
        help="lisa (default): ignored regions count in no score; plain: as background, as in Seg-Zero, VisionReasoner",
    )
    parser.add_argument(
        "--wording",
        choices=("auto", *WORDINGS),
        default="auto",
        help="lisa: the published code's questions; model: the bare text in the checkpoint's own template; auto "
        "(default): model for checkpoints with a template of their own, such as lisa-mini, else lisa",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures of each split")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write DIR/SET-SPLIT/ with report.html, scores.json, samples.json and the finished rows: a second call "
        "continues",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score the splits one after the other and print a table of what this process knows of them."""
    from lisa_ros.cli.checkpoint import digest, locate
    from lisa_ros.cli.local_device import local_device
    from lisa_ros.model.config import CheckpointError
    from scannet_tools.evaluation.part import Part

    _check(args)
    try:
        part = Part.from_environment()
        if part.count > 1 and args.out is None:
            raise UsageError("several processes meet in a folder: give --out DIR")
        sets = [_open(args, split) for split in args.split]
        args.device = local_device(args.device, part.local_rank)
        settings = {
            "engine_digest": digest(locate(args.model)),
            **{name: str(value) for name, value in load_options(args).items()},
        }
        args.wording = _wording(args)
        engine = load_engine(args)
        summaries = [_score(engine, one, args, settings, part) for one in sets]
    except (ValueError, OSError, CheckpointError) as error:
        raise CommandError(str(error)) from error
    _print(args, engine, sets, summaries, part)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit is {args.limit}: at least one picture")
    wrong = [split for split in args.split if split not in REFCOCO.get(args.set, args.split)]
    if wrong:
        raise UsageError(f"--split {wrong[0]}: {args.set} has {', '.join(REFCOCO[args.set])}")
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file: give a folder")


def _open(args: argparse.Namespace, split: str) -> EvaluationSet:
    from lisa_ros.datasets.opening import open_evaluation_set

    if not args.data.is_dir():
        raise CommandError(f"--data {args.data}: no such folder; give the one that holds reason_seg, refer_seg, ...")
    return open_evaluation_set(args.set, args.data, split)


def _wording(args: argparse.Namespace) -> str:
    """What "auto" means for this checkpoint."""
    from lisa_ros.cli.checkpoint import locate
    from lisa_ros.model.config import LisaConfig, read_config_json

    if args.wording != "auto":
        return args.wording
    own = read_config_json(locate(args.model) / "config.json").get("lisa_ros", {})
    return "lisa" if own.get("query_template", LisaConfig.query_template) == LisaConfig.query_template else "model"


def _score(
    engine: Any, one: EvaluationSet, args: argparse.Namespace, settings: dict[str, Any], part: Part
) -> Summary | None:
    """The figures of a split, None while other processes still work on it."""
    from tqdm import tqdm

    from lisa_ros.evaluation.report import write_results
    from lisa_ros.evaluation.rows import read_rows
    from lisa_ros.evaluation.run import run_settings, score_items
    from lisa_ros.evaluation.summary import summarise_rows

    choices = {"mode": args.mode, "protocol": args.protocol, "wording": args.wording}
    folder = args.out and args.out / f"{one.name}-{one.split}"
    rows = score_items(
        engine,
        one,
        **choices,
        limit=args.limit,
        share=(part.rank, part.count),
        rows_path=folder and folder / ROWS,
        settings=settings,
        progress=lambda left: tqdm(left, desc=f"{one.name} {one.split}", unit="picture", disable=part.rank > 0),
    )
    if folder is None:
        return summarise_rows(rows)
    about = {**run_settings(engine, one, **choices), **settings}
    done = read_rows(folder / ROWS, about)
    wanted = range(min(args.limit or len(one), len(one)))
    if not all(index in done for index in wanted):
        return None
    return write_results(folder, [done[index] for index in wanted], one, about)


def _print(
    args: argparse.Namespace,
    engine: Any,
    sets: Sequence[EvaluationSet],
    summaries: Sequence[Summary | None],
    part: Part,
) -> None:
    from lisa_ros.evaluation.paper_rows import paper_table
    from lisa_ros.evaluation.report import by_kind

    rows: list[tuple[object, ...]] = []
    notes: list[str] = []
    for one, summary in zip(sets, summaries, strict=True):
        name = f"{one.name} {one.split}"
        if summary is None:
            notes.append(f"{name}: process {part.rank} of {part.count} is done; the last one writes the report")
            continue
        for kind, score in by_kind(summary, one.split).items():
            overall = kind == "overall"
            refusals = (
                [summary.no_target_accuracy, summary.target_accuracy] if overall and summary.no_target_n else [None] * 2
            )
            rows.append((name, kind, score.n, f"{score.giou:.4f}", f"{score.ciou:.4f}", *map(_share, refusals)))
        paper = paper_table(one.name, one.split)
        if paper and paper.note:
            notes.append(paper.note)
        if args.out:
            notes.append(f"open {args.out / f'{one.name}-{one.split}' / 'report.html'}")
    if rows:
        print(f"{engine.name} ({engine.device}, {engine.dtype}), {args.mode} mode, wording: {args.wording}")
        print(f"{STATED[args.protocol]}\n")
        print(render(HEADERS, rows, align="llrrrrr"))
    print("\n".join(["", *notes] if rows and notes else notes))


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
