"""The published checkpoints' true sizes, for measuring without their weights and for testing that they would load.

``Lisa(published_config("7b"))`` on the meta device has exactly the tensors of xinlai/LISA-7B-v1.
"""

from __future__ import annotations

import torch

from lisa_ros.model.config import LanguageConfig, LisaConfig, VisionConfig
from lisa_ros.model.sam.config import SamConfig

CLIP_L_14 = VisionConfig()
CLIP_L_14_336 = VisionConfig(image_size=336)


def _llama_7b(**rest: float) -> LanguageConfig:
    return LanguageConfig(4096, 11008, 32, 32, 32, **rest)


def _llama_13b(**rest: float) -> LanguageConfig:
    return LanguageConfig(5120, 13824, 40, 40, 40, **rest)


_V1_5 = {"vocab_size": 32003, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}  # Vicuna 1.5 and Llama 2 alike
PUBLISHED = {
    "7b": LisaConfig(
        _llama_7b(vocab_size=32004, max_position_embeddings=2048, rms_norm_eps=1e-6),
        CLIP_L_14,
        SamConfig(),
        vision_tower="openai/clip-vit-large-patch14",
        name="LISA-7B-v1",
    ),
    "13b": LisaConfig(
        _llama_13b(**_V1_5),
        CLIP_L_14,
        SamConfig(),
        vision_tower="openai/clip-vit-large-patch14",
        name="LISA-13B-llama2-v1",
    ),
    "llava-1.5-7b": LisaConfig(
        _llama_7b(**_V1_5),
        CLIP_L_14_336,
        SamConfig(),
        projector="mlp2x_gelu",
        vision_tower="openai/clip-vit-large-patch14-336",
        name="LISA-7B-LLaVA1.5",
    ),
    "llava-1.5-13b": LisaConfig(
        _llama_13b(**_V1_5),
        CLIP_L_14_336,
        SamConfig(),
        projector="mlp2x_gelu",
        vision_tower="openai/clip-vit-large-patch14-336",
        name="LISA-13B-LLaVA1.5",
    ),
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
