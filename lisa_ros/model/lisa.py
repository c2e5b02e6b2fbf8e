"""LISA as one torch module: CLIP tower -> projector -> LLaMA with [SEG] -> text_hidden_fcs -> SAM (paper section 4,
Figure 3).

Attribute names give the published state-dict names (``model.layers...``, ``model.visual_model...``, ``lm_head``); the
CLIP tower, which published checkpoints leave out, is ``vision_tower``. The methods are the stages an engine or a
trainer puts together:

    patches = lisa.look(clip_pixels)                          # picture as language positions
    patches = lisa.without_bars(patches, height, width)        # those that are read
    hidden  = lisa.read(lisa.embed(before, patches, after))    # language model
    prompts = lisa.mask_prompt(hidden at the position BEFORE [SEG])
    logits  = lisa.sam.masks(lisa.sam.image_encoder(sam_pixels), prompts)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lisa_ros.model.clip import ClipVision
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.llama import KeyValueCache, Llama
from lisa_ros.model.preprocessing import patches_read
from lisa_ros.model.sam import Sam


class Lisa(nn.Module):
    def __init__(self, config: LisaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LisaLanguageModel(config)
        self.lm_head = nn.Linear(config.language.hidden_size, config.language.vocab_size, bias=False)
        self.vision_tower = ClipVision(config.vision)

    @property
    def sam(self) -> Sam:
        return self.model.visual_model

    def look(self, clip_pixels: Tensor) -> Tensor:
        """CLIP pixels [B,3,c,c] -> language-model inputs [B,patches,d]."""
        return self.model.mm_projector(self.see(clip_pixels))

    def see(self, clip_pixels: Tensor) -> Tensor:
        """CLIP pixels [B,3,c,c] -> the tower's features [B,patches,width] that the projector takes: without the class token."""
        return self.vision_tower(clip_pixels, self.config.select_layer)[:, 1:]

    def without_bars(self, patches: Tensor, height: int, width: int) -> Tensor:
        """Of what belongs to all patches [B,patches,...] of pictures so high and wide what belongs to those that the language model reads, row by row:
        to all, or with ``clip_fit: unpad`` to those that show some of the picture."""
        vision = self.config.vision
        rows, columns = patches_read(height, width, vision.image_size, vision.patch_size, self.config.clip_fit)
        return patches.unflatten(1, (vision.grid, vision.grid))[:, rows, columns].flatten(1, 2)

    def embed(self, before: Tensor, patches: Tensor, after: Tensor) -> Tensor:
        """Input embeddings [B,L,d] of a picture's patches [B,p,d] between ids [B,a] and [B,b]; L = a + p + b."""
        first, last = self.model.embed_tokens(before), self.model.embed_tokens(after)
        return torch.cat([first, patches.to(first.dtype), last], 1)

    def read(
        self,
        embeddings: Tensor,
        cache: KeyValueCache | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states [B,L,d] of the language model (after the final norm), see Llama.forward."""
        return self.model(embeddings, cache, positions, mask)

    def mask_prompt(self, hidden: Tensor) -> Tensor:
        """Hidden states [n,d] at the positions that predict [SEG] -> SAM prompts [n,out_dim]."""
        head = self.model.text_hidden_fcs[0]
        return head(hidden.to(head[0].weight.dtype))


class LisaLanguageModel(Llama):
    """LLaMA with the parts LISA hangs on it, under the names published checkpoints use."""

    def __init__(self, config: LisaConfig) -> None:
        super().__init__(config.language)
        width = config.language.hidden_size
        self.mm_projector = build_projector(config.projector, config.vision.hidden_size, width)
        self.text_hidden_fcs = text_hidden_fcs(config)
        self.visual_model = Sam(config.sam)


def text_hidden_fcs(config: LisaConfig) -> nn.ModuleList:
    """The head that makes SAM's prompt of a hidden state (gamma of paper section 4.1), with new weights."""
    width = config.language.hidden_size
    return nn.ModuleList(
        [nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.out_dim), nn.Dropout(0.0))]
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
