"""The published checkpoints' true sizes, for measuring without their weights and for testing that they would load.

``Lisa(published_config("7b"))`` on the meta device has exactly the tensors of xinlai/LISA-7B-v1.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from lisa_ros.model.config import LanguageConfig, LisaConfig, VisionConfig
from lisa_ros.model.sam.config import SamConfig

_LLAMA_7B = LanguageConfig(4096, 11008, 32, 32, 32, vocab_size=32004)  # LLaMA 1; the tokens of LLaVA v1 and [SEG]
_LATER = {"vocab_size": 32003, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}  # Vicuna 1.5 and Llama 2 alike
_LATER_7B = replace(_LLAMA_7B, **_LATER)
_LATER_13B = LanguageConfig(5120, 13824, 40, 40, 40, **_LATER)


def _v1(name: str, language: LanguageConfig) -> LisaConfig:
    tower = "openai/clip-vit-large-patch14"
    return LisaConfig(language, VisionConfig(), SamConfig(), vision_tower=tower, name=name)


def _llava_1_5(name: str, language: LanguageConfig) -> LisaConfig:
    tower = "openai/clip-vit-large-patch14-336"
    vision = VisionConfig(image_size=336)
    return replace(_v1(name, language), vision=vision, projector="mlp2x_gelu", vision_tower=tower)


PUBLISHED = {
    "7b": _v1("LISA-7B-v1", _LLAMA_7B),
    "13b": _v1("LISA-13B-llama2-v1", _LATER_13B),
    "llava-1.5-7b": _llava_1_5("LISA-7B-LLaVA1.5", _LATER_7B),
    "llava-1.5-13b": _llava_1_5("LISA-13B-LLaVA1.5", _LATER_13B),
}
"""Layout -> configuration. "7b" and "13b" are LISA v1 and its explanatory variants (7B on LLaMA 1, 13B on Llama 2)."""


def published_config(name: str) -> LisaConfig:
    """The configuration of a published layout.

    Raises:
        ValueError: there is no such layout; the message lists them.
    """
    if name not in PUBLISHED:
        raise ValueError(f'no published layout "{name}"; there are {", ".join(PUBLISHED)}')
    return PUBLISHED[name]


def published_dtype(name: str) -> torch.dtype:
    """The precision of a tensor in published files: SAM and text_hidden_fcs float32, everything else bfloat16."""
    return torch.float32 if name.startswith(("model.visual_model.", "model.text_hidden_fcs.")) else torch.bfloat16
