"""SAM's mask decoder: a two-way transformer between prompt tokens and image cells, then a mask by dot product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.layers import LayerNorm2d, Perceptron


class MaskDecoder(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        dim = config.prompt_dim
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(config.mask_tokens, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron([dim, dim, dim, dim // 8]) for _ in range(config.mask_tokens)
        )
        self.iou_prediction_head = Perceptron([dim, config.iou_hidden, config.iou_hidden, config.mask_tokens])

    def forward(self, image: Tensor, position: Tensor, sparse: Tensor, dense: Tensor) -> Tensor:
        """Mask logits of n prompts on their pictures.

        Only the first mask token's mask is computed (``multimask_output=False``); the quality head gets no loss in
        LISA's training, so its value would mean nothing and is not computed.

        Args:
            image: [n or 1, dim, g, g] image embedding.
            position: [1, dim, g, g] its position code.
            sparse: [n, k, dim] prompt tokens.
            dense: [n or 1, dim, g or 1, g or 1].

        Returns:
            [n, 4g, 4g] logits.
        """
        n, grid = len(sparse), image.shape[-1]
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(n, -1, -1), sparse], 1)
        source = (image + dense).expand(n, -1, -1, -1).flatten(2).transpose(1, 2)
        tokens, source = self.transformer(source, position.flatten(2).transpose(1, 2), tokens)
        upscaled = self.output_upscaling(source.transpose(1, 2).unflatten(2, (grid, grid)))
        weights = self.output_hypernetworks_mlps[0](tokens[:, 1])
        return torch.einsum("nc,nchw->nhw", weights, upscaled)


class TwoWayTransformer(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        dim, heads = config.prompt_dim, config.decoder_heads
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, heads, config.decoder_mlp, first=i == 0) for i in range(config.decoder_depth)
        )
        self.final_attn_token_to_image = CrossAttention(dim, heads, dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, position: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """image [n,g*g,dim], position [1,g*g,dim], prompts [n,t,dim] -> updated prompts and image."""
        tokens = prompts
        for layer in self.layers:
            tokens, image = layer(tokens, image, prompts, position)
        attended = self.final_attn_token_to_image(tokens + prompts, image + position, image)
        return self.norm_final_attn(tokens + attended), image


class TwoWayBlock(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first  # the first block's self-attention replaces the tokens and adds no prompt code
        self.self_attn = CrossAttention(dim, heads, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = CrossAttention(dim, heads, dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = ReluMlp(dim, hidden)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = CrossAttention(dim, heads, dim // 2)

    def forward(self, tokens: Tensor, image: Tensor, prompts: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            coded = tokens + prompts
            tokens = tokens + self.self_attn(coded, coded, tokens)
        tokens = self.norm1(tokens)
        image_coded = image + position
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + prompts, image_coded, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image_coded, tokens + prompts, tokens))
        return tokens, image


class CrossAttention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the model's."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class ReluMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))
