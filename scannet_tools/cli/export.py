"""Write a .sens file's frames as pictures, poses and cameras: DIR/color/000000.jpg as stored, DIR/depth/000000.png
(16 bits, millimetres, in colour's view), DIR/pose/000000.txt (camera to world), DIR/intrinsic/*.txt, DIR/camera.json,
and DIR/meta.json, with which `lisa_replay` and `lisa segment` open the folder.

Frames of this recording that are there already are kept, so a second run goes on where the first was stopped. A frame
without a pose has no pose file. A frame whose pictures are damaged is left out, with a warning."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from scannet_tools.frame_selection import add_selection, selected
from scannet_tools.sens import SensFile
from scannet_tools.sens.export import begin, export_frame, write_list

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE, --out and the selection of frames."""
    parser.add_argument("file", type=Path, metavar="FILE.sens")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Write the frames, then the list of them."""
    out, there, kept = options.out, [], 0
    with SensFile(options.file) as sens, logging_redirect_tqdm():
        numbers = selected(len(sens), options)
        begin(sens, out)
        for number in tqdm(numbers, unit="frame", disable=None):
            try:
                kept += not export_frame(sens, number, out)
            except ValueError as error:
                _log.warning("left out: %s", error)
            else:
                there.append(number)
        if not there:
            raise ValueError(f"{options.file}: none of the {len(numbers)} frames could be read")
        write_list(sens, there, out)
    damaged = len(numbers) - len(there)
    print(
        f"{out}: {len(there)} frames"
        + (f", {kept} of them were there already" if kept else "")
        + (f"; {damaged} left out, damaged" if damaged else "")
    )
    return 0
