"""Parses `lisa SUB-COMMAND ...` and hands over.

Sub-commands are imported one at a time, so `lisa --help` needs no torch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from lisa_ros.cli.errors import CommandError

COMMANDS = {
    "segment": "answer queries about one picture: masks, overlays, clouds, result.json",
    "demo": "start the node and a camera replay, ask five questions, show what came back",
    "scannet-demo": "make a ScanNet scene, bag it, replay it through the node, score the model, report",
    "eval": "score a model: reasonseg and refcoco as in the paper, synthetic scenes beside two baselines",
    "bench": "measure the stages: encode, first and further query, chat, lift, node overhead",
    "info": "describe a checkpoint without loading it, and check its files",
    "convert": "write a checkpoint as sharded safetensors, with the CLIP tower in it if you like",
    "train": "train LISA by a recipe, on one device or many; go on where an earlier call stopped",
    "rephrase": "let a local language model reword ReasonSeg's questions, for training",
    "merge": "make a checkpoint (or a small adapter) of a training run, with a model card",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status: 0 done, 1 failed, 2 usage, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not argv or argv[0] in ("-h", "--help"):
        parser.print_help()
        return 0 if argv else 2
    if argv[0] == "--version":
        from lisa_ros import __version__

        print(f"lisa {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        print(f"lisa: no sub-command '{argv[0]}'; there are {', '.join(COMMANDS)} (see lisa --help)", file=sys.stderr)
        return 2
    return _run(argv[0], argv[1:])


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    return argparse.ArgumentParser(
        prog="lisa",
        usage="lisa SUB-COMMAND [arguments]    (lisa SUB-COMMAND --help for its arguments)",
        description="Reasoning segmentation: ask for a thing in plain words, get its mask, its points and its box.",
        epilog="sub-commands:\n" + "\n".join(f"  {name:<{width}}{text}" for name, text in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _run(name: str, argv: list[str]) -> int:
    command = importlib.import_module(f"lisa_ros.cli.{name.replace('-', '_')}")
    try:
        return command.main(argv)
    except CommandError as error:
        print(f"lisa {name}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"lisa {name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, e.g. `lisa info X | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as ended:  # argparse: 2 for bad arguments, 0 for --help
        return ended.code if isinstance(ended.code, int) else 1
