"""Answers that need no model: what a score must beat before it means anything.

Both baselines look at the ground truth, both answer every question (they refuse nothing), and neither reads the question.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lisa_ros.evaluation.metrics import Overlap

LEVELS = 256


def largest_object(instance: np.ndarray) -> np.ndarray:
    """The object that covers most pixels of the frame.

    :param instance: integer [H,W], 0 = no object.
    :return: bool [H,W]; all False when the frame has no object.
    """
    sizes = np.bincount(instance.ravel().astype(np.int64))
    sizes[:1] = 0
    if sizes.size < 2 or sizes.max() == 0:
        return np.zeros(instance.shape, dtype=bool)
    return instance == sizes.argmax()


class BestConstant:
    """The best single constant answer: one mask, the same for every question of the evaluation set.

    It is an oracle: the pixelwise mean of the very targets it is scored on, cut at the threshold that gives the highest gIoU
    (of 255 between 0 and the mean's maximum). No constant chosen without looking at the targets can be expected to do better.

    Call :meth:`see` with every target first, then :meth:`overlaps` with the same targets in the same order.
    """

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None
        self._count = 0
        self.threshold = 0.0
        """Share of targets that must cover a pixel for it to be in the constant mask; set by :meth:`overlaps`."""

    def see(self, target: np.ndarray) -> None:
        """Add one target, bool [H,W], to the mean."""
        if self._sum is None:
            self._sum = np.zeros(target.shape, dtype=np.int32)
        elif self._sum.shape != target.shape:
            raise ValueError(
                f"target is {target.shape}, those before it {self._sum.shape}: one constant cannot fit both"
            )
        self._sum += target
        self._count += 1

    def overlaps(self, targets: Iterable[np.ndarray]) -> list[Overlap]:
        """Overlap of the best constant mask with each target, bool [H,W]; an empty list when there are none."""
        if self._sum is None:
            return []
        top = int(self._sum.max())
        level = self._sum if top < LEVELS else (self._sum.astype(np.int64) * (LEVELS - 1)) // top
        bins = int(level.max()) + 1
        # area[t] and inside[n, t]: pixels at level >= t, everywhere and inside target n. One pass per target serves all t.
        area = _at_least(np.bincount(level.ravel(), minlength=bins))
        inside = np.stack([_at_least(np.bincount(level[target], minlength=bins)) for target in targets])
        wanted = inside[:, :1]  # level >= 0 is every pixel of the target
        union = area[None, :] + wanted - inside
        giou = (inside / (union + 1e-5)).mean(axis=0)
        best = 1 + int(giou[1:].argmax()) if bins > 1 else 0
        self.threshold = best / max(bins - 1, 1) * top / self._count
        return [Overlap(int(i), int(u)) for i, u in zip(inside[:, best], union[:, best], strict=True)]


def _at_least(counts: np.ndarray) -> np.ndarray:
    """counts[t] summed over levels >= t."""
    return counts[::-1].cumsum()[::-1]
