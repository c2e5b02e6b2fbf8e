"""Which frames of a recording: --every, --start, --max, the same for every verb."""

from __future__ import annotations

import argparse


def add_selection(parser: argparse.ArgumentParser) -> None:
    """--every, --start, --max."""
    parser.add_argument("--every", type=_positive, default=1, metavar="N", help="every N-th frame (default: all)")
    parser.add_argument("--start", type=_not_negative, default=0, metavar="N", help="first frame, from 0")
    parser.add_argument("--max", type=_positive, default=None, metavar="N", help="at most N frames")


def selected(frames: int, options: argparse.Namespace) -> range:
    """Numbers of the frames that were asked for. Raises ValueError when there is none."""
    numbers = range(options.start, frames, options.every)[: options.max]
    if not numbers:
        raise ValueError(f"no frame is left: the recording has {frames}, --start is {options.start}")
    return numbers


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _not_negative(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{number} is less than 0")
    return number
