"""Make scenes of our own in ScanNet's formats: rooms (even seeds) and table tops (odd seeds), filmed on a walk.

The scene of seed S is DIR/scans/scene<9000+S>_00; no scan of ScanNet has such a number. Equal arguments give equal
files, whatever the number of processes. Scenes that are there are kept, so a run that was interrupted goes on where it
ended.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the scenes and their label table"
    )
    parser.add_argument("--scenes", type=int, default=1, metavar="N", help="how many (default: 1)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first; the next have S+1, S+2, ...")
    parser.add_argument("--frames", type=int, default=300, help="of one scene, 30 a second (default: 300)")
    parser.add_argument("--width", type=int, default=640, help="of the colour pictures in pixels (default: 640)")
    parser.add_argument("--height", type=int, default=480, help="default: 480")
    parser.add_argument("--depth-width", type=int, help="of the depth pictures (default: half of colour's)")
    parser.add_argument("--depth-height", type=int, help="default: half of colour's")
    parser.add_argument("--lost", type=int, default=0, metavar="N", help="frames of each scene that have no pose")
    parser.add_argument(
        "--unannotated", action="store_true", help="scenes as the test set has them: scans_test/scene<9500+S>_00"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes that render (default: one a core)"
    )


def run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from scannet_tools.synthetic.scannet import scene_folder, write_scene

    for name in ("scenes", "frames", "jobs"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} {getattr(options, name)}: give 1 or more")
    seeds = range(options.seed, options.seed + options.scenes)
    for seed in (seeds[0], seeds[-1]):
        scene_folder(options.out, seed)  # a seed out of range is said before any work
    pool = _pool(options.jobs) if options.jobs > 1 else None
    bar = tqdm(total=len(seeds) * options.frames, unit="frame", disable=None)
    try:
        with bar:
            for seed in seeds:
                bar.set_description(f"seed {seed}")
                folder = write_scene(
                    options.out,
                    seed,
                    frames=options.frames,
                    width=options.width,
                    height=options.height,
                    depth_width=options.depth_width,
                    depth_height=options.depth_height,
                    lost=options.lost,
                    annotated=not options.unannotated,
                    pool=pool,
                    jobs=options.jobs,
                    on_frames=bar.update,
                )
                bar.write(str(folder))
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    return 0


def _pool(jobs: int) -> ProcessPoolExecutor:
    # a process a core, each with one thread: threads of several processes on the same cores cost more than they give
    os.environ["OMP_NUM_THREADS"] = "1"
    # glibc hands pages of large arrays back at once and takes new ones for the next: a fifth of the time, if it may
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 32))
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _settle)


def _settle() -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that writes; it ends the pool
