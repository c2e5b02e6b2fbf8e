"""gIoU and cIoU, computed the way the published LISA code computes them.

Source: LISA ``train_ds.py`` (``validate``) and ``utils/utils.py`` (``intersectionAndUnionGPU``, ``AverageMeter``). The rules, in
that code's order:

- pixels whose target is 255 are ignored: they count in no area, whatever the prediction says there;
- the IoU of one mask is I / (U + 1e-5); a mask whose union is empty (nothing predicted, nothing there) scores 1;
- gIoU is the mean IoU over masks, divided by (count + 1e-5) as the reference's meter does, so a perfect run of one mask prints
  0.99999 and a long run prints 1.0000;
- cIoU is the sum of intersections over (the sum of unions + 1e-10); masks with an empty union add nothing to either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IGNORE = 255
"""Target value of pixels that belong to no score."""


@dataclass(frozen=True)
class Overlap:
    """Foreground areas of one predicted mask against one target, in pixels outside the ignored region."""

    intersection: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; 1.0 when both masks are empty."""
        if self.union == 0:
            return 1.0
        return self.intersection / (self.union + 1e-5)


def overlap(mask: np.ndarray, target: np.ndarray) -> Overlap:
    """Compare a predicted mask with its target.

    :param mask: bool [H,W] (any number type is read as ``!= 0``).
    :param target: [H,W], 0 background, 1 (or True) target, 255 ignored.
    :raises ValueError: the shapes differ.
    """
    if mask.shape != target.shape:
        raise ValueError(f"mask is {mask.shape}, its target is {target.shape}: they must have one shape")
    valid = np.ones(target.shape, dtype=bool) if target.dtype == bool else target != IGNORE
    wanted = (target != 0) & valid
    found = (mask != 0) & valid
    both = int(np.count_nonzero(found & wanted))
    return Overlap(both, int(np.count_nonzero(found)) + int(np.count_nonzero(wanted)) - both)


def mask_iou(mask: np.ndarray, target: np.ndarray) -> float:
    """IoU of one mask, see :func:`overlap` for the arguments."""
    return overlap(mask, target).iou


@dataclass
class SegmentationScore:
    """Running gIoU and cIoU over masks."""

    count: int = 0
    iou_sum: float = 0.0
    intersection: int = 0
    union: int = 0

    def add(self, measured: Overlap) -> None:
        """Count one mask."""
        self.count += 1
        self.iou_sum += measured.iou
        self.intersection += measured.intersection
        self.union += measured.union

    @property
    def giou(self) -> float:
        """Mean IoU over masks; 0.0 before the first."""
        return self.iou_sum / (self.count + 1e-5)

    @property
    def ciou(self) -> float:
        """Summed intersections over summed unions; 0.0 before the first."""
        return self.intersection / (self.union + 1e-10)
