"""Training shards of synthetic frames: written atomically, resumed by skipping what is there, read without a decoder's delay.

A shard is ``frames_<first>.npz`` (JPEG bytes of the colour images in one blob, id maps as PNG bytes) and ``frames_<first>.json`` (objects and
questions). ``python -m scannet_tools.synthetic.export --help`` writes them.
"""
from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from .questions import AIM, Asker, Question, View, kinds_of, views

if TYPE_CHECKING:
    from .scene import SyntheticFrame

SHARD = 100


@dataclass
class ExportedFrame:
    """What a trainer needs of a frame: color uint8 [H,W,3] RGB, instance and category uint8 [H,W], the objects in view, questions about it
    (others can be asked at any time: ``ask``), scene as in SyntheticFrame."""

    color: np.ndarray
    instance: np.ndarray
    category: np.ndarray
    objects: list[View]
    questions: list[Question]
    scene: str

    def ask(self, rng: np.random.Generator, most: Mapping[str, int] = AIM) -> list[Question]:
        """New questions, in wordings of training; at most so many of each kind as ``most`` says."""
        return Asker(self.objects, self.instance.shape, kinds_of(self.scene), rng, False).ask(most)

    def mirrored(self) -> ExportedFrame:
        """Seen in a mirror: left and right change places. Without the questions, whose words would be wrong."""
        width = self.instance.shape[1]
        color, instance, category = (np.ascontiguousarray(image[:, ::-1]) for image in (self.color, self.instance, self.category))
        objects = [replace(view, u=width - 1 - view.u) for view in self.objects]
        return ExportedFrame(color, instance, category, objects, [], self.scene)

    def cropped(self, share: float, left: float, top: float) -> ExportedFrame:
        """A part of the same aspect ratio: ``share`` of its width and height; ``left`` and ``top`` (0 to 1) of what is free. Without the questions."""
        height, width = self.instance.shape
        most = math.gcd(height, width)
        steps = max(1, round(share * most))
        rows, columns = steps * height // most, steps * width // most
        v, u = int(top * (height - rows)), int(left * (width - columns))
        color, instance, category = (np.ascontiguousarray(image[v : v + rows, u : u + columns]) for image in (self.color, self.instance, self.category))
        objects = []
        for view in self.objects:
            where = np.nonzero(instance == view.id)
            if len(where[0]):
                objects.append(replace(view, pixels=len(where[0]), v=float(where[0].mean()), u=float(where[1].mean())))
        return ExportedFrame(color, instance, category, objects, [], self.scene)


def write_shard(directory: Path, split: str, first: int, count: int, width: int, height: int) -> Path:
    """Render ``count`` frames from seed ``first`` into one shard."""
    from .scene import make_frame

    seeds = range(first, first + count)
    frames = (make_frame(seed, split=split, width=width, height=height) for seed in seeds)
    return write_frames(directory / f"frames_{first:07d}", zip(seeds, frames))


def write_frames(stem: Path, frames: Iterable[tuple[int, SyntheticFrame]]) -> Path:
    """Write (seed, frame) pairs as one shard; the JSON appears first, so a present .npz means a whole shard."""
    blobs: list[np.ndarray] = []
    records = []
    for seed, frame in frames:
        jpeg = cv2.imencode(".jpg", frame.color[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        ids = np.dstack([frame.instance.astype(np.uint8), frame.category, np.zeros_like(frame.category)])
        blobs += [jpeg.ravel(), cv2.imencode(".png", ids)[1].ravel()]
        objects = [asdict(view) for view in views(frame.objects, frame.instance, frame.depth_true)]
        questions = [asdict(question) for question in frame.questions]
        records.append({"seed": seed, "scene": frame.scene, "objects": objects, "questions": questions})
    _replace(stem.with_suffix(".json"), lambda f: f.write(json.dumps(records).encode()))
    ends = np.cumsum([len(blob) for blob in blobs])
    _replace(stem.with_suffix(".npz"), lambda f: np.savez(f, data=np.concatenate(blobs), ends=ends))
    return stem.with_suffix(".npz")


class Shard:
    """Frames of a shard, each decoded when it is asked for. Raises ValueError naming the file when it is damaged."""

    def __init__(self, path: Path) -> None:
        path = Path(path)
        try:
            self._records = json.loads(path.with_suffix(".json").read_text())
            with np.load(path) as arrays:
                self._data, self._ends = arrays["data"], arrays["ends"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: damaged shard ({error}); delete it and export again") from error

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> ExportedFrame:
        if not 0 <= index < len(self):
            raise IndexError(index)
        record = self._records[index]
        jpeg, png = self._blob(2 * index), self._blob(2 * index + 1)
        ids = cv2.imdecode(png, cv2.IMREAD_COLOR)
        questions = [Question(**{name: tuple(value) if isinstance(value, list) else value for name, value in q.items()}) for q in record["questions"]]
        color = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[:, :, ::-1]
        objects = [View(**{**item, "size": tuple(item["size"])}) for item in record["objects"]]
        return ExportedFrame(color, ids[:, :, 0], ids[:, :, 1], objects, questions, record["scene"])

    def _blob(self, number: int) -> np.ndarray:
        return self._data[self._ends[number - 1] if number else 0 : self._ends[number]]


def read_shard(path: Path) -> Iterator[ExportedFrame]:
    """All frames of a shard. Raises ValueError as ``Shard`` does."""
    yield from Shard(path)


def _replace(path: Path, write) -> None:
    partial = path.with_name(path.name + ".part")
    with open(partial, "wb") as file:
        write(file)
    os.replace(partial, path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scannet_tools.synthetic.export", description="Write training shards of synthetic frames.")
    parser.add_argument("--out", type=Path, required=True, help="directory of the shards")
    parser.add_argument("--split", default="train", choices=("train", "val", "test"))
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=1000, help=f"frames, rounded up to whole shards of {SHARD}")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    firsts = range(options.start, options.start + options.count, SHARD)
    todo = [first for first in firsts if not (options.out / f"frames_{first:07d}.npz").is_file()]
    jobs = [(options.out, options.split, first, SHARD, options.width, options.height) for first in todo]
    # a process a core, each with one thread: threads of several processes on the same cores cost more than they give
    os.environ["OMP_NUM_THREADS"] = "1"
    with (
        tqdm(total=len(firsts), initial=len(firsts) - len(todo), unit="shard", disable=None) as bar,
        ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,)) as pool,
    ):
        for written in as_completed([pool.submit(write_shard, *job) for job in jobs]):
            written.result()
            bar.update()
    return 0


if __name__ == "__main__":
    sys.exit(main())
