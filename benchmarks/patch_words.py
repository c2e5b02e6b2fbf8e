"""What the embedded model's patches say before anybody asks: of how many things the kind and the colour can be read off them, by size.

    python benchmarks/patch_words.py [--model lisa-mini] [--count 24]

Part "words" of the training (docs/training.md) makes each patch the sum of the language model's words for the kind and the colour that it shows and
of a code of its place. Here these words are read back by least squares, from the patch that a thing fills most, on validation scenes that no other
measure uses (seeds from 9000). A language model cannot name what its patches do not say. A minute on two cores, most of it for the scenes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.engine import resolve_model
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.preprocessing import preprocess, sam_resize_shape
from lisa_ros.training.mini.objective import Objective
from lisa_ros.training.mini.run import kind_and_color_words, warm_up_for
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS
from scannet_tools.synthetic.scene import SyntheticFrame
from things_by_size import by_size


class PatchWords:
    """Reads kinds and colours off a model's patches."""

    def __init__(self, model: str) -> None:
        self.lisa, tokenizer = load_checkpoint(resolve_model(model))
        kinds, colors = kind_and_color_words(self.lisa, tokenizer)
        words = warm_up_for(self.lisa.config)
        words.begin_with_words(kinds, colors)
        self.objective, self.place_word = Objective(self.lisa, words), words.place_word
        self.solve = torch.linalg.pinv(torch.cat([kinds, colors]).double()).float()

    @torch.no_grad()
    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kind and colour [patches] that each patch of an RGB picture says most of: index into KIND_NAMES, never the background, and into COLORS."""
        config = self.lisa.config
        inputs = preprocess(picture, config.vision.image_size, config.sam.image_size, config.clip_fit)
        valid = sam_resize_shape(*picture.shape[:2], 4 * config.sam.grid)
        patches = self.lisa.look(torch.from_numpy(inputs.clip)[None])[0].float()
        said = (patches - self.objective.patch_codes(patches[None], valid) @ self.place_word) @ self.solve
        return 1 + said[:, 1 : len(KIND_NAMES)].argmax(1).numpy(), said[:, len(KIND_NAMES) :].argmax(1).numpy()


def filled_most(instance: np.ndarray, thing: int, side: int) -> int:
    """Number of the patch, of ``side`` x ``side`` over the padded square, that a thing fills most."""
    edge, (height, width) = max(instance.shape), instance.shape
    square = np.zeros((edge, edge), np.float32)
    top, left = (edge - height) // 2, (edge - width) // 2
    square[top : top + height, left : left + width] = instance == thing
    return int(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA).argmax())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lisa-mini")
    parser.add_argument("--count", type=int, default=24, help="validation scenes")
    args = parser.parse_args()
    read = PatchWords(args.model)
    vision = read.lisa.config.vision

    def right(frame: SyntheticFrame, things: list) -> list[tuple[bool, bool]]:
        kinds, colors = read(frame.color)
        patches = [filled_most(frame.instance, thing.id, vision.grid) for thing in things]
        return [(KIND_NAMES[kinds[p]] == thing.kind, COLORS[colors[p]] == thing.color) for p, thing in zip(patches, things)]

    print("pixels from   things   kind right   colour right")
    for size, found in by_size(right, args.count).items():
        print("{:>11} {:>8} {:>12.0%} {:>14.0%}".format(size, len(found), *np.mean(found, 0)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
