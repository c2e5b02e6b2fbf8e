"""Write a .sens file's frames as pictures, poses and cameras: DIR/color/000000.jpg as stored, DIR/depth/000000.png
(16 bits, millimetres), DIR/pose/000000.txt (camera to world), DIR/intrinsic/*.txt, and DIR/meta.json, with which
`lisa_replay` and `lisa segment` open the folder. Frames that are there already are kept, so a second run goes on.
Frames without a pose get no pose file."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from scannet_tools.frame_selection import add_selection, selected
from scannet_tools.sens import SensFile
from scannet_tools.sens.export import export_frame, write_cameras


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE, --out and the selection of frames."""
    parser.add_argument("file", type=Path, metavar="FILE.sens")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Write the frames, then the list of them."""
    with SensFile(options.file) as sens:
        numbers = selected(len(sens), options)
        written = sum(export_frame(sens, number, options.out) for number in tqdm(numbers, unit="frame", disable=None))
        write_cameras(sens, numbers, options.out)
    kept = len(numbers) - written
    print(f"{options.out}: {len(numbers)} frames" + (f", {kept} of them were there already" if kept else ""))
    return 0
