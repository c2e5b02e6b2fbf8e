"""LISA's objective on a batch: CE + 2 BCE + 0.5 DICE (paper section 4.2, equations 1 to 4), masks at the picture's own size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.losses import BCE_WEIGHT, CE_WEIGHT, DICE_WEIGHT, answer_loss, bce_loss, dice_loss
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.training.collation import Batch


class Objective(nn.Module):
    """A LISA with the losses that train it.

    What is frozen runs without a graph: which parts those are is read off ``requires_grad`` at every call, so LoRA on
    SAM's encoder, or a SAM trained from nothing, needs no other objective.
    """

    def __init__(self, lisa: Lisa) -> None:
        super().__init__()
        self.lisa = lisa

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch, weighted as they are added: "ce", "bce", "dice", and their sum "loss".

        CE is the mean over the answers' tokens, BCE and DICE are means over the masks; all of this micro batch, as the
        reference has it. A batch without any mask has zeros for the latter two and gives no gradient to heads and decoder.
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
            features = self.lisa.vision_tower(batch.clip, self.lisa.config.select_layer)[:, 1:]
        return self.lisa.model.mm_projector(features)

    def _embedding(self, batch: Batch) -> Tensor:
        """SAM's image embedding [B,dim,g,g]."""
        if batch.sam_embedding is not None:
            return batch.sam_embedding
        sam = self.lisa.sam
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trained(sam.image_encoder)):
            return sam.image_encoder(torch.cat([sam.normalise(picture[None]) for picture in batch.sam]))

    def _mask_losses(self, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """BCE and DICE, weighted."""
        row, place = batch.seg_places.unbind(1)
        zero = hidden.new_zeros((), dtype=torch.float32)
        if len(row) == 0:
            return zero, zero
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


def _trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
