"""Let the CLIP-type tower of a run of mini-towers.yaml, or of a shipped folder, see larger pictures: the same patches, more of them.

    python -m lisa_ros.training.mini.enlarge runs/mini-towers/last --image-size 432 --out runs/mini-towers-432

Weights stay as they are but for the position embeddings, which are interpolated (Dosovitskiy et al., 2021, section 3.2). Train part "words" on
what comes of it (docs/training.md), then the language model, which finds more patches in its input.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.config import CLIP_PREFIX, CheckpointError, VisionConfig
from lisa_ros.model.integrity import SUMS

POSITIONS = CLIP_PREFIX + "embeddings.position_embedding.weight"
WEIGHTS = "model.safetensors"


def enlarge(folder: Path, out: Path, image_size: int) -> Path:
    """Write a copy of ``folder`` whose tower sees pictures of ``image_size`` pixels a side; ``out`` is replaced when it is whole.

    Raises:
        CheckpointError: ``folder`` has no tower in one model.safetensors, or its patches do not fill such a picture.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        vision = VisionConfig(**config["lisa_ros"]["vision"])
        tensors = load_file(folder / WEIGHTS)
        positions = tensors[POSITIONS]
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a folder of lisa train or ship with a CLIP tower in {WEIGHTS} ({error})") from error
    if image_size <= 0 or image_size % vision.patch_size:
        raise CheckpointError(f"--image-size {image_size}: must be a multiple of the patches' {vision.patch_size} pixels")
    larger = replace(vision, image_size=image_size)
    tensors[POSITIONS] = interpolated(positions, larger)
    config["lisa_ros"]["vision"]["image_size"] = image_size
    with replaced_directory(out) as building:
        shutil.copytree(folder, building, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WEIGHTS, "config.json", SUMS))  # sums of other files
        save_file(tensors, building / WEIGHTS, metadata={"format": "pt"})
        (building / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return out


def interpolated(positions: Tensor, vision: VisionConfig) -> Tensor:
    """Position embeddings [1+n,d], the class token's first, for as many patches as ``vision`` has: [1+patches,d], of the same type."""
    before, after = (int(count**0.5) for count in (len(positions) - 1, vision.patches))
    grid = positions[1:].float().T.reshape(1, -1, before, before)
    grid = F.interpolate(grid, (after, after), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], grid[0].flatten(1).T.to(positions.dtype)])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lisa_ros.training.mini.enlarge", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="RUN/last of mini-towers.yaml, or a shipped folder")
    parser.add_argument("--image-size", type=int, required=True, help="pixels a side, a multiple of the tower's patch")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    try:
        print(enlarge(options.folder, options.out, options.image_size))
    except CheckpointError as error:
        print(f"enlarge: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
