"""What the embedded model's mask decoder makes of an exact prompt: mask IoU by size, when nothing is left to the language model.

    python benchmarks/named_masks.py [--model lisa-mini] [--count 24]

In parts "vision" and "sam" of the training (docs/training.md) masks are asked for by prompts that name kind, colour and place. Here each thing of the
validation scenes of benchmarks/patch_words.py is asked for so. No question can be answered with better masks, in the mean, than these: what is lost
here is lost by SAM's tower and the mask decoder, the rest of an evaluation's loss by what reads pictures and questions. A minute on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from patch_words import FIRST_SEED, SIZES
from safetensors.torch import load_file
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.engine import resolve_model
from lisa_ros.engine.embedded import NAMES
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.preprocessing import preprocess, sam_resize_shape
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.training.mini.objective import Objective
from lisa_ros.training.mini.run import warm_up_for
from lisa_ros.training.mini.samples import Names, middles, shrink
from scannet_tools.synthetic import make_frame
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS


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
        kinds, colors = [KIND_NAMES.index(thing.kind) for thing in things], [1 + COLORS.index(thing.color) for thing in things]
        names = Names(torch.tensor(kinds), torch.tensor(colors), torch.from_numpy(middles(masks)), torch.ones(len(things), 3, dtype=torch.bool))
        embedding = sam.image_encoder(sam.normalise(torch.from_numpy(inputs.sam)[None]))
        low_res = sam.masks(embedding, self.objective.prompts_of(names))
        return (upscale_masks(low_res, config.sam.image_size, inputs.resized, inputs.original) > 0).numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--count", type=int, default=24, help="validation scenes")
    args = parser.parse_args()
    ask = NamedMasks(args.model)
    found: dict[int, list[float]] = {size: [] for size in SIZES}
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + args.count), unit="frame", disable=None):
        frame = make_frame(seed, split="val")
        things = [thing for thing in frame.objects if thing.pixels >= SIZES[0]]
        for thing, mask in zip(things, ask(frame.color, frame.instance, things)):
            true = frame.instance == thing.id
            found[max(size for size in SIZES if size <= thing.pixels)].append((mask & true).sum() / (mask | true).sum())
    print("pixels from   things   mean IoU")
    for size, ious in [*found.items(), ("all", sum(found.values(), []))]:
        if ious:
            print(f"{size:>11} {len(ious):>8} {np.mean(ious):>10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
