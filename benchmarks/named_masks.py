"""What the embedded model's mask decoder makes of an exact prompt: mask IoU by size, when nothing is left to the language model.

    python benchmarks/named_masks.py [--model lisa-mini] [--count 24]

In parts "vision" and "sam" of the training (docs/training.md) masks are asked for by prompts that name kind, colour and place. Here each thing of the
validation scenes of benchmarks/things_by_size.py is asked for so. No question can be answered with better masks, in the mean, than these: what is lost
here is lost by SAM's tower and the mask decoder, the rest of an evaluation's loss by what reads pictures and questions. A minute on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.engine import resolve_model
from lisa_ros.engine.embedded import NAMES
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.preprocessing import preprocess, sam_resize_shape
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.training.mini.batch import together
from lisa_ros.training.mini.objective import Objective
from lisa_ros.training.mini.run import warm_up_for
from lisa_ros.training.mini.samples import names_of, shrink
from scannet_tools.synthetic.scene import SyntheticFrame
from things_by_size import by_size


class NamedMasks:
    """Asks a model's mask decoder by name."""

    def __init__(self, model: str) -> None:
        folder = resolve_model(model)
        self.lisa, _ = load_checkpoint(folder)
        words = warm_up_for(self.lisa.config)
        words.load_state_dict({name: value.float() for name, value in load_file(folder / NAMES).items()})
        self.objective = Objective(self.lisa, words)

    @torch.no_grad()
    def __call__(self, picture: np.ndarray, instance: np.ndarray, things: list) -> np.ndarray:
        """Masks bool [n,H,W] of n things of an RGB picture, told by kind, colour and the middle of their true masks."""
        config, sam = self.lisa.config, self.lisa.sam
        inputs = preprocess(picture, config.vision.image_size, config.sam.image_size, config.clip_fit)
        grid = 4 * config.sam.grid
        valid = sam_resize_shape(*instance.shape, grid)
        masks = np.array([shrink(instance == thing.id, valid, grid) for thing in things])
        names = together([names_of(things, [(True, True, True)] * len(things), masks)])
        embedding = sam.image_encoder(sam.normalise(torch.from_numpy(inputs.sam)[None]))
        low_res = sam.masks(embedding, self.objective.prompts_of(names))
        return (upscale_masks(low_res, config.sam.image_size, inputs.resized, inputs.original) > 0).numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--count", type=int, default=24, help="validation scenes")
    args = parser.parse_args()
    ask = NamedMasks(args.model)

    def overlaps(frame: SyntheticFrame, things: list) -> list[float]:
        true = [frame.instance == thing.id for thing in things]
        return [(mask & one).sum() / (mask | one).sum() for mask, one in zip(ask(frame.color, frame.instance, things), true)]

    print("pixels from   things   mean IoU")
    for size, found in by_size(overlaps, args.count).items():
        print(f"{size:>11} {len(found):>8} {np.mean(found):>10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
