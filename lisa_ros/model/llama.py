"""LLaMA (Touvron et al., 2023), the language model inside LISA, with the state-dict names of published checkpoints.

A plain module of our own: its key/value cache has a fixed size and is addressed by positions, so a frame's prefix is
reused, queries of different length share a batch, and every shape is static for torch.compile and CUDA graphs. A text
is laid out from the left; what stands behind a row's own last token (padding of a shorter query) is never looked at,
because a position attends only to those up to itself.

    hidden = llama(embeddings)                             # causal, nothing kept: training
    hidden = llama(embeddings, cache)                      # the beginning of a text, kept in the cache
    hidden = llama(embeddings, cache, positions)           # its continuation, row b at positions[b]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lisa_ros.model.config import LanguageConfig


@dataclass
class KeyValueCache:
    """Keys and values of all layers.

    Attributes:
        keys, values: [layers, B, key_value_heads, length, head_dim].
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(
        cls, config: LanguageConfig, batch: int, length: int, device: torch.device | str, dtype: torch.dtype
    ) -> KeyValueCache:
        """Room for ``length`` positions. Zeros, since even a position that is not looked at must not hold NaN."""
        shape = (config.num_hidden_layers, batch, config.num_key_value_heads, length, config.head_dim)
        return cls(torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype))

    @property
    def length(self) -> int:
        return self.keys.shape[3]

    def begin_with(self, prefix: KeyValueCache) -> None:
        """Let every row begin with the text of ``prefix`` (a batch of one)."""
        self.keys[:, :, :, : prefix.length] = prefix.keys
        self.values[:, :, :, : prefix.length] = prefix.values


class Llama(nn.Module):
    """The language model.

    Attributes:
        recompute: in a backward pass, compute each layer's inside again instead of keeping it ("gradient
            checkpointing"): memory of one layer instead of all, for a third more time.
    """

    recompute = False

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.language = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        for name in ("rotary_cos", "rotary_sin"):
            self.register_buffer(name, self.fresh_buffer(name), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):  # LLaMA's initialisation, for training from nothing
                nn.init.normal_(module.weight, std=0.02)

    def fresh_buffer(self, name: str) -> Tensor:
        """Cosines or sines of the rotary position code (Su et al., 2021), float32 [max_position_embeddings,
        head_dim]."""
        config = self.language
        steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        angles = torch.outer(torch.arange(config.max_position_embeddings).float(), 1.0 / config.rope_theta**steps)
        angles = torch.cat([angles, angles], -1)
        return angles.cos() if name == "rotary_cos" else angles.sin()

    def forward(
        self,
        embeddings: Tensor,
        cache: KeyValueCache | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states [B,L,d], after the final norm.

        Args:
            embeddings: [B,L,d].
            cache: written at the embeddings' positions, and read up to them.
            positions: [B,L] or [1,L] of every embedding in its row's text; None for 0, 1, ... L-1.
            mask: [B,1,L,L] added to the attention scores, for texts that are not simply causal (without ``cache``
                only).
        """
        length = embeddings.shape[1]
        rows = None
        if positions is None:
            cos, sin = self.rotary_cos[:length], self.rotary_sin[:length]
        else:
            cos, sin = self.rotary_cos[positions][:, None], self.rotary_sin[positions][:, None]
            if cache is not None:
                rows = torch.arange(len(embeddings), device=embeddings.device)[:, None]
                mask = torch.arange(cache.length, device=embeddings.device) <= positions[:, None, :, None]
        place = Place(cos.to(embeddings.dtype), sin.to(embeddings.dtype), positions, rows, mask)
        x = embeddings
        for index, layer in enumerate(self.layers):
            memory = None if cache is None else (cache.keys[index], cache.values[index])
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(layer, x, place, memory, use_reentrant=False)
            else:
                x = layer(x, place, memory)
        return self.norm(x)


@dataclass
class Place:
    """Where the embeddings of one pass stand, the same for all layers.

    Attributes:
        cos, sin: rotary code, [L,head_dim] or [B,1,L,head_dim].
        positions, rows: where keys and values go in the cache, [B,L] and [B,1]; positions None: its beginning.
        mask: what may be looked at; None: causal.
    """

    cos: Tensor
    sin: Tensor
    positions: Tensor | None
    rows: Tensor | None
    mask: Tensor | None


class DecoderLayer(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.mlp = GatedMlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, place: Place, memory: tuple[Tensor, Tensor] | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), place, memory)
        return x + self.mlp(self.post_attention_layernorm(x))


class SelfAttention(nn.Module):
    """Multi-head attention; fewer key/value heads than heads are shared among them."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.shared = config.num_key_value_heads != config.num_attention_heads
        width, narrow = config.num_attention_heads * self.head_dim, config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)

    def forward(self, x: Tensor, place: Place, memory: tuple[Tensor, Tensor] | None) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, place), rotate(k, place)
        if memory is not None:
            keys, values = memory
            if place.positions is None:
                keys[:, :, : k.shape[2]], values[:, :, : k.shape[2]] = k, v
            else:
                # autocast (validation in a training run) may make them narrower than the cache
                keys[place.rows, :, place.positions] = k.transpose(1, 2).to(keys.dtype)
                values[place.rows, :, place.positions] = v.transpose(1, 2).to(values.dtype)
                k, v = keys, values
        causal = place.mask is None
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=place.mask, is_causal=causal, enable_gqa=self.shared)
        return self.o_proj(out.transpose(1, 2).flatten(2))


def rotate(x: Tensor, place: Place) -> Tensor:
    """Turn [B,heads,L,head_dim] by the rotary code."""
    first, second = x.chunk(2, -1)
    return x * place.cos + torch.cat([-second, first], -1) * place.sin


class GatedMlp(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
