"""A checkpoint's configuration, read as published ``config.json`` files are written.

``model_type`` of a published LISA is "llava", which transformers takes for a class of its own: the JSON is read directly here. Sizes of SAM and
of the CLIP tower are not in published files; they come from the tensors and from the tower's own ``config.json``. Checkpoints written by
this repository hold them under the key ``lisa_ros``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lisa_ros.model.sam.config import SamConfig


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used. The message names the file and says what to do."""


@dataclass(frozen=True)
class LanguageConfig:
    """LLaMA's sizes (names of ``config.json``)."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the CLIP tower that feeds the language model. Defaults are CLIP-L/14."""

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    image_size: int = 224
    patch_size: int = 14
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @property
    def patches(self) -> int:
        """Positions one picture takes in the language model's input."""
        return (self.image_size // self.patch_size) ** 2


@dataclass(frozen=True)
class LisaConfig:
    """Everything that decides the shape of a LISA.

    Attributes:
        projector: "linear", or "mlp2x_gelu" as in LLaVA-1.5 descendants.
        out_dim: width of the mask prompt, SAM's prompt_dim.
        select_layer: which CLIP hidden state feeds the projector (-2: last but one).
        vision_tower: hub id or directory of the CLIP tower, None when its weights lie in the checkpoint.
        clip_fit: "crop" (reference: shortest side, centre crop) or "pad" (the whole frame, letter-boxed).
        conversation: prompt template, see prompt.py.
        query_template: how a query becomes the user's turn.
        min_target_probability: below this softmax probability of [SEG] mask mode answers NOT_FOUND. 0 (published checkpoints) always segments.
        name: shown to users.
    """

    language: LanguageConfig
    vision: VisionConfig
    sam: SamConfig
    projector: str = "linear"
    out_dim: int = 256
    select_layer: int = -2
    vision_tower: str | None = None
    clip_fit: str = "crop"
    conversation: str = "llava_v1"
    query_template: str = "{query} Please output segmentation mask."
    min_target_probability: float = 0.0
    name: str = ""
    published: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The ``config.json`` of a checkpoint that this repository writes: published keys, and ours under ``lisa_ros``."""
        return {
            **self.published,
            **asdict(self.language),
            "architectures": ["LISAForCausalLM"],
            "model_type": "llava",
            "mm_hidden_size": self.vision.hidden_size,
            "mm_projector_type": self.projector,
            "mm_use_im_start_end": True,
            "mm_vision_select_feature": "patch",
            "mm_vision_select_layer": self.select_layer,
            "mm_vision_tower": self.vision_tower,
            "out_dim": self.out_dim,
            "tie_word_embeddings": False,
            "train_mask_decoder": True,
            "lisa_ros": {
                "name": self.name,
                "vision": asdict(self.vision),
                "sam": asdict(self.sam),
                "clip_fit": self.clip_fit,
                "conversation": self.conversation,
                "query_template": self.query_template,
                "min_target_probability": self.min_target_probability,
            },
        }


def read_config_json(path: Path) -> dict[str, Any]:
    """Parse a ``config.json``. Raises CheckpointError when it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: a checkpoint directory needs its config.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); copy the file again") from error


def parse_config(data: dict[str, Any], shapes: dict[str, tuple[int, ...]], vision: VisionConfig | None, source: Path) -> LisaConfig:
    """Put a LisaConfig together.

    Args:
        data: the parsed ``config.json``.
        shapes: tensor name -> shape of the checkpoint (no data needed).
        vision: the CLIP tower's sizes when they come from a directory of their own.
        source: named in errors.

    Raises:
        CheckpointError: a key or a tensor that carries a size is missing.
    """
    ours = data.get("lisa_ros", {})
    try:
        language = LanguageConfig(
            **{name: data[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")},
            num_key_value_heads=data.get("num_key_value_heads", data["num_attention_heads"]),
            vocab_size=data["vocab_size"],
            max_position_embeddings=data.get("max_position_embeddings", 2048),
            rms_norm_eps=data.get("rms_norm_eps", 1e-6),
            rope_theta=data.get("rope_theta") or 10000.0,
        )
        if vision is None:
            vision = VisionConfig(**ours["vision"]) if "vision" in ours else None
        if vision is None:
            raise KeyError("vision_tower")
        if "sam" in ours:
            sam = SamConfig(**{**ours["sam"], "global_attention": tuple(ours["sam"]["global_attention"])})
        else:
            prefix = "model.visual_model."
            sam = SamConfig.from_shapes({k.removeprefix(prefix): v for k, v in shapes.items() if k.startswith(prefix)})
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{source}: {error} is missing, so this is not a LISA checkpoint this package can read") from error
    projector = data.get("mm_projector_type") or ("mlp2x_gelu" if "model.mm_projector.2.weight" in shapes else "linear")
    return LisaConfig(
        language=language,
        vision=vision,
        sam=sam,
        projector=projector,
        out_dim=data.get("out_dim", 256),
        select_layer=data.get("mm_vision_select_layer", -2),
        vision_tower=data.get("vision_tower") or data.get("mm_vision_tower"),
        clip_fit=ours.get("clip_fit", "crop"),
        conversation=ours.get("conversation", LisaConfig.conversation),
        query_template=ours.get("query_template", LisaConfig.query_template),
        min_target_probability=ours.get("min_target_probability", 0.0),
        name=ours.get("name") or Path(source).name,
        published={k: v for k, v in data.items() if k != "lisa_ros"},
    )
