"""Sizes of a SAM. Published LISA checkpoints do not write them down: they are read off the tensors' shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SamConfig:
    """Defaults are ViT-H at 1024 pixels, the SAM of every published LISA."""

    image_size: int = 1024
    patch_size: int = 16
    width: int = 1280
    depth: int = 32
    heads: int = 16
    mlp_ratio: float = 4.0
    window_size: int = 14
    global_attention: tuple[int, ...] = (7, 15, 23, 31)
    prompt_dim: int = 256
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    iou_hidden: int = 256
    mask_tokens: int = 4

    @property
    def grid(self) -> int:
        """Patches along one side of the padded picture."""
        return self.image_size // self.patch_size

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SamConfig:
        """Sizes as a configuration file or a recipe has them.

        Raises:
            KeyError: no global_attention. TypeError: an unknown size.
        """
        return cls(**{**data, "global_attention": tuple(data["global_attention"])})

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> SamConfig:
        """Read the sizes off tensor shapes, keyed by SAM's own names (no prefix).

        Raises:
            KeyError: a tensor that carries a size is missing.
        """
        _, grid, _, width = shapes["image_encoder.pos_embed"]
        patch = shapes["image_encoder.patch_embed.proj.weight"][-1]
        blocks = sorted({int(m[1]) for key in shapes if (m := re.match(r"image_encoder\.blocks\.(\d+)\.", key))})
        rel_pos = {i: shapes[f"image_encoder.blocks.{i}.attn.rel_pos_h"] for i in blocks}
        head_dim = rel_pos[blocks[0]][1]
        spans = {i: (shape[0] + 1) // 2 for i, shape in rel_pos.items()}
        windowed = [span for span in spans.values() if span != grid]
        decoder_blocks = {
            int(m[1]) for key in shapes if (m := re.match(r"mask_decoder\.transformer\.layers\.(\d+)\.", key))
        }
        return cls(
            image_size=grid * patch,
            patch_size=patch,
            width=width,
            depth=len(blocks),
            heads=width // head_dim,
            mlp_ratio=shapes["image_encoder.blocks.0.mlp.lin1.weight"][0] / width,
            window_size=windowed[0] if windowed else 0,
            global_attention=tuple(i for i, span in spans.items() if span == grid),
            prompt_dim=shapes["prompt_encoder.no_mask_embed.weight"][1],
            decoder_depth=len(decoder_blocks),
            decoder_mlp=shapes["mask_decoder.transformer.layers.0.mlp.lin1.weight"][0],
            iou_hidden=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
            mask_tokens=shapes["mask_decoder.mask_tokens.weight"][0],
        )
