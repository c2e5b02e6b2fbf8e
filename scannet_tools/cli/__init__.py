"""Parses `scannet_tools VERB ...` and hands over to the module of that name here.

Each has `add_arguments(parser)` and `run(options) -> int`. Only the one asked for is imported, so --help needs nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

VERBS = {
    "info": "what a .sens file holds",
    "export": "write a .sens file's frames as pictures, poses and cameras",
    "bag": "write a scene as a ROS 2 bag",
    "replay": "play a bag on the node's camera topics, without `ros2 bag play`",
    "synthesize": "make scenes of our own in ScanNet's formats",
    "evaluate": "ask questions about scenes, score masks and points against the annotation, write a report",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 0 done, 1 failed, 2 usage, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        _overview().print_help()
        return 0 if argv else 2
    verb, *rest = argv
    if verb not in VERBS:
        print(f"scannet_tools: no verb '{verb}'; there are {', '.join(VERBS)} (see --help)", file=sys.stderr)
        return 2
    module = importlib.import_module(f"scannet_tools.cli.{verb}")
    parser = argparse.ArgumentParser(prog=f"scannet_tools {verb}", description=module.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    try:
        return module.run(parser.parse_args(rest))
    except SystemExit as ended:  # argparse: 2 for bad arguments, 0 for --help
        return ended.code if isinstance(ended.code, int) else 1
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, ImportError) as error:  # each names its file and says what to do
        print(f"scannet_tools {verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"scannet_tools {verb}: interrupted", file=sys.stderr)
        return 130


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, VERBS)) + 2
    return argparse.ArgumentParser(
        prog="scannet_tools",
        usage="python3 -m scannet_tools VERB [arguments]    (VERB --help for its arguments)",
        description="ScanNet scenes into bags, pictures, questions and scores.",
        epilog="verbs:\n" + "\n".join(f"  {name:<{width}}{text}" for name, text in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
