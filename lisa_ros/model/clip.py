"""CLIP's vision tower (Radford et al., 2021), with the names of published checkpoints (``vision_model.`` left out).

A plain module of our own, run only as far as the layer that LISA reads, so that it can be compiled and captured like
the other stages.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.config import VisionConfig


def quick_gelu(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU that OpenAI's CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": F.gelu}


class ClipVision(nn.Module):
    """Picture [B,3,c,c] (normalised) -> hidden states of one layer.

    Raises:
        ValueError: an activation that no CLIP tower has.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        if config.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f'hidden_act "{config.hidden_act}" of the CLIP tower is not known; {" and ".join(ACTIVATIONS)} are'
            )
        self.embeddings = Embeddings(config)
        # spelt like that in the checkpoints
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))})
        # in the checkpoints, not used here
        self.post_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, pixels: Tensor, select_layer: int) -> Tensor:
        """Hidden states [B,1+patches,d], the class token first.

        Args:
            select_layer: as in a list that begins with the embeddings and goes on with every layer's result; -2 is the
                last but one.
        """
        layers = self.encoder["layers"]
        x = self.pre_layrnorm(self.embeddings(pixels))
        for layer in layers[: select_layer if select_layer >= 0 else len(layers) + 1 + select_layer]:
            x = layer(x)
        return x


class Embeddings(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding(config.patches + 1, width)
        nn.init.normal_(self.patch_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        return torch.cat([first, patches], 1) + self.position_embedding.weight


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = Mlp(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Attention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        width = config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        inner = width**-0.5 * (2 * config.num_hidden_layers) ** -0.5
        for layer, std in (
            (self.q_proj, inner),
            (self.k_proj, inner),
            (self.v_proj, inner),
            (self.out_proj, width**-0.5),
        ):
            _initialise(layer, std)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention [B,heads,n,d] without a mask. While training on a CPU, where the backward pass of torch's own takes 2.5 times as long, in two products."""
    if torch.is_grad_enabled() and q.device.type == "cpu":
        return (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Mlp(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.fc1 = nn.Linear(width, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, width)
        self.activation = ACTIVATIONS[config.hidden_act]
        _initialise(self.fc1, (2 * width) ** -0.5)
        _initialise(self.fc2, width**-0.5 * (2 * config.num_hidden_layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


def _initialise(layer: nn.Linear, std: float) -> None:
    """CLIP's initialisation, for training from nothing."""
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
