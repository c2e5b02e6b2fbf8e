"""`lisa merge`: a run of `lisa train` as a checkpoint that stands alone, or as a small adapter."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lisa_ros.cli.convert import parse_size, refuse_occupied
from lisa_ros.cli.errors import CommandError


def main(argv: Sequence[str]) -> int:
    """Merge."""
    parser = argparse.ArgumentParser(
        prog="lisa merge",
        description="Merge what a run has learned into the weights it began with: a checkpoint in the published "
        "layout, with a model card.",
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="runs/NAME/best, runs/NAME/last, or an adapter folder made of one")
    add("--out", type=Path, required=True, metavar="DIR", help="the new checkpoint; it appears when it is whole")
    add("--model", metavar="BASE", help="the weights that the run began with, if they lie elsewhere now")
    add(
        "--dtype",
        default="published",
        choices=("published", "float32", "bfloat16", "float16"),
        help="stored type; published (default): SAM and the head float32, everything else bfloat16",
    )
    add("--with-vision-tower", action="store_true", help="put the CLIP tower in: one folder, no network")
    add("--max-shard-size", default="4GB", metavar="SIZE", help="largest file (default 4GB)")
    add("--adapter-only", action="store_true", help="only what was trained: LoRA as peft writes it, and the rest")
    add("--force", action="store_true", help="replace what --out holds already")
    args = parser.parse_args(argv)
    limit = parse_size(args.max_shard_size)
    refuse_occupied(args.out, args.force, "adapter.json" if args.adapter_only else "config.json")

    from lisa_ros.model.config import CheckpointError
    from lisa_ros.training.adapter import copy_adapter

    try:
        if args.adapter_only:
            copy_adapter(args.run, args.out)
        else:
            _merge(args, limit)
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"--out {args.out}: cannot be written ({error}); nothing is left of it") from error
    print(f"{args.out} is written" + ("" if args.adapter_only else f"; check with: lisa info --verify {args.out}"))
    return 0


def _merge(args: argparse.Namespace, limit: int) -> None:
    import torch
    from tqdm import tqdm

    from lisa_ros.training.adapter import load_adapter
    from lisa_ros.training.merge import publish
    from lisa_ros.training.model_card import model_card

    dtype = None if args.dtype == "published" else getattr(torch, args.dtype)
    with tempfile.TemporaryDirectory() as work:
        started, about = load_adapter(args.run, Path(work) / "tokenizer", base=args.model)
        words = "SAM and text_hidden_fcs float32, everything else bfloat16" if dtype is None else args.dtype
        with tqdm(unit="B", unit_scale=True, desc=str(args.out)) as bar:
            publish(
                started.lisa,
                started.tokenizer_directory,
                args.out,
                dtype=dtype,
                with_vision_tower=args.with_vision_tower,
                card=model_card(args.out.name, about, dtype=words),
                max_shard_bytes=limit,
                advance=bar.update,
            )
