"""LISA's objective: cross entropy on the answer, BCE and DICE on the masks (paper section 4.2, equations 3 and 4)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

CE_WEIGHT, BCE_WEIGHT, DICE_WEIGHT = 1.0, 2.0, 0.5
IGNORE = -100  # label of a token that takes no part in the cross entropy


def bce_loss(logits: Tensor, targets: Tensor, num_masks: int | None = None) -> Tensor:
    """Binary cross entropy of masks [n,H,W]: mean over pixels, summed over masks, over ``num_masks`` (n when None). 0
    for n = 0."""
    per_pixel = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return per_pixel.flatten(1).mean(1).sum() / ((len(logits) if num_masks is None else num_masks) + 1e-8)


def dice_loss(
    logits: Tensor, targets: Tensor, num_masks: int | None = None, scale: float = 1000.0, eps: float = 1e-6
) -> Tensor:
    """DICE of masks [n,H,W], summed over masks, over ``num_masks`` (n when None). 0 for n = 0.

    ``scale`` keeps the sums small in half precision, as in the reference.
    """
    predicted, targets = logits.sigmoid().flatten(1), targets.flatten(1)
    overlap = 2 * (predicted / scale * targets).sum(-1)
    total = (predicted / scale).sum(-1) + (targets / scale).sum(-1)
    return (1 - (overlap + eps) / (total + eps)).sum() / ((len(logits) if num_masks is None else num_masks) + 1e-8)


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits [...,V] that predict ``labels`` [...] (already shifted); IGNORE positions do not
    count."""
    return F.cross_entropy(logits.flatten(0, -2).float(), labels.flatten(), ignore_index=IGNORE)
