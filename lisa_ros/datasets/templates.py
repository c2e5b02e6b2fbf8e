"""The wordings that LISA is trained on (its ``utils/utils.py``; paper section 4.2): what is asked, and how it is answered."""

from __future__ import annotations

import numpy as np

from lisa_ros.model.tokenizer import SEG

SHORT = (
    "Can you segment the {name} in this image?",
    "Please segment the {name} in this image.",
    "What is {name} in this image? Please respond with segmentation mask.",
    "What is {name} in this image? Please output segmentation mask.",
)
"""Questions about a class or a short phrase."""

LONG = ("{sentence} Please respond with segmentation mask.", "{sentence} Please output segmentation mask.")
"""Questions that are sentences already."""

EXPLANATORY = (
    "Please output segmentation mask and explain why.",
    "Please output segmentation mask and explain the reason.",
    "Please output segmentation mask and give some explanation.",
)
"""Appended to a sentence when the answer also says why."""

ANSWERS = (
    f"It is {SEG}.",
    f"Sure, {SEG}.",
    f"Sure, it is {SEG}.",
    f"Sure, the segmentation result is {SEG}.",
    f"{SEG}.",
)
"""Always exactly one [SEG]."""


def pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of them."""
    return options[int(rng.integers(len(options)))]


def ask_short(name: str, rng: np.random.Generator) -> str:
    """A question about a class name or phrase, which is written in lower case."""
    return pick(SHORT, rng).format(name=name.lower())


def ask_long(sentence: str, rng: np.random.Generator) -> str:
    """A question that is a sentence already."""
    return pick(LONG, rng).format(sentence=sentence)
