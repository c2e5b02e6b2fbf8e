"""Whether target_probability means what it says: of questions with probability p, a share p should have their target there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10
"""Of equal width, from 0 to 1; 1 itself is in the last."""


def calibration(probabilities: Sequence[float], present: Sequence[bool]) -> dict[str, Any]:
    """Reliability of probabilities against whether the target is there.

    :param probabilities: [n], 0 to 1.
    :param present: [n].
    :return: `n`; `bins` (`low`, `high`, `n`, `mean_probability`, `share_present`; the last two None in an empty bin);
        `expected_calibration_error`, the mean of |mean_probability - share_present| over questions; `brier`, the mean
        squared difference of probability and truth. The latter two are None without questions.
    :raises ValueError: a probability is not between 0 and 1.
    """
    said, true = np.asarray(probabilities, dtype=np.float64), np.asarray(present, dtype=np.float64)
    if not ((said >= 0) & (said <= 1 + 1e-6)).all():  # softmax in float32 may end just above 1
        raise ValueError("target_probability has values that are not between 0 and 1")
    inside = np.minimum((said * BINS).astype(int), BINS - 1)
    counts = np.bincount(inside, minlength=BINS)
    means, shares = (np.bincount(inside, weights=w, minlength=BINS) / np.maximum(counts, 1) for w in (said, true))
    bins = [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "n": int(count),
            "mean_probability": float(mean) if count else None,
            "share_present": float(share) if count else None,
        }
        for number, (count, mean, share) in enumerate(zip(counts, means, shares, strict=True))
    ]
    some = len(said) > 0
    return {
        "n": len(said),
        "bins": bins,
        "expected_calibration_error": float((counts * np.abs(means - shares)).sum() / len(said)) if some else None,
        "brier": float(((said - true) ** 2).mean()) if some else None,
    }
