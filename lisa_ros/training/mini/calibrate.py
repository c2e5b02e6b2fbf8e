"""Choose min_target_probability: the probability of [SEG] below which mask mode answers "not found".

    python -m lisa_ros.training.mini.calibrate CHECKPOINT [--frames 100]

Asks the questions of held-out validation scenes (never the test split) and takes the threshold where the smaller of "absent targets refused" and
"present targets kept" is largest: neither is bought with the other. The checkpoint's config.json is rewritten atomically.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lisa_ros.engine import CheckpointError, Engine
from scannet_tools.synthetic import make_frame


def best_threshold(present: np.ndarray, absent: np.ndarray) -> tuple[float, float, float]:
    """Threshold, share of ``absent`` [m] probabilities below it, share of ``present`` [n] at or above it.

    Raises:
        ValueError: one of the two is empty.
    """
    if len(present) == 0 or len(absent) == 0:
        raise ValueError("calibration needs both present and absent targets")
    values = np.unique(np.concatenate([present, absent]))
    candidates = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    refused = (absent[None] < candidates[:, None]).mean(1)
    kept = (present[None] >= candidates[:, None]).mean(1)
    best = int(np.argmax(np.minimum(refused, kept)))
    return float(candidates[best]), float(refused[best]), float(kept[best])


def probabilities(engine: Engine, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """target_probability of present and of absent targets over validation frames; 0 where the mask is empty."""
    present: list[float] = []
    absent: list[float] = []
    engine.min_target_probability = 0.0  # ask without the threshold that is looked for
    for seed in tqdm(range(frames), unit="frame", disable=None):
        frame = make_frame(seed, split="val")
        answers = engine.ask(engine.encode(frame.color), [question.text for question in frame.questions])
        for question, answer in zip(frame.questions, answers):
            seen = bool(answer.masks.any())  # an empty mask refuses whatever the probability
            (present if question.targets else absent).append(answer.target_probability if seen else 0.0)
    return np.array(present), np.array(absent)


def write_threshold(checkpoint: Path, threshold: float) -> None:
    """Put min_target_probability into a checkpoint's config.json."""
    path = Path(checkpoint) / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data.setdefault("lisa_ros", {})["min_target_probability"] = round(threshold, 4)
    partial = path.with_name("config.json.part")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lisa_ros.training.mini.calibrate", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint directory; its config.json is changed")
    parser.add_argument("--frames", type=int, default=100, help="validation frames")
    options = parser.parse_args(argv)
    try:
        engine = Engine.load(options.checkpoint)
    except CheckpointError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1
    threshold, refused, kept = best_threshold(*probabilities(engine, options.frames))
    write_threshold(options.checkpoint, threshold)
    print(f"min_target_probability {threshold:.4f}: {refused:.0%} of absent targets refused, {kept:.0%} of present ones kept (validation split)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
