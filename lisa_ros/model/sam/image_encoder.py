"""SAM's ViT: windowed and global attention with decomposed relative positions (Li et al., MViTv2; ViTDet)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.layers import LayerNorm2d


class ImageEncoder(nn.Module):
    """Picture [B,3,S,S] (normalised, zero padded) -> embedding [B,prompt_dim,S/patch,S/patch].

    Attributes:
        recompute: in a backward pass, compute each block's inside again instead of keeping it.
    """

    recompute = False

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        grid, width = config.grid, config.width
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, width))
        self.blocks = nn.ModuleList(
            Block(config, window=0 if i in config.global_attention else config.window_size) for i in range(config.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(width, config.prompt_dim, 1, bias=False),
            LayerNorm2d(config.prompt_dim),
            nn.Conv2d(config.prompt_dim, config.prompt_dim, 3, padding=1, bias=False),
            LayerNorm2d(config.prompt_dim),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        # the neck stays float32 in a float16 model: its 3x3 convolution overflows in half precision
        return self.neck(x.permute(0, 3, 1, 2).to(self.neck[0].weight.dtype)).to(x.dtype)


class PatchEmbed(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).permute(0, 2, 3, 1)


class Block(nn.Module):
    """Pre-norm transformer block over a grid [B,H,W,C]; ``window`` 0 attends everywhere."""

    def __init__(self, config: SamConfig, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config.width, config.heads, window or config.grid)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = Mlp(config.width, int(config.width * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.window:
            windows, padded = to_windows(normed, self.window)
            attended = from_windows(self.attn(windows), self.window, padded, normed.shape[1:3])
        else:
            attended = self.attn(normed)
        x = x + attended
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Multi-head attention over a square of ``span`` x ``span`` cells."""

    def __init__(self, width: int, heads: int, span: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, width * 3)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * span - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * span - 1, width // heads))
        self.span = span
        self.register_buffer("_distance", self.fresh_buffer("_distance"), persistent=False)

    def fresh_buffer(self, name: str) -> Tensor:
        """Row of the relative-position table for each (query, key) pair of rows or columns, [span,span]."""
        steps = torch.arange(self.span)
        return steps[:, None] - steps[None, :] + self.span - 1

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        q, k, v = self.qkv(x).reshape(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        # bias[q,k] = q . R_h[row(q)-row(k)] + q . R_w[col(q)-col(k)]; q is not scaled here, as in SAM
        grid_q = q.unflatten(2, (height, width))
        bias_h = torch.einsum("bnhwc,hkc->bnhwk", grid_q, self.rel_pos_h[self._distance])
        bias_w = torch.einsum("bnhwc,wkc->bnhwk", grid_q, self.rel_pos_w[self._distance])
        # small ones laid out contiguously first: the sum inherits their order, and would be copied (0.5 GB a global
        # block) when flattened
        bias_h, bias_w = (bias.flatten(2, 3) for bias in (bias_h, bias_w))
        bias = (bias_h[..., :, None] + bias_w[..., None, :]).flatten(-2)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).reshape(batch, height, width, channels))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.gelu(self.lin1(x)))


def to_windows(x: Tensor, size: int) -> tuple[Tensor, tuple[int, int]]:
    """[B,H,W,C] -> windows [B*n,size,size,C] (zero padded right and below) and the padded height and width."""
    batch, height, width, channels = x.shape
    padded = (-(-height // size) * size, -(-width // size) * size)
    x = F.pad(x, (0, 0, 0, padded[1] - width, 0, padded[0] - height))
    x = x.view(batch, padded[0] // size, size, padded[1] // size, size, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size, size, channels), padded


def from_windows(windows: Tensor, size: int, padded: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Inverse of to_windows."""
    rows, columns = padded[0] // size, padded[1] // size
    x = windows.view(-1, rows, columns, size, size, windows.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, padded[0], padded[1], windows.shape[-1])[:, : shape[0], : shape[1]]
