"""The flags that choose and load a model, shared by the sub-commands that ask one."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lisa_ros.cli.errors import CommandError

if TYPE_CHECKING:
    from lisa_ros.engine import Engine


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """--model, --device, --dtype."""
    parser.add_argument(
        "--model",
        default="lisa-mini",
        help="lisa-mini (the embedded model, default), a checkpoint directory, or a hub id",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))


def load_engine(args: argparse.Namespace, **options: object) -> Engine:
    """The engine of `--model`; a model or device that cannot be had ends the command and says why."""
    from lisa_ros.engine import CheckpointError, Engine

    try:
        return Engine.load(args.model, device=args.device, dtype=args.dtype, **options)
    except (CheckpointError, ValueError) as error:
        raise CommandError(f"--model {args.model}: {error}") from error
