"""`lisa eval`: scores. `lisa eval synthetic` asks about held-out synthetic scenes and prints two baselines beside the model, and
whatever else it is compared with; `lisa eval reasonseg` and `refcoco` are in `lisa_ros.cli.eval_sets`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lisa_ros.cli import eval_sets
from lisa_ros.cli.errors import CommandError, UsageError
from lisa_ros.cli.model import add_model_flags, load_engine
from lisa_ros.cli.synthetic_table import synthetic_table

if TYPE_CHECKING:
    from lisa_ros.evaluation.scenes import Scenes

DEFAULT_COUNT = 100


def main(argv: Sequence[str]) -> int:
    """Run the evaluation that the first argument names."""
    parser = argparse.ArgumentParser(prog="lisa eval", description="Score a model.")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    eval_sets.add_parsers(kinds)
    _synthetic_parser(kinds)
    args = parser.parse_args(argv)
    return args.run(args)


def _synthetic_parser(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "synthetic",
        help="held-out synthetic scenes, beside two baselines",
        description="gIoU and cIoU on held-out synthetic scenes by kind of question, refusals of absent targets, calibration of "
        "target_probability, seconds and memory, beside two baselines that read no question.",
    )
    add_model_flags(parser)
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--questions",
        choices=("generated", "handwritten"),
        default="generated",
        help="generated (default): those that come with each scene; handwritten: a list written by hand, without "
        "templates, about scenes of the test split",
    )
    asked.add_argument(
        "--count",
        type=int,
        metavar="N",
        help=f"frames, all questions of each (default {DEFAULT_COUNT}; of the handwritten list: all of its frames)",
    )
    asked.add_argument(
        "--split",
        choices=("test", "val"),
        default="test",
        help="both are never trained on; test (default) asks in wordings, and for uses, that training never uses",
    )
    asked.add_argument("--seed", type=int, default=0, help="first frame (default 0)")
    asked.add_argument(
        "--mode",
        choices=("mask", "chat"),
        default="mask",
        help='what is scored: mask (default; the answer "[SEG]." is forced) or chat (the model writes)',
    )
    besides = parser.add_argument_group("what it is compared with")
    besides.add_argument(
        "--blind",
        action="store_true",
        help='the same model without the questions: every one of them becomes "the thing", and nothing is refused',
    )
    besides.add_argument(
        "--beside", metavar="MODEL", help="another model on the same frames and questions; named as for --model"
    )
    besides.add_argument(
        "--answers",
        action="store_true",
        help="have every question answered in writing too, and count the answers that name exactly the targets (colour and "
        "kind), or say that there is none",
    )
    out = parser.add_argument_group("what is written")
    out.add_argument(
        "--json",
        type=Path,
        metavar="OUT",
        help="write the report here, finished frames to OUT's .rows.jsonl: a second call with the same flags continues",
    )
    out.add_argument(
        "--page", type=Path, metavar="FILE.html", help="write a page: figures beside goals, reliability plot, answers"
    )
    parser.set_defaults(run=_synthetic)


def _synthetic(args: argparse.Namespace) -> int:
    _check_synthetic(args)
    from tqdm import tqdm

    from lisa_ros.cli.checkpoint import digest, locate
    from lisa_ros.evaluation.answers import scene_naming
    from lisa_ros.evaluation.query_seconds import FRAMES, query_seconds
    from lisa_ros.evaluation.resident import peak_after_a_query_mb, peak_resident_mb
    from lisa_ros.evaluation.synthetic import ask_scenes, beside, report_of

    engine = load_engine(args)
    memory_mb = peak_after_a_query_mb(engine)  # before anything else takes memory: scenes are drawn in this process
    digests = {flag: digest(locate(getattr(args, flag))) for flag in ("model", "beside") if getattr(args, flag)}
    scenes, naming = _scenes(args), scene_naming() if args.answers else None

    def ask(asked: Any, flag: str, blind: bool) -> tuple[dict[str, Any], Any]:
        suffix = ".rows.jsonl" if flag == "model" else f".{flag}.rows.jsonl"
        settings, rows = ask_scenes(
            asked,
            scenes,
            mode=args.mode,
            blind=blind,
            naming=naming,
            rows_path=args.json.with_suffix(suffix) if args.json else None,
            engine_digest=digests[flag],
            progress=lambda seeds: tqdm(seeds, desc="frames" if flag == "model" else f"frames, {flag}", unit="frame"),
        )
        return report_of(settings, scenes, rows, naming), rows

    try:
        report, rows = ask(engine, "model", args.blind)
        report["seconds"] |= query_seconds(engine, map(scenes.frame, scenes.seeds[:FRAMES]), mode=args.mode)
        report |= {"memory_mb": memory_mb, "memory_with_scenes_mb": peak_resident_mb()}
        _write("--json", args.json, json.dumps(report, indent=1))
        if args.beside:
            engine = None  # one model at a time is in memory
            report["beside"] = beside(*ask(load_engine(args, flag="beside"), "beside", False), rows)
            _write("--json", args.json, json.dumps(report, indent=1))
    except OSError as error:
        if args.json is None:
            raise
        raise CommandError(f"cannot write --json {args.json}: {error.strerror or error}") from error
    if args.page:
        from lisa_ros.evaluation.synthetic_page import synthetic_page

        _write("--page", args.page, synthetic_page(report, rows, scenes.frame))
    print(synthetic_table(report))
    return 0


def _check_synthetic(args: argparse.Namespace) -> None:
    if args.count is not None and args.count < 1:
        raise UsageError(f"--count is {args.count}: at least one frame")
    if args.questions == "handwritten" and (args.split != "test" or args.seed):
        raise UsageError(
            "--questions handwritten: its list names frames of the test split: leave out --split and --seed"
        )
    for flag in ("json", "page"):
        path = getattr(args, flag)
        if path is not None and path.is_dir():
            raise UsageError(f"--{flag} {path} is a folder: give a file")


def _scenes(args: argparse.Namespace) -> Scenes:
    from lisa_ros.evaluation.scenes import Scenes
    from scannet_tools.synthetic import make_frame

    if args.questions == "handwritten":
        from lisa_ros.evaluation.handwritten import questions

        try:
            return Scenes.listed(make_frame, questions(), args.count)
        except ValueError as error:
            raise CommandError(str(error)) from error
    count = DEFAULT_COUNT if args.count is None else args.count
    return Scenes(make_frame, range(args.seed, args.seed + count), args.split)


def _write(flag: str, path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {flag} {path}: {error.strerror or error}") from error
