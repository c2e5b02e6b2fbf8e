"""SAM's prompt encoder, reduced to what LISA sends through it: one text embedding a mask, no points, boxes or mask
prompts.

The parameters of the unused prompts are kept, because published checkpoints hold them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.layers import LayerNorm2d


class PromptEncoder(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        dim, hidden = config.prompt_dim, 16
        self.grid = config.grid
        self.pe_layer = RandomFourierPosition(dim // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 2, stride=2),
            LayerNorm2d(hidden // 4),
            nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, 2, stride=2),
            LayerNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def forward(self, text_embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Text embeddings [n,dim] -> sparse prompts [n,1,dim] and the dense "no mask" prompt [1,dim,1,1]
        (broadcasts)."""
        return text_embeddings[:, None], self.no_mask_embed.weight[:, :, None, None]

    def position(self) -> Tensor:
        """Position code of the image embedding, [1,dim,grid,grid]."""
        return self.pe_layer(self.grid)


class RandomFourierPosition(nn.Module):
    """Random Fourier features of the cell centres (Tancik et al., 2020)."""

    def __init__(self, half_dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, half_dim))

    def forward(self, grid: int) -> Tensor:
        matrix = self.positional_encoding_gaussian_matrix
        centres = 2 * (torch.arange(grid, device=matrix.device, dtype=matrix.dtype) + 0.5) / grid - 1
        v, u = torch.meshgrid(centres, centres, indexing="ij")
        angles = 2 * math.pi * (torch.stack([u, v], -1) @ matrix)
        return torch.cat([angles.sin(), angles.cos()], -1).permute(2, 0, 1)[None]
