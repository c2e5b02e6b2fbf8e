"""Reading `.sens` files: time to index, memory, frames a second; beside a reader written as the usual ones are, which
takes the whole file and unpacks its bytes one by one.

    python benchmarks/sens.py [--frames 300] [--json FILE]

Files as ScanNet's are (1296x968 JPEG, 640x480 zlib) are written to a temporary folder first, one of --frames and one four
times as long; about half a minute. Both readers are measured in turns, so that a busy machine slows both down.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scannet_tools.sens import SensFile, SensHeader, SensWriter

INDEX_LIMIT_MS = 5.0
ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, long = Path(folder) / "bench.sens", Path(folder) / "long.sens"
        size, long_size = write(path, args.frames), write(long, 4 * args.frames)
        figures = {
            "frames": args.frames,
            "megabytes": size / 1e6,
            "index_ms": 1000 * best(lambda: SensFile(path).close(), 20),
            "walk_peak_mb": peak(lambda: walk(path)) / 1e6,
            "long_megabytes": long_size / 1e6,
            "long_index_ms": 1000 * best(lambda: SensFile(long).close(), 20),
            "long_walk_peak_mb": peak(lambda: walk(long)) / 1e6,
            "whole_file_peak_mb": peak(lambda: whole_file(path)) / 1e6,
        }
        figures |= rates(path, args.frames)
    show(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def show(figures: dict) -> None:
    """The table, and the ratios."""
    f = figures
    print(f"{f['frames']} frames, {f['megabytes']:.0f} MB; {4 * f['frames']} frames, {f['long_megabytes']:.0f} MB")
    print(f"index       {f['index_ms']:8.2f} ms; {f['long_index_ms']:.2f} ms (limit {INDEX_LIMIT_MS:g} ms for 300 frames)")
    print(f"memory      {f['walk_peak_mb']:8.2f} MB to index and read each; {f['long_walk_peak_mb']:.2f} MB for the long file")
    print(f"whole file  {f['whole_file_ms']:8.0f} ms before the first frame, {f['whole_file_peak_mb']:.0f} MB")
    print(f"as stored   {f['stored_per_s']:8.0f} frames/s; whole file {f['whole_stored_per_s']:.0f}: {f['stored_ratio']:.0f} times")
    print(f"decoded     {f['decoded_per_s']:8.0f} frames/s; whole file {f['whole_decoded_per_s']:.0f}: {f['decoded_ratio']:.1f} times")


def rates(path: Path, frames: int) -> dict[str, float]:
    """Frames a second from opening the file to having each frame once, both ways; the best of ROUNDS, taken in turns."""
    ways: dict[str, Callable[[], object]] = {
        "stored": lambda: walk(path),
        "decoded": lambda: walk(path, decoded=True),
        "whole_stored": lambda: whole_file(path),
        "whole_decoded": lambda: [decode(*stored) for stored in whole_file(path)],
    }
    seconds = {name: min(times) for name, times in zip(ways, zip(*([best(way, 1) for way in ways.values()] for _ in range(ROUNDS))))}
    return {
        **{f"{name}_per_s": frames / took for name, took in seconds.items()},
        "whole_file_ms": 1000 * seconds["whole_stored"],
        "stored_ratio": seconds["whole_stored"] / seconds["stored"],
        "decoded_ratio": seconds["whole_decoded"] / seconds["decoded"],
    }


def walk(path: Path, *, decoded: bool = False) -> None:
    """Each frame once, nothing kept."""
    with SensFile(path) as sens:
        for number in range(len(sens)):
            frame = sens.frame(number)
            _ = (frame.color(), frame.depth()) if decoded else (frame.color_bytes(), frame.depth_bytes())


def whole_file(path: Path) -> list[tuple[bytes, bytes]]:
    """Every frame's pictures, kept; bytes are unpacked one by one and joined again."""
    file, frames = io.BytesIO(path.read_bytes()), []

    def letters(count: int) -> bytes:
        return b"".join(struct.unpack("c" * count, file.read(count)))

    file.seek(4)
    letters(struct.unpack("<Q", file.read(8))[0])
    file.seek(284, io.SEEK_CUR)
    for _ in range(struct.unpack("<Q", file.read(8))[0]):
        *_, color, depth = struct.unpack("<16f4Q", file.read(96))
        frames.append((letters(color), letters(depth)))
    return frames


def decode(color: bytes, depth: bytes) -> tuple[np.ndarray, np.ndarray]:
    """RGB and metres."""
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(color, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return pixels, np.frombuffer(zlib.decompress(depth), "<u2").reshape(480, 640) / np.float32(1000)


def write(path: Path, frames: int) -> int:
    """A file as ScanNet's are: about 180 kB of JPEG and 60 kB of depth a frame; returns its bytes."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (61, 81, 3), dtype=np.uint8)
    color = cv2.resize(coarse, (1296, 968), interpolation=cv2.INTER_CUBIC)
    color = np.clip(color + rng.normal(0, 1, (968, 1296, 1)), 0, 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_QUALITY, 76])[1].tobytes()
    depth = cv2.resize(rng.uniform(800, 4000, (7, 9)), (640, 480))
    packed = zlib.compress((depth // 14 * 14).astype(np.uint16).tobytes())
    k_color, k_depth = np.eye(4), np.eye(4)
    k_color[:2, :3] = [[1170.187988, 0, 647.75], [0, 1170.187988, 483.75]]
    k_depth[:2, :3] = [[577.870605, 0, 319.5], [0, 577.870605, 239.5]]
    with SensWriter(path, SensHeader((1296, 968), (640, 480), k_color, k_depth)) as writer:
        for number in range(frames):
            writer.add(jpeg, packed, np.eye(4), 33_333 * (number + 1))
    return path.stat().st_size


def best(call: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of `times`."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def peak(call: Callable[[], object]) -> int:
    """Most bytes that Python and numpy held at once."""
    tracemalloc.start()
    call()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


if __name__ == "__main__":
    sys.exit(main())
