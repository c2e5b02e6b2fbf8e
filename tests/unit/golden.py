"""Recorded outputs of the reference code (tests/golden/README.md), as the tests read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lisa_ros.model.tokenizer import IMAGE_ID

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
CHECKPOINT, VISION_TOWER = GOLDEN / "ckpt", GOLDEN / "clip-tiny"
CASES = tuple(f"p{i}" for i in range(7))


@dataclass
class Case:
    """One recorded prompt on one picture."""

    about: dict
    arrays: dict[str, np.ndarray]
    image: np.ndarray

    def masks(self, key: str) -> np.ndarray:
        """bool [n,H,W] of a key that ends in pred_masks_bits."""
        height, width = self.about["original_size"]
        bits = np.unpackbits(self.arrays[key], axis=-1)[..., : height * width]
        return bits.reshape(-1, height, width).astype(bool)


def read_case(name: str) -> Case:
    about = json.loads((GOLDEN / f"case_{name}.json").read_text(encoding="utf-8"))
    with np.load(GOLDEN / f"case_{name}.npz") as arrays:
        image = np.asarray(Image.open(GOLDEN / f"{about['image']}.png").convert("RGB"))
        return Case(about, dict(arrays), image)


def embedded(lisa, ids, patches):
    """Input embeddings of ids [1,L] with the picture's patches in the place of IMAGE_ID."""
    place = ids[0].tolist().index(IMAGE_ID)
    return lisa.embed(ids[:, :place], patches, ids[:, place + 1 :])
