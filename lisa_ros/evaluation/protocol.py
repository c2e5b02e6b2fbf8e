"""What is asked in an evaluation, and which pixels of the truth count.

Two protocols:

- "lisa": the published LISA code's (``train_ds.py: validate``, ``utils/dataset.py: ValDataset``). Pixels of the target
  that are 255 belong to no score.
- "plain": other papers' (Seg-Zero, VisionReasoner: intersection and union of two plain masks). There are no ignored
  regions: what LISA's protocol ignores counts as background. Scores of the two must not be compared.

Two wordings:

- "lisa": the published code's questions (:func:`question`), as the whole user turn.
- "model": the bare text in the checkpoint's own template. lisa-mini was trained on bare questions.
"""

from __future__ import annotations

import numpy as np

from lisa_ros.evaluation.metrics import IGNORE

PROTOCOLS = ("lisa", "plain")
WORDINGS = ("lisa", "model")
MODES = ("mask", "chat")

STATED = {
    "lisa": "LISA's protocol: ignored regions count in no score",
    "plain": "plain protocol (Seg-Zero, VisionReasoner): ignored regions count as background; "
    "not comparable with LISA's protocol",
}
"""What every output says about its protocol."""


def question(text: str, *, sentence: bool) -> str:
    """The user's turn of LISA's validation. A sentence stands for itself, a phrase ("the red cup") is put into one.

    The published code has one space more in front. Its tokenizer drops it, and so does ours: the ids are the same.
    """
    text = text.strip()
    if not sentence:
        text = f"What is {text} in this image?"
    return f"{text} Please output segmentation mask."


def truth(target: np.ndarray, protocol: str) -> np.ndarray:
    """The target as the protocol sees it. target: uint8 [H,W], 0, 1 = target, 255 = ignored; returned as such."""
    return np.where(target == IGNORE, 0, target).astype(np.uint8) if protocol == "plain" else target


def check_choices(*, mode: str, protocol: str, wording: str) -> None:
    """Raises ValueError for a word that is not among the known ones."""
    for name, value, known in (
        ("mode", mode, MODES),
        ("protocol", protocol, PROTOCOLS),
        ("wording", wording, WORDINGS),
    ):
        if value not in known:
            raise ValueError(f'{name} is "{value}"; choose from {", ".join(known)}')
