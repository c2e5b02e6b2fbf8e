"""What of a model's errors is its CLIP tower's: scores as it is, and when its patches are told exactly what they show.

    python benchmarks/told_patches.py [--model lisa-mini] [--split test] [--count 24]

Part "words" of the training (docs/training.md) makes patches say the kind and colour of what they show and where they are. Here the engine answers every
question twice: on the patches that the tower makes, and on the words that they should have been. What gets better is what a better tower could give;
what does not is lost by the language model, the head or the masks. Beside the test split's wordings, --split val shows the same for those of training.
About ten seconds a frame on two cores.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.engine import Engine, Segmentation, resolve_model
from lisa_ros.evaluation.metrics import mask_iou
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.preprocessing import sam_resize_shape
from lisa_ros.training.mini.objective import Objective
from lisa_ros.training.mini.run import kind_and_color_words, warm_up_for
from lisa_ros.training.mini.samples import classes, values_of
from scannet_tools.synthetic import make_frame
from scannet_tools.synthetic.palette import COLORS
from scannet_tools.synthetic.scene import SyntheticFrame


class ToldPatches:
    """An engine whose patches are told while ``frame`` is set, and seen while it is None."""

    def __init__(self, model: str) -> None:
        self.lisa, tokenizer = load_checkpoint(resolve_model(model))
        words = warm_up_for(self.lisa.config)
        words.begin_with_words(*kind_and_color_words(self.lisa, tokenizer))
        self.objective, self.frame, self.seen = Objective(self.lisa, words), None, self.lisa.look
        self.lisa.look = self._look
        self.engine = Engine(self.lisa, tokenizer)

    def _look(self, clip_pixels: Tensor) -> Tensor:
        patches = self.seen(clip_pixels)
        return patches if self.frame is None else self._told(patches, self.frame).to(patches.dtype)

    def _told(self, patches: Tensor, frame: SyntheticFrame) -> Tensor:
        grid = 4 * self.lisa.sam.config.grid
        valid = sam_resize_shape(*frame.color.shape[:2], grid)
        colors = values_of(frame, lambda thing: 1 + COLORS.index(thing.color), 0, np.int64)
        category, color = (torch.from_numpy(classes(ids, valid, grid))[None] for ids in (frame.category, colors))
        shown = SimpleNamespace(category=category, color=color, valid=valid)
        return self.objective.warmup.shown(patches.shape[1], shown, self.objective.patch_codes(patches, valid))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--split", default="test", help="train, val or test: only the last asks in wordings that training never uses")
    parser.add_argument("--count", type=int, default=24, help="scenes")
    args = parser.parse_args()
    told = ToldPatches(args.model)
    found = {way: defaultdict(list) for way in ("seen", "told")}
    for seed in tqdm(range(args.count), unit="frame", disable=None):
        frame = make_frame(seed, split=args.split)
        for way, rows in found.items():
            told.frame = frame if way == "told" else None
            for question, answer in zip(frame.questions, told.engine.ask(told.engine.encode(frame.color), [q.text for q in frame.questions])):
                rows[question.kind].append(outcome(frame, question.targets, answer))
    print(f"{'question':>14} {'n':>4}" + "".join(f"{way + ': gIoU':>14}{'refused':>9}{'named':>8}" for way in found))
    for kind in found["seen"]:
        rows = [np.mean(np.array(by_kind[kind], float), 0) for by_kind in found.values()]
        print(f"{kind:>14} {len(found['seen'][kind]):>4}" + "".join(f"{iou:>14.3f}{refused:>9.0%}{right:>8.0%}" for iou, refused, right in rows))
    return 0


def outcome(frame: SyntheticFrame, targets: tuple[int, ...], answer: Segmentation) -> tuple[float, bool, bool]:
    """IoU of the answer's masks together (NaN where nothing is there to find), whether it is refused, whether it names just the targets,
    each as often as it is there (`lisa eval --answers` lets one name stand for equal ones)."""
    refused = not len(answer.masks)
    iou = mask_iou(answer.masks.any(0), np.isin(frame.instance, targets)) if targets else float("nan")
    named = sorted(re.findall(r"(?:and the )?(\S.*? in \S+?)\s*\[SEG\]", answer.answer))
    return iou, refused, named == sorted(f"{o.kind} in {o.color}" for o in frame.objects if o.id in targets)


if __name__ == "__main__":
    sys.exit(main())
