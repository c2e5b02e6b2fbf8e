"""What the frozen towers make of a picture, kept on disk: SAM's embedding and CLIP's patches, 2.6 MB a picture in bfloat16.

SAM's encoder is most of a training step's work and does not change. Files are named after the picture's pixels and the
towers' weights, so another picture or another tower never finds them. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lisa_ros.model.lisa import Lisa
from lisa_ros.training.collation import Batch


class FeatureCache:
    """A folder of features, shared by all readers and processes.

    Args:
        dtype: of what is stored.
    """

    def __init__(self, folder: Path, lisa: Lisa, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._folder = Path(folder) / f"{_digest(lisa)}-{str(dtype).removeprefix('torch.')}"

    def key(self, image: np.ndarray) -> str:
        """The name of a picture uint8 [H,W,3]."""
        seen = hashlib.sha256(repr(image.shape).encode())
        seen.update(np.ascontiguousarray(image))
        return seen.hexdigest()[:40]

    def load(self, keys: Sequence[str]) -> tuple[Tensor, Tensor] | None:
        """CLIP features [B,patches,width] and SAM embeddings [B,dim,g,g] of all pictures, or None when one is not there."""
        found = []
        for key in keys:
            try:
                found.append(load_file(self._path(key)))
            except (OSError, SafetensorError):  # not there, or cut off by a full disk: made again
                return None
        return torch.stack([one["clip"] for one in found]), torch.stack([one["sam"] for one in found])

    def fill(self, batch: Batch, lisa: Lisa) -> Batch:
        """A batch with features: as they come, or computed from its pixels and kept."""
        if batch.sam_embedding is None:
            with torch.no_grad():
                clip = lisa.see(batch.clip).to(self._dtype)
                pixels = torch.cat([lisa.sam.normalise(picture[None]) for picture in batch.sam])
                embedding = lisa.sam.image_encoder(pixels).to(self._dtype)
            for key, one, other in zip(batch.keys, clip.cpu(), embedding.cpu()):
                self._store(key, save({"clip": one.contiguous(), "sam": other.contiguous()}))
            batch = replace(batch, clip_features=clip, sam_embedding=embedding)
        wanted = lisa.model.mm_projector.parameters().__next__().dtype
        return replace(batch, clip_features=batch.clip_features.to(wanted), sam_embedding=batch.sam_embedding.float())

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"

    def _store(self, key: str, data: bytes) -> None:
        """Whole or not at all; without room for it, training goes on without."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        number, aside = tempfile.mkstemp(prefix=f".{key}", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
            os.replace(aside, path)
        except OSError:
            Path(aside).unlink(missing_ok=True)


def _digest(lisa: Lisa) -> str:
    """Tells towers apart: the shapes of all their tensors, and some values of each."""
    seen = hashlib.sha256(f"{lisa.config.clip_fit} {lisa.config.select_layer}".encode())
    for tower in (lisa.vision_tower, lisa.sam.image_encoder):
        for name, value in tower.state_dict().items():
            some = value.flatten()[:64].float().cpu().numpy()
            seen.update(f"{name} {tuple(value.shape)}".encode() + some.tobytes())
    return seen.hexdigest()[:16]
