"""LISA as one torch module: CLIP tower -> projector -> LLaMA with [SEG] -> text_hidden_fcs -> SAM (paper section 4, Figure 3).

Attribute names give the published state-dict names (``model.layers...``, ``model.visual_model...``, ``lm_head``); the CLIP tower, which
published checkpoints leave out, is ``vision_tower``. The methods are the stages an engine or a trainer puts together:

    patches = lisa.look(clip_pixels)                          # picture as language positions
    hidden  = lisa.read(lisa.embed(ids, patches), cache)      # language model
    prompts = lisa.mask_prompt(hidden at the position BEFORE [SEG])
    logits  = lisa.sam.masks(lisa.sam.image_encoder(sam_pixels), prompts)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, DynamicCache, LlamaConfig, LlamaModel

from lisa_ros.model.config import LisaConfig
from lisa_ros.model.sam import Sam
from lisa_ros.model.tokenizer import IMAGE_ID


class Lisa(nn.Module):
    def __init__(self, config: LisaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LisaLanguageModel(config)
        self.lm_head = nn.Linear(config.language.hidden_size, config.language.vocab_size, bias=False)
        self.vision_tower = build_vision_tower(config)

    @property
    def sam(self) -> Sam:
        return self.model.visual_model

    def get_parameter_or_buffer(self, name: str) -> Tensor:
        """The parameter or buffer of a state-dict key."""
        module, _, leaf = name.rpartition(".")
        return getattr(self.get_submodule(module), leaf)

    def look(self, clip_pixels: Tensor) -> Tensor:
        """CLIP pixels [B,3,c,c] -> language-model inputs [B,patches,d]."""
        states = self.vision_tower(clip_pixels, output_hidden_states=True).hidden_states
        features = states[self.config.select_layer][:, 1:]
        return self.model.mm_projector(features.to(self.model.mm_projector_dtype))

    def embed(self, ids: Tensor, patches: Tensor | None) -> Tensor:
        """Input embeddings [1,L',d] of ids [1,L] in which IMAGE_ID (at most once) becomes the picture's patches."""
        places = (ids[0] == IMAGE_ID).nonzero()
        if len(places) == 0:
            return self.model.embed_tokens(ids)
        place = int(places[0])
        before, after = self.model.embed_tokens(ids[:, :place]), self.model.embed_tokens(ids[:, place + 1 :])
        return torch.cat([before, patches.to(before.dtype), after], 1)

    def read(
        self,
        embeddings: Tensor,
        cache: DynamicCache | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states [B,L,d] (after the final norm). ``attention_mask`` as transformers takes it (2D, or 4D additive)."""
        return self.model(
            inputs_embeds=embeddings,
            past_key_values=cache,
            position_ids=position_ids,
            attention_mask=attention_mask,
            use_cache=cache is not None,
        ).last_hidden_state

    def mask_prompt(self, hidden: Tensor) -> Tensor:
        """Hidden states [n,d] at the positions that predict [SEG] -> SAM prompts [n,out_dim]."""
        head = self.model.text_hidden_fcs[0]
        return head(hidden.to(head[0].weight.dtype))


class LisaLanguageModel(LlamaModel):
    """LLaMA with the parts LISA hangs on it, under the names published checkpoints use."""

    def __init__(self, config: LisaConfig) -> None:
        super().__init__(llama_config(config))
        width = config.language.hidden_size
        self.mm_projector = build_projector(config.projector, config.vision.hidden_size, width)
        self.text_hidden_fcs = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.out_dim), nn.Dropout(0.0))]
        )
        self.visual_model = Sam(config.sam)

    @property
    def mm_projector_dtype(self) -> torch.dtype:
        return next(self.mm_projector.parameters()).dtype


def llama_config(config: LisaConfig) -> LlamaConfig:
    """transformers' configuration of the language part."""
    language = config.language
    return LlamaConfig(
        vocab_size=language.vocab_size,
        hidden_size=language.hidden_size,
        intermediate_size=language.intermediate_size,
        num_hidden_layers=language.num_hidden_layers,
        num_attention_heads=language.num_attention_heads,
        num_key_value_heads=language.num_key_value_heads,
        max_position_embeddings=language.max_position_embeddings,
        rms_norm_eps=language.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": language.rope_theta},
        tie_word_embeddings=False,
        attn_implementation="sdpa",
    )


def build_projector(kind: str, vision_width: int, language_width: int) -> nn.Module:
    """LLaVA's projector. Raises ValueError for a kind that LLaVA v1 and v1.5 do not have."""
    if kind == "linear":
        return nn.Linear(vision_width, language_width)
    if kind == "mlp2x_gelu":
        return nn.Sequential(
            nn.Linear(vision_width, language_width), nn.GELU(), nn.Linear(language_width, language_width)
        )
    raise ValueError(f'mm_projector_type "{kind}" is not known; "linear" and "mlp2x_gelu" are')


def build_vision_tower(config: LisaConfig) -> CLIPVisionModel:
    """The CLIP vision tower (random weights)."""
    vision = config.vision
    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=vision.hidden_size,
            intermediate_size=vision.intermediate_size,
            num_hidden_layers=vision.num_hidden_layers,
            num_attention_heads=vision.num_attention_heads,
            image_size=vision.image_size,
            patch_size=vision.patch_size,
            hidden_act=vision.hidden_act,
            layer_norm_eps=vision.layer_norm_eps,
            attn_implementation="sdpa",
        )
    )
