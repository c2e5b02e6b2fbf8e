"""`lisa rephrase`: ReasonSeg's training questions in other words, by a local language model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lisa_ros.cli.errors import CommandError, UsageError


def main(argv: Sequence[str]) -> int:
    """Rephrase."""
    parser = argparse.ArgumentParser(
        prog="lisa rephrase",
        description="Write a copy of a ReasonSeg split with more wordings of each question. The same command goes on where it stopped.",
        epilog="Give --out a data root of its own and link the other folders (and explanatory/) there, or train with --data on it.",
    )
    parser.add_argument(
        "--model", required=True, help="a causal language model: directory or hub id (safetensors; no code of it runs)"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="data root with reason_seg/ReasonSeg")
    parser.add_argument("--out", type=Path, required=True, metavar="ROOT", help="data root that gets the copy")
    parser.add_argument("--split", default="train", help="default: train")
    parser.add_argument(
        "--wordings", type=int, default=5, metavar="N", help="texts of a picture, the first included (default 5)"
    )
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="questions at once (default 8)")
    parser.add_argument("--device", default="auto", help="auto (CUDA when there is one), cpu, cuda, cuda:1 ...")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.wordings < 2 or args.batch < 1:
        raise UsageError("--wordings is at least 2, --batch at least 1")

    from tqdm import tqdm

    from lisa_ros.datasets.example import DatasetError
    from lisa_ros.datasets.reasoning import FOLDER
    from lisa_ros.engine.engine import choose_device
    from lisa_ros.engine.precision import choose_dtype
    from lisa_ros.training.rephrase import LanguageModel, rephrase_folder

    try:
        device = choose_device(args.device)
    except ValueError as error:
        raise CommandError(f"--device: {error}") from error
    dtype = choose_dtype(args.dtype, device)
    try:
        rephraser = LanguageModel(args.model, device=str(device), dtype=dtype, seed=args.seed)
        counts = rephrase_folder(
            args.data / FOLDER / args.split,
            args.out / FOLDER / args.split,
            rephraser,
            wordings=args.wordings,
            batch=args.batch,
            progress=lambda chunks: tqdm(chunks, desc="rephrase", unit="batch"),
        )
    except DatasetError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"--out {args.out}: cannot be written ({error}); what was finished is kept") from error
    dropped = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()) if reason != "kept")
    print(
        f"{args.out / FOLDER / args.split}: {counts['kept']} new wordings"
        + (f"; dropped: {dropped}" if dropped else "")
    )
    return 0
