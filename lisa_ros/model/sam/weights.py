"""SAM alone from ``segment_anything``'s own checkpoints: ``sam_vit_h_4b8939.pth`` and its smaller sisters."""

from __future__ import annotations

from pathlib import Path

import torch

from lisa_ros.model.config import CheckpointError
from lisa_ros.model.filling import compare, fill, restore_buffers, shorten, stage_dtype
from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.sam import Sam
from lisa_ros.model.shards import read_headers


def load_sam(path: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Sam:
    """A SAM in evaluation mode; its sizes (ViT-B, -L, -H) are read off the file.

    Args:
        path: a ``.pth`` of ``segment_anything``, or the same tensors as ``.safetensors``.

    Raises:
        CheckpointError: the file is missing, damaged, or not a SAM; the message names what does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; give a checkpoint of segment_anything such as sam_vit_h_4b8939.pth"
        )
    stored = {header.name: header for header in read_headers(path)}
    try:
        config = SamConfig.from_shapes({name: header.shape for name, header in stored.items()})
        with torch.device("meta"):
            sam = Sam(config)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"{path}: {error} is missing or has another shape than SAM's; this is not a checkpoint of segment_anything"
        ) from error
    problems = compare(sam, stored)
    if problems:
        raise CheckpointError(f"{path}: not a checkpoint of segment_anything's SAM: {shorten(problems)}")
    fill(sam, stored, device, lambda key: stage_dtype(key, dtype))
    restore_buffers(sam, device)
    return sam.eval().requires_grad_(False)
