"""What the engine's own process costs: encode and ask through it, minus the same in this process.

    python benchmarks/isolation.py [--calls 200] [--json FILE]

The engine is the fake one of the tests (colour threshold); what it measures for itself is taken out of both, so what is
left is pictures, masks and messages on their way. One query and one mask per picture. About 20 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "unit")]

from isolation_engines import load  # noqa: E402

from lisa_ros.engine.isolation import IsolatedEngine  # noqa: E402

SIZES = ((640, 480), (1296, 968))
LIMIT_MS = 3.0
WARM_UP = 10


def main() -> int:
    """0; 1 when the limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    begun = time.perf_counter()
    isolated = IsolatedEngine("fake", factory=load)
    start = time.perf_counter() - begun
    try:
        rows = [row(isolated, width, height, args.calls) for width, height in SIZES]
    finally:
        isolated.close()
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "start_seconds": start}, indent=1) + "\n", encoding="utf-8")
    show(rows, start)
    return 0 if rows[-1]["p95_ms"] <= LIMIT_MS else 1


def row(isolated: IsolatedEngine, width: int, height: int, calls: int) -> dict:
    """One picture size: milliseconds that isolation adds to a new picture with one query."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = (255, 0, 0)
    inside = load("fake")
    around = {engine: [] for engine in (inside, isolated)}
    encoding = []
    for number in range(calls + WARM_UP):
        for engine, times in around.items():  # one after the other, so that whatever else runs meets both
            begun = time.perf_counter()
            frame = engine.encode(picture)
            encoded = time.perf_counter()
            (said,) = engine.ask(frame, ["the red box"])
            took = time.perf_counter() - begun - sum(said.seconds.values())
            if number >= WARM_UP:
                times.append(took * 1000)
                if engine is isolated:
                    encoding.append((encoded - begun) * 1000)
        assert said.masks.shape == (1, height, width)
    added = np.array(around[isolated]) - np.median(around[inside])
    p50, p95 = np.percentile(added, (50, 95))
    return {
        "size": f"{width}x{height}",
        "p50_ms": p50,
        "p95_ms": p95,
        "encode_p50_ms": float(np.median(encoding)),
        "inside_p50_ms": float(np.median(around[inside])),
        "n": calls,
    }


def show(rows: list[dict], start: float) -> None:
    print(f"process started and ready in {start:.2f} s (load {os.getloadavg()[0]:.1f})")
    print(f"{'picture':>10} {'added p50':>12} {'added p95':>12} {'of it encode':>13} {'limit p95':>10} {'calls':>6}")
    for r in rows:
        print(
            f"{r['size']:>10} {r['p50_ms']:9.2f} ms {r['p95_ms']:9.2f} ms {r['encode_p50_ms']:10.2f} ms "
            f"{LIMIT_MS:7.1f} ms {r['n']:6}"
        )


if __name__ == "__main__":
    sys.exit(main())
