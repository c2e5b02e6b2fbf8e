"""What training changes (paper section 5.1): LoRA on the language model, token embeddings, lm_head, mask decoder and
text_hidden_fcs.

Everything else is frozen. What is trained becomes float32, whatever the precision of the rest: steps of 3e-4 are lost
in bfloat16's eight bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from lisa_ros.model.lisa import Lisa
from lisa_ros.training.peft_layers import LoraConfig, inject_adapter_in_model
from lisa_ros.training.token_rows import TokenRows

LANGUAGE_ADAPTER, SAM_ADAPTER = "default", "sam"


@dataclass(frozen=True)
class Lora:
    """Low-rank updates of linear layers (Hu et al., 2021). ``targets``: names of layers, as inside a block."""

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "v_proj")


SAM_TARGETS = ("qkv",)
"""What LoRA on SAM's encoder changes (paper Table 3, "SAM w/ LoRA")."""


NEW = "new"
TABLES = ("embeddings", "lm_head")
"""Parts of one row a token."""


@dataclass(frozen=True)
class Trainable:
    """Which parts a run trains. The defaults are the paper's.

    Attributes:
        lora: on the language model's attention; None trains none of it.
        sam_lora: on SAM's image encoder.
        embeddings, lm_head: True: every row, as the paper; "new": the rows of LISA's own tokens alone ([SEG], <im_start>, <im_end>), for a
            small model that ships without its language model.
        projector: from CLIP's patches to the language model's inputs, for a language model that knows no pictures.
        vision_tower: CLIP's image tower, for one that began from nothing.
        image_encoder: SAM's image encoder whole, for a SAM that begins from nothing (Table 4).
    """

    lora: Lora | None = field(default_factory=Lora)
    sam_lora: Lora | None = None
    embeddings: bool | str = True
    lm_head: bool | str = True
    mask_decoder: bool = True
    text_hidden_fcs: bool = True
    projector: bool = False
    vision_tower: bool = False
    image_encoder: bool = False

    def __post_init__(self) -> None:
        for table in TABLES:
            if getattr(self, table) not in (True, False, NEW):
                raise ValueError(f'trainable.{table} {getattr(self, table)!r}: choose from true, false, "{NEW}"')


PREFIXES = {
    "embeddings": "model.embed_tokens.",
    "lm_head": "lm_head.",
    "mask_decoder": "model.visual_model.mask_decoder.",
    "text_hidden_fcs": "model.text_hidden_fcs.",
    "projector": "model.mm_projector.",
    "vision_tower": "vision_tower.",
    "image_encoder": "model.visual_model.image_encoder.",
}


def make_trainable(
    lisa: Lisa, settings: Trainable, *, new_tokens: Sequence[int] = (), recompute: bool = False
) -> dict[str, int]:
    """Put adapters into a model, and mark what is trained.

    Args:
        new_tokens: ids of LISA's own tokens (``LisaTokenizer.own_ids``): the rows that "new" means.
        recompute: gradient checkpointing in the language model, and in SAM's image encoder when that is trained.

    Returns:
        Part -> number of trained values, in order.

    Raises:
        ValueError: the LoRA targets name no layer, or "new" is asked for and no tokens are named.
    """
    if settings.lora:
        _inject(lisa, settings.lora, LANGUAGE_ADAPTER, r"model\.layers\.\d+\.(self_attn|mlp)\.")
    if settings.sam_lora:
        # into the encoder alone: a second adapter of the whole model would switch the first one off
        _inject(lisa.sam.image_encoder, settings.sam_lora, SAM_ADAPTER, r"blocks\.\d+\.(attn|mlp)\.")
    for table in TABLES:
        if getattr(settings, table) == NEW:
            if not new_tokens:
                raise ValueError(f'trainable.{table} "{NEW}": which tokens are new is not said')
            owner, _, layer = PREFIXES[table].rstrip(".").rpartition(".")
            module = lisa.get_submodule(owner)
            setattr(module, layer, TokenRows(getattr(module, layer), new_tokens))
    counts: dict[str, int] = {}
    for name, parameter in lisa.named_parameters():
        part = _part(name, settings)
        parameter.requires_grad_(part is not None)
        if part is not None:
            parameter.data = parameter.data.float()
            counts[part] = counts.get(part, 0) + parameter.numel()
        elif parameter.ndim == 1:
            parameter.data = parameter.data.float()  # norms and biases: small, and RMSNorm wants its input's precision
    lisa.model.recompute = recompute
    lisa.sam.image_encoder.recompute = recompute and (settings.image_encoder or settings.sam_lora is not None)
    order = ("lora", "sam_lora", *PREFIXES)
    return {part: counts[part] for part in order if part in counts}


def _inject(owner: nn.Module, lora: Lora, adapter: str, inside: str) -> None:
    """Put an adapter on those layers of ``owner`` whose name is ``inside`` and a target."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=f"{inside}({'|'.join(lora.targets)})",
        bias="none",
    )
    on_meta = next(owner.parameters()).is_meta
    inject_adapter_in_model(config, owner, adapter_name=adapter, low_cpu_mem_usage=on_meta)


def _part(name: str, settings: Trainable) -> str | None:
    """The part a parameter belongs to when it is trained."""
    if f".lora_A.{LANGUAGE_ADAPTER}." in name or f".lora_B.{LANGUAGE_ADAPTER}." in name:
        return "lora"
    if f".lora_A.{SAM_ADAPTER}." in name or f".lora_B.{SAM_ADAPTER}." in name:
        return "sam_lora"
    part = next((part for part, prefix in PREFIXES.items() if name.startswith(prefix)), None)
    wanted = part is not None and getattr(settings, part)
    return part if wanted is True or (wanted == NEW and name.endswith(".rows")) else None


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter of what is trained."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def describe(lisa: Lisa, counts: dict[str, int]) -> str:
    """The counts as lines of text, with the share of the whole model."""
    total = sum(parameter.numel() for parameter in lisa.parameters())
    trained = sum(counts.values())
    lines = [f"  {part:<16}{count:>14,}" for part, count in counts.items()]
    together = f"  {'together':<16}{trained:>14,} of {total:,} ({100 * trained / total:.1f} %)"
    return "\n".join(["trained:", *lines, together])
