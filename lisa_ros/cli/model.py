"""The flags that choose and load a model, shared by the sub-commands that ask one."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lisa_ros.cli.errors import CommandError

if TYPE_CHECKING:
    from lisa_ros.engine import Engine

LOAD_OPTIONS = ("vision_tower", "conversation", "quantization", "clip_fit", "compile")
"""Options of Engine.load with a flag of the same name. What is not given is left to the engine and the checkpoint."""


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """--model, --device, --dtype, and one flag for each of LOAD_OPTIONS."""
    parser.add_argument(
        "--model",
        default="lisa-mini",
        help="lisa-mini (the embedded model, default), a checkpoint directory, or a hub id",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    group = parser.add_argument_group("how the model is loaded (left out: as the checkpoint says)")
    group.add_argument(
        "--vision-tower",
        metavar="TOWER",
        help="directory or hub id of the CLIP tower, for checkpoints that hold none (the published ones)",
    )
    group.add_argument("--conversation", choices=("llava_v1", "llava_llama_2", "chatml", "chatml_named"), help="prompt template")
    group.add_argument(
        "--quantization",
        choices=("none", "8bit", "4bit"),
        help="bits of the language model's weights; none (default): those of --dtype",
    )
    group.add_argument(
        "--clip-fit",
        choices=("crop", "pad", "unpad"),
        help="what the language model sees of the picture: crop (its middle square, as the reference), pad (all of it, in a square) "
        "or unpad (all of it, without the square's bars)",
    )
    group.add_argument(
        "--compile", action="store_true", default=None, help="compile the model: loading takes longer, answers take less"
    )


def load_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of Engine.load that were given on the command line."""
    given = {name: getattr(args, name) for name in LOAD_OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def load_engine(args: argparse.Namespace, flag: str = "model") -> Engine:
    """The engine of `--model`, or of another flag that names a model (which is loaded as its checkpoint says, on the same
    device); a model or device that cannot be had ends the command and says why.
    """
    from lisa_ros.engine import CheckpointError, Engine

    model, options = getattr(args, flag), load_options(args) if flag == "model" else {}
    try:
        return Engine.load(model, device=args.device, dtype=args.dtype, **options)
    except (CheckpointError, ValueError) as error:
        named = str(error).startswith(str(model))
        raise CommandError(f"--{flag} {error}" if named else f"--{flag} {model}: {error}") from error
