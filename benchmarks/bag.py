"""Frames a second of `scannet_tools bag`, beside the way that decodes and codes every picture again.

    python benchmarks/bag.py [--frames 300] [--json FILE]

1296x968 JPEG colour and 640x480 depth, made first, in a temporary folder; about a minute. Writing ends with reading the
bag back, which counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sens import write

from scannet_tools.bag import write_bag
from scannet_tools.sens import SensFile

GOAL = 150.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sens"
        write(path, args.frames)
        figures = {}
        for depth in ("compressedDepth", "raw"):
            report = write_bag(path, Path(folder) / depth, depth=depth)
            figures[depth] = args.frames / report.seconds
        figures["naive"] = naive(path, min(args.frames, 60))
    for name, rate in figures.items():
        remark = "colour and depth decoded and coded again, not even written" if name == "naive" else "JPEG untouched"
        print(f"{name:16} {rate:7.0f} frames/s  {rate / figures['naive']:5.1f} x naive  {remark}")
    print(f"goal {GOAL:g} frames/s: ratio {figures['compressedDepth'] / GOAL:.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def naive(path: Path, frames: int) -> float:
    """Frames a second of decoding a frame and coding it as JPEG and PNG again."""
    with SensFile(path) as sens:
        begun = time.perf_counter()
        for number in range(frames):
            frame = sens.frame(number)
            cv2.imencode(".jpg", frame.color()[:, :, ::-1])
            cv2.imencode(".png", (frame.depth() * 1000).astype(np.uint16))
        return frames / (time.perf_counter() - begun)


if __name__ == "__main__":
    sys.exit(main())
