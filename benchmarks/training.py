"""Pictures a second and memory of a training step: packed beside one row a conversation, with and without kept features.

    python benchmarks/training.py [--model lisa-mini] [--vision-tower TOWER] [--data ROOT] [--batch 2] [--steps 10] [--json FILE]

A step is the objective, its gradients and AdamW's update, of everything the paper trains. Without --data on 24 miniature
pictures, made first. The first step of each way is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.datasets.example import Example
from lisa_ros.datasets.miniature import write_miniature
from lisa_ros.datasets.opening import open_dataset
from lisa_ros.evaluation.memory import PeakMemory
from lisa_ros.training.features import FeatureCache
from lisa_ros.training.feed import make_batch
from lisa_ros.training.losses import Objective
from lisa_ros.training.start import Start, Started, start_model
from lisa_ros.training.trainable import Trainable, make_trainable, trained_parameters

WAYS = ("one row a conversation", "packed", "packed, features kept (first time)", "packed, features kept")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini", help="a LISA to begin with (default lisa-mini)")
    parser.add_argument("--vision-tower", help="its CLIP tower, if it holds none")
    parser.add_argument("--data", type=Path, help="data root with ade20k")
    parser.add_argument("--batch", type=int, default=2, help="pictures a step")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as work:
        if args.data is None:
            args.data = Path(work) / "data"
            write_miniature(args.data, frames=24)
        for way in WAYS:  # a process each: memory that one has given back is not always the system's again
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                figures[way] = alone.submit(run_way, args, way, Path(work)).result()
    first = figures[WAYS[0]]
    for way, found in figures.items():
        rate, memory = found["pictures_per_second"], found["mebibytes"]
        print(
            f"{way:36} {rate:7.2f} pictures/s  {rate / first['pictures_per_second']:5.2f} x"
            f"  {memory:8.0f} MiB  {memory / first['mebibytes']:5.2f} x"
        )
    print("MiB: the steps' peak over the loaded model")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def run_way(args: argparse.Namespace, way: str, work: Path) -> dict[str, float]:
    """Load the model and measure one of WAYS."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    start = Start(lisa=args.model, vision_tower=args.vision_tower)
    started = start_model(start, work / "tokenizer", dtype=dtype)
    make_trainable(started.lisa, Trainable(), recompute=device == "cuda")
    started.lisa.to(device)
    dataset = open_dataset("ade20k", args.data)
    groups = [
        [dataset.example((step * args.batch + n) % len(dataset), np.random.default_rng(n)) for n in range(args.batch)]
        for step in range(args.steps + 1)
    ]
    if not way.startswith("packed"):
        groups = [apart(group) for group in groups]
    cache = FeatureCache(work / "features", started.lisa, dtype) if "features" in way else None
    return measure(started, groups, args.batch, cache)


def apart(examples: Sequence[Example]) -> list[Example]:
    """The same conversations, each with its picture in a row of its own, as the reference computes them."""
    rows = []
    for example in examples:
        used = 0
        for turns in example.conversations:
            count = sum(answer.count("[SEG]") for _, answer in turns)
            masks = example.masks[used : used + count]
            rows.append(Example(example.name, example.image, example.image_path, (turns,), masks))
            used += count
    return rows


def measure(started: Started, groups: list[list[Example]], batch: int, cache: FeatureCache | None) -> dict[str, float]:
    """Mean rate over all groups but the first; peak memory over what was in use before."""
    objective = Objective(started.lisa).train()
    device = started.lisa.lm_head.weight.device
    optimizer = torch.optim.AdamW(list(trained_parameters(objective).values()), lr=1e-6)
    seconds = []
    peak = PeakMemory(device)
    peak.restart()
    for group in groups:
        begun = time.perf_counter()
        ready = make_batch(group, config=started.lisa.config, tokenizer=started.tokenizer, max_length=512, cache=cache)
        ready = ready.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            if cache is not None:
                ready = cache.fill(ready, started.lisa)
            loss = objective(ready)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begun)
    rate = batch * (len(seconds) - 1) / sum(seconds[1:])
    return {"pictures_per_second": rate, "mebibytes": (peak.bytes() or 0) / 2**20}


if __name__ == "__main__":
    sys.exit(main())
