"""What the engine says about one query. numpy only: torch stops at the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


class Cancelled(Exception):
    """``should_stop`` said so while the engine worked on a query."""


class QueryError(ValueError):
    """The model cannot take this query: it is too long for its context. The message says what to do."""


@dataclass
class Segmentation:
    """One query's result.

    Attributes:
        answer: the model's text. In mask mode "[SEG].", "mug in red [SEG]" or, when the target was refused, "".
        target_probability: softmax probability of [SEG] at the position whose hidden state makes the (first) mask; in
            an answer without [SEG], at the answer's first position. Of a name in mask mode: times the probability that
            it was not denied before.
        masks: bool [n,H,W] at the picture's size, one per instance; n = 0 means not found.
        mask_scores: float32 [n], mean foreground probability inside each mask (0 for an empty one).
        input_ids, output_ids: the prompt's and the answer's token ids (-200 stands for the picture).
        seconds: stage -> seconds.
        mask_logits: float32 [n,H,W] before the threshold; low_res_logits: float32 [n,l,l]; seg_embeddings: float32
            [n,out_dim]. Kept only when asked for.
    """

    query: str
    answer: str
    target_probability: float
    masks: np.ndarray
    mask_scores: np.ndarray
    input_ids: list[int]
    output_ids: list[int]
    seconds: dict[str, float] = field(default_factory=dict)
    mask_logits: np.ndarray | None = None
    low_res_logits: np.ndarray | None = None
    seg_embeddings: np.ndarray | None = None
