"""LISA's objective on a batch: CE + 2 BCE + 0.5 DICE (paper section 4.2, equations 1 to 4), at a picture's own size."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.losses import BCE_WEIGHT, CE_WEIGHT, DICE_WEIGHT, answer_loss, bce_loss, dice_loss
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.training.collation import Batch


class Backbone(Protocol):
    """What stands in SAM's place (paper Table 3): a module of these three, set as ``lisa.model.visual_model``.

    S, dim and g are ``config.sam.image_size``, ``prompt_dim`` (``config.out_dim``, too) and ``grid``. What
    it calls ``mask_decoder`` is trained when the recipe says so, its ``image_encoder`` frozen unless the recipe says
    otherwise. SAM's ViT-B, -L and -H are ``lisa_ros.model.sam.Sam``, sizes read off the file. Anything else is put
    there by code, never by a name in a recipe, and by the same code again when a run is loaded.
    """

    image_encoder: nn.Module
    """[B,3,S,S] as ``normalise`` makes it -> embedding [B,dim,g,g]."""

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pictures uint8 [B,h,w,3] whose longer side is S -> float32 [B,3,S,S], padded on the right and below."""
        ...

    def masks(self, image_embedding: Tensor, text_embeddings: Tensor) -> Tensor:
        """Embedding [n,dim,g,g] of each prompt's picture, and prompts [n,dim] -> mask logits [n,k,k] of the whole
        square, k any number."""
        ...


class Objective(nn.Module):
    """A LISA with the losses that train it.

    What is frozen runs without a graph: which parts those are is read off ``requires_grad`` at every call, so LoRA on
    SAM's encoder, or a SAM trained from nothing, needs no other objective.

    Every batch gives gradients to the same parameters: one without masks gives zeros, not ``None``, to head and
    decoder. So processes that drew batches of either kind can reduce their gradients together, as FSDP and ZeRO-2 do
    it. Parts of the decoder that no LISA uses (its IoU head, the other three masks) never get one: plain DDP needs
    ``find_unused_parameters``.
    """

    def __init__(self, lisa: Lisa) -> None:
        super().__init__()
        self.lisa = lisa

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch, weighted as they are added: "ce", "bce", "dice", and their sum "loss".

        CE is the mean over the answers' tokens, BCE and DICE are means over the masks; all of this micro batch, as the
        reference has it. A batch without any mask has zeros for the latter two.
        """
        lisa = self.lisa
        patches = self._patches(batch)
        inputs = lisa.embed(batch.before, patches, batch.after)
        bias = torch.zeros(batch.mask.shape, dtype=inputs.dtype, device=inputs.device)
        bias.masked_fill_(~batch.mask, float("-inf"))
        hidden = lisa.read(inputs, None, batch.positions, bias)[:, -batch.after.shape[1] :]
        answered = batch.labels >= 0
        ce = CE_WEIGHT * answer_loss(lisa.lm_head(hidden[answered]), batch.labels[answered])
        bce, dice = self._mask_losses(batch, hidden)
        return {"loss": ce + bce + dice, "ce": ce, "bce": bce, "dice": dice}

    def _patches(self, batch: Batch) -> Tensor:
        """The picture in the language model's space [B,patches,d]."""
        if batch.clip_features is not None:
            return self.lisa.model.mm_projector(batch.clip_features)
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trained(self.lisa.vision_tower)):
            features = self.lisa.see(batch.clip)
        return self.lisa.model.mm_projector(features)

    def _embedding(self, batch: Batch) -> Tensor:
        """SAM's image embedding [B,dim,g,g]."""
        if batch.sam_embedding is not None:
            return batch.sam_embedding
        sam: Backbone = self.lisa.sam
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trained(sam.image_encoder)):
            return sam.image_encoder(torch.cat([sam.normalise(picture[None]) for picture in batch.sam]))

    def _mask_losses(self, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """BCE and DICE, weighted."""
        row, place = batch.seg_places.unbind(1)
        if len(row) == 0:
            nothing = self._no_masks(batch, hidden)
            return nothing, nothing
        zero = hidden.new_zeros((), dtype=torch.float32)
        prompts = self.lisa.mask_prompt(hidden[row, place])
        low_res = self.lisa.sam.masks(self._embedding(batch)[row], prompts)
        side, bce, dice = self.lisa.config.sam.image_size, zero, zero
        for number, truth in enumerate(batch.masks):
            if len(truth) == 0:
                continue
            logits = upscale_masks(low_res[row == number], side, batch.resized[number], batch.originals[number])
            bce = bce + bce_loss(logits, truth, num_masks=1)
            dice = dice + dice_loss(logits, truth, num_masks=1)
        return BCE_WEIGHT * bce / (len(row) + 1e-8), DICE_WEIGHT * dice / (len(row) + 1e-8)

    def _no_masks(self, batch: Batch, hidden: Tensor) -> Tensor:
        """A zero that every parameter of the mask path has taken part in, from a prompt that means nothing."""
        sizes, prompts = self.lisa.config.sam, self.lisa.mask_prompt(hidden[:1, 0])
        if _trained(self.lisa.sam.image_encoder):
            embedding = self._embedding(batch)[:1]
        else:
            embedding = prompts.new_zeros(1, sizes.prompt_dim, sizes.grid, sizes.grid)
        return 0.0 * self.lisa.sam.masks(embedding, prompts).float().abs().sum()


def _trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
