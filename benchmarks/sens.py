"""Reading `.sens` files: seconds to index, memory, frames a second; beside a reader that takes the whole file at once.

    python benchmarks/sens.py [--frames 300] [--json FILE]

The file is written first (1296x968 JPEG, 640x480 zlib), in a temporary folder; about half a minute.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
import time
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scannet_tools.sens import SensFile, SensHeader, SensWriter

INDEX_LIMIT_MS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sens"
        megabytes = write(path, args.frames) / 1e6
        index = best(lambda: SensFile(path).close(), 20)
        peak_index = peak(lambda: SensFile(path).close())
        with SensFile(path) as sens:
            some = range(0, args.frames, max(1, args.frames // 50))
            stored = best(lambda: [(sens.frame(i).color_bytes(), sens.frame(i).depth_bytes()) for i in some]) / len(some)
            decoded = best(lambda: [(sens.frame(i).color(), sens.frame(i).depth()) for i in some]) / len(some)
        naive, peak_naive = best(lambda: whole_file(path), 1), peak(lambda: whole_file(path))
    figures = {
        "megabytes": megabytes,
        "index_ms": 1000 * index,
        "index_limit_ratio": 1000 * index / INDEX_LIMIT_MS,
        "index_peak_mb": peak_index / 1e6,
        "whole_file_ms": 1000 * naive,
        "whole_file_peak_mb": peak_naive / 1e6,
        "stored_frames_per_s": 1 / stored,
        "decoded_frames_per_s": 1 / decoded,
    }
    print(f"{args.frames} frames, {megabytes:.0f} MB")
    print(f"index        {1000 * index:8.2f} ms, {peak_index / 1e6:.2f} MB (limit {INDEX_LIMIT_MS:g} ms for 300 frames)")
    print(f"whole file   {1000 * naive:8.2f} ms, {peak_naive / 1e6:.0f} MB: {naive / index:.0f} times as long")
    print(f"stored bytes {1 / stored:8.0f} frames/s; decoded {1 / decoded:.0f} frames/s")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def write(path: Path, frames: int) -> int:
    """A file as ScanNet's are: about 180 kB of JPEG and 60 kB of depth a frame; returns its bytes."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (61, 81, 3), dtype=np.uint8)
    color = cv2.resize(coarse, (1296, 968), interpolation=cv2.INTER_CUBIC)
    color = np.clip(color + rng.normal(0, 2, color.shape), 0, 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", color)[1].tobytes()
    depth = (cv2.resize(rng.uniform(800, 4000, (7, 9)), (640, 480)) + rng.normal(0, 1, (480, 640))).astype(np.uint16)
    packed = zlib.compress(depth.tobytes())
    k_color, k_depth = np.eye(4), np.eye(4)
    k_color[:2] = [[1170, 0, 647.5, 0], [0, 1170, 483.5, 0]]
    k_depth[:2] = [[1170 * 640 / 1296, 0, 319.5, 0], [0, 1170 * 480 / 968, 239.5, 0]]
    header = SensHeader((1296, 968), (640, 480), k_color, k_depth)
    with SensWriter(path, header) as writer:
        for number in range(frames):
            writer.add(jpeg, packed, np.eye(4), 33_333 * (number + 1))
    return path.stat().st_size


def whole_file(path: Path) -> list:
    """Every frame's bytes kept, as the common reader does (which unpacks them one by one on top of it)."""
    data, frames = path.read_bytes(), []
    at = 304 + struct.unpack_from("<Q", data, 4)[0]
    while len(frames) < struct.unpack_from("<Q", data, 296 + struct.unpack_from("<Q", data, 4)[0])[0]:
        *_, color, depth = struct.unpack_from("<16f4Q", data, at)
        at += 96
        frames.append((data[at : at + color], data[at + color : at + color + depth]))
        at += color + depth
    return frames


def best(call, times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def peak(call) -> int:
    tracemalloc.start()
    call()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


if __name__ == "__main__":
    sys.exit(main())
