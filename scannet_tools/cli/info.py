"""What a .sens file holds: sensor, sizes, intrinsics, frames, what is missing. No picture is read."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from scannet_tools.sens import SensFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE and --json."""
    parser.add_argument("file", type=Path, metavar="FILE.sens")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print what the file holds."""
    begun = time.perf_counter()
    with SensFile(options.file) as sens:
        facts = describe(sens, time.perf_counter() - begun)
    print(json.dumps(facts, indent=1) if options.json else as_text(facts))
    return 0


def describe(sens: SensFile, seconds_to_index: float) -> dict[str, Any]:
    """The object that --json prints. Intrinsics are 4x4 as stored, None for what is no number; sizes [width, height]."""
    return {
        "file": str(sens.path),
        "size_bytes": sens.path.stat().st_size,
        "version": sens.version,
        "sensor": sens.sensor_name,
        "sizes": {"color": list(sens.color_size), "depth": list(sens.depth_size)},
        "intrinsics": {"color": _numbers(sens.intrinsic_color), "depth": _numbers(sens.intrinsic_depth)},
        "compressions": {"color": sens.color_compression, "depth": sens.depth_compression},
        "depth_shift": sens.depth_shift,
        "frames": len(sens),
        "announced_frames": sens.announced_frames,
        "frames_with_pose": int(sens.pose_valid().sum()),
        "truncated": sens.truncated,
        "stamps": "file" if sens.stamps_from_file else "synthesised",
        "seconds": float((sens.stamps_ns()[-1] - sens.stamps_ns()[0]) / 1e9) if len(sens) else 0.0,
        "imu_frames": len(sens.imu),
        "seconds_to_index": seconds_to_index,
    }


def _numbers(matrix: np.ndarray) -> list[list[float | None]]:
    """JSON has neither NaN nor infinity."""
    return [[float(value) if np.isfinite(value) else None for value in row] for row in matrix]


def as_text(facts: dict[str, Any]) -> str:
    """For people."""
    color, depth = ("x".join(map(str, facts["sizes"][name])) for name in ("color", "depth"))
    k = np.array(facts["intrinsics"]["color"], float)
    cut = f" of {facts['announced_frames']} announced: the file is cut off" if facts["truncated"] else ""
    lost = facts["frames"] - facts["frames_with_pose"]
    source = "of the file" if facts["stamps"] == "file" else "made up, 30 a second: those of the file are not usable"
    return "\n".join(
        [
            f"{facts['file']}: .sens version {facts['version']}, {facts['size_bytes'] / 1e6:.1f} MB, {facts['sensor']}",
            f"colour   {color} {facts['compressions']['color']}, "
            f"fx {k[0][0]:.2f} fy {k[1][1]:.2f} cx {k[0][2]:.2f} cy {k[1][2]:.2f}",
            f"depth    {depth} {facts['compressions']['depth']}, {facts['depth_shift']:g} units in a metre",
            f"frames   {facts['frames']}{cut}; {lost} without a pose",
            f"stamps   {facts['seconds']:.1f} s, {source}",
            f"IMU      {facts['imu_frames']} readings",
            f"indexed in {1000 * facts['seconds_to_index']:.1f} ms",
        ]
    )
