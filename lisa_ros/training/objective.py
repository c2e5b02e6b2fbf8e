"""One training step's losses: CE + 2 BCE + 0.5 DICE (paper section 4.2), and the dense warm-up of the towers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.losses import BCE_WEIGHT, CE_WEIGHT, DICE_WEIGHT, answer_loss, bce_loss, dice_loss
from lisa_ros.training.batch import Batch


class Objective(nn.Module):
    """Losses of a batch.

    The mask losses are taken on the decoder's own grid against area-averaged targets (the reference upsamples to the picture's size first:
    the same sums at a fraction of the cost; see `loss at picture size` in docs/training.md).

    Args:
        dense: heads of the warm-up, or None.
        dense_weight: weight of the warm-up's loss beside the paper's.
        only_dense: train the towers alone (no language model, no mask decoder).
    """

    def __init__(self, lisa: Lisa, dense: DenseHeads | None = None) -> None:
        super().__init__()
        self.lisa = lisa
        self.dense = dense

    def forward(self, batch: Batch, dense_weight: float = 0.0, only_dense: bool = False) -> dict[str, Tensor]:
        lisa = self.lisa
        patches = lisa.look(batch.clip)
        embedding = lisa.sam.image_encoder(batch.sam)
        losses: dict[str, Tensor] = {}
        if self.dense is not None and (dense_weight or only_dense):
            losses["dense"] = self.dense(patches, embedding, batch)
        if only_dense:
            losses["loss"] = losses["dense"]
            return losses
        tokens = lisa.model.embed_tokens
        inputs = torch.cat([tokens(batch.before), patches, tokens(batch.after)], 1)
        bias = torch.zeros(batch.mask.shape, dtype=inputs.dtype, device=inputs.device).masked_fill_(~batch.mask, float("-inf"))
        hidden = lisa.read(inputs, None, batch.positions, bias)[:, -batch.after.shape[1] :]
        answered = batch.labels >= 0
        losses["ce"] = answer_loss(lisa.lm_head(hidden[answered]), batch.labels[answered])
        row, place = batch.seg_places.unbind(1)
        logits = lisa.sam.masks(embedding[row], lisa.mask_prompt(hidden[row, place]))
        rows, columns = batch.valid
        logits, targets = logits[:, :rows, :columns], batch.masks[:, :rows, :columns]
        losses["bce"], losses["dice"] = bce_loss(logits, targets), dice_loss(logits, targets)
        losses["loss"] = CE_WEIGHT * losses["ce"] + BCE_WEIGHT * losses["bce"] + DICE_WEIGHT * losses["dice"]
        if "dense" in losses:
            losses["loss"] = losses["loss"] + dense_weight * losses["dense"]
        return losses


class DenseHeads(nn.Module):
    """Kind and colour of the object under each cell, read linearly off both towers. Used in training only, never shipped.

    Each feature cell predicts ``fine`` x ``fine`` cells of the class map, so small objects count although the grid is coarse.
    """

    def __init__(self, patch_width: int, sam_width: int, kinds: int, colors: int, fine: int = 2) -> None:
        super().__init__()
        self.sizes, self.fine = (kinds, colors), fine
        out = (kinds + colors) * fine * fine
        self.patches = nn.Conv2d(patch_width, out, 1)
        self.sam = nn.Conv2d(sam_width, out, 1)
        weight = torch.ones(kinds + colors)
        weight[[0, kinds]] = 0.2  # most cells are background
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, patches: Tensor, embedding: Tensor, batch: Batch) -> Tensor:
        """Mean cross entropy over cells inside the picture, summed over kind, colour and both towers."""
        side = int(patches.shape[1] ** 0.5)
        grid = patches.transpose(1, 2).unflatten(2, (side, side))
        return self._loss(self.sam(embedding), batch, padded_below=True) + self._loss(self.patches(grid), batch, padded_below=False)

    def _loss(self, scores: Tensor, batch: Batch, padded_below: bool) -> Tensor:
        scores = F.pixel_shuffle(scores, self.fine).float()
        kinds, _ = self.sizes
        size = scores.shape[-2:]
        total = scores.new_zeros(())
        for part, weight, truth in (
            (scores[:, :kinds], self.weight[:kinds], batch.category),
            (scores[:, kinds:], self.weight[kinds:], batch.color),
        ):
            truth = truth if padded_below else centre_vertically(truth, batch.valid)
            truth = F.interpolate(truth[:, None].float(), size, mode="nearest-exact")[:, 0].long()
            total = total + F.cross_entropy(part, truth, weight=weight, ignore_index=-1)
        return total


def centre_vertically(truth: Tensor, valid: tuple[int, int]) -> Tensor:
    """SAM pads below and right, ``clip_fit: pad`` on both sides: move the class map [B,h,h] to where CLIP sees the picture."""
    rows, columns = valid[0] // 2, valid[1] // 2
    down, right = (truth.shape[1] - rows) // 2, (truth.shape[2] - columns) // 2
    return truth.roll((down, right), (1, 2))
