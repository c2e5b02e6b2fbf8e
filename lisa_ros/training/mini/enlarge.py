"""Let the image towers of a run of mini-towers.yaml, or of a shipped folder, see larger pictures: the same patches, more of them.

    python -m lisa_ros.training.mini.enlarge runs/mini-towers/last --image-size 576 --sam-image-size 768 --out runs/larger

Weights stay as they are but for the position embeddings, which are interpolated (CLIP's and SAM's, Dosovitskiy et al., 2021, section 3.2; those of
SAM's relative positions in blocks that attend everywhere, too). Then train part "words" (CLIP's tower) or "sam" (SAM's) on what comes of it, and the
language model after them (docs/training.md): it finds more patches in its input, and other masks behind its prompts.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lisa_ros.model.config import CLIP_PREFIX, SAM_PREFIX, CheckpointError, VisionConfig
from lisa_ros.model.integrity import SUMS
from lisa_ros.model.sam import SamConfig
from lisa_ros.training.mini.folder import WEIGHTS, write_changed

POSITIONS = CLIP_PREFIX + "embeddings.position_embedding.weight"
SAM_POSITIONS = SAM_PREFIX + "image_encoder.pos_embed"


def enlarge(folder: Path, out: Path, image_size: int | None = None, sam_image_size: int | None = None) -> Path:
    """Write a copy of ``folder`` whose towers see pictures of so many pixels a side (None: as before); ``out`` is replaced when it is whole.

    Raises:
        CheckpointError: ``folder`` has no towers in one model.safetensors, or their patches do not fill such a picture.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        vision, sam = (config["lisa_ros"][part] for part in ("vision", "sam"))
        before, sam_before = VisionConfig(**vision), SamConfig.from_json(sam)
        tensors = load_file(folder / WEIGHTS)
        steps = [f"{SAM_PREFIX}image_encoder.blocks.{block}.attn.rel_pos_{axis}" for block in sam_before.global_attention for axis in "hw"]
        positions, sam_positions, *rows = (tensors[name] for name in (POSITIONS, SAM_POSITIONS, *steps))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a folder of lisa train or ship with towers in {WEIGHTS} ({error})") from error
    for option, size, patch in (("--image-size", image_size, before.patch_size), ("--sam-image-size", sam_image_size, sam_before.patch_size)):
        if size is not None and (size <= 0 or size % patch):
            raise CheckpointError(f"{option} {size}: must be a multiple of the patches' {patch} pixels")
    if image_size is not None:
        tensors[POSITIONS] = interpolated(positions, replace(before, image_size=image_size))
        vision["image_size"] = image_size
    if sam_image_size is not None:
        larger = replace(sam_before, image_size=sam_image_size)
        tensors[SAM_POSITIONS] = resized(sam_positions[0], larger.grid)[None]
        tensors |= {name: stretched(row, 2 * larger.grid - 1) for name, row in zip(steps, rows)}
        sam["image_size"] = sam_image_size
    return write_changed(folder, out, {WEIGHTS: tensors}, sums=(folder / SUMS).is_file(), config=config)


def interpolated(positions: Tensor, vision: VisionConfig) -> Tensor:
    """CLIP's position embeddings [1+n,d], the class token's first, for as many patches as ``vision`` has: [1+patches,d], of the same type."""
    before, after = (int(count**0.5) for count in (len(positions) - 1, vision.patches))
    return torch.cat([positions[:1], resized(positions[1:].reshape(before, before, -1), after).flatten(0, 1)])


def resized(grid: Tensor, side: int) -> Tensor:
    """A square of embeddings [n,n,d] as [side,side,d], of the same type."""
    larger = F.interpolate(grid.float().permute(2, 0, 1)[None], (side, side), mode="bicubic", align_corners=False)
    return larger[0].permute(1, 2, 0).to(grid.dtype).contiguous()


def stretched(steps: Tensor, count: int) -> Tensor:
    """Embeddings of steps to the left and right [2n-1,d], the middle one of no step, as [count,d]: half the way across a picture stays so."""
    return F.interpolate(steps.float().T[None], count, mode="linear", align_corners=True)[0].T.to(steps.dtype).contiguous()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lisa_ros.training.mini.enlarge", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="RUN/last of mini-towers.yaml, or a shipped folder")
    parser.add_argument("--image-size", type=int, help="CLIP's: pixels a side, a multiple of the tower's patch")
    parser.add_argument("--sam-image-size", type=int, help="SAM's: the same; masks become as much finer")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    if options.image_size is None and options.sam_image_size is None:
        parser.error("name a size: --image-size, --sam-image-size")
    try:
        print(enlarge(options.folder, options.out, options.image_size, options.sam_image_size))
    except CheckpointError as error:
        print(f"enlarge: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
