"""`lisa eval`: scores. `lisa eval synthetic` asks about held-out synthetic scenes and prints two baselines beside the model;
`lisa eval reasonseg` and `refcoco` are in `lisa_ros.cli.eval_sets`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lisa_ros.cli import eval_sets
from lisa_ros.cli.errors import CommandError, UsageError
from lisa_ros.cli.model import add_model_flags, load_engine
from lisa_ros.cli.table import render


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
        description="gIoU and cIoU on held-out synthetic scenes by kind of question, refusals of absent targets, two baselines.",
    )
    add_model_flags(parser)
    parser.add_argument(
        "--count", type=int, default=100, metavar="N", help="frames (default 100), all questions of each"
    )
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="both are never trained on (default test)"
    )
    parser.add_argument("--seed", type=int, default=0, help="first frame (default 0)")
    parser.add_argument("--mode", choices=("mask", "chat"), default="mask")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="OUT",
        help="write the report here, finished frames to OUT's .rows.jsonl: a second call continues",
    )
    parser.set_defaults(run=_synthetic)


def _synthetic(args: argparse.Namespace) -> int:
    if args.count < 1:
        raise UsageError(f"--count is {args.count}: at least one frame")
    engine = load_engine(args)
    from tqdm import tqdm

    from lisa_ros.cli.checkpoint import digest, locate
    from lisa_ros.evaluation.synthetic import evaluate
    from scannet_tools.synthetic import make_frame

    rows = args.json.with_suffix(".rows.jsonl") if args.json else None
    try:
        report = evaluate(
            engine,
            make_frame,
            count=args.count,
            split=args.split,
            seed=args.seed,
            mode=args.mode,
            rows_path=rows,
            engine_digest=digest(locate(args.model)),
            progress=lambda seeds: tqdm(seeds, desc="frames", unit="frame"),
        )
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write --json {args.json}: {error.strerror or error}") from error
    print(synthetic_table(report))
    return 0


def synthetic_table(report: dict[str, Any]) -> str:
    """The report as text."""
    baselines = report["baselines"]
    rows = []
    for kind, figures in report["kinds"].items():
        largest, constant = (baselines[name]["kinds"][kind] for name in ("largest_object", "constant_answer"))
        rows.append(
            (
                kind,
                figures["n"],
                *(f"{figures[score]:.3f}" for score in ("giou", "ciou")),
                f"{largest['giou']:.3f} / {largest['ciou']:.3f}",
                f"{constant['giou']:.3f} / {constant['ciou']:.3f}",
            )
        )
    table = render(("question", "n", "gIoU", "cIoU", "largest object", "best constant"), rows, align="lrrrrr")
    seconds = report["seconds"]
    threshold = baselines["constant_answer"]["threshold"]
    return f"""\
{report["model"]} ({report["device"]}, {report["dtype"]}), {report["mode"]} mode; {report["count"]} frames of the {report["split"]} split, \
first seed {report["seed"]}

{table}

absent targets refused: {_percent(report["absent_refused"])} of {report["absent_n"]}; \
present ones refused wrongly: {_percent(report["false_refusals"])} of {report["present_n"]} (they score 0)
{1000 * seconds["encode_per_frame"]:.0f} ms encode per frame, {1000 * seconds["ask_per_question"]:.0f} ms per question; \
{_refusal(report)}
baselines (gIoU / cIoU) see the ground truth and refuse nothing. largest object: the object with most pixels.
best constant: one mask for all questions, the mean target mask of these very questions cut at {threshold:.3f},
the threshold with the highest overall gIoU (an oracle)."""


def _refusal(report: dict[str, Any]) -> str:
    if report["mode"] == "chat":
        return "refused when the written answer has no [SEG]"
    return f"refused when p([SEG]) < {report['min_target_probability']:g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
