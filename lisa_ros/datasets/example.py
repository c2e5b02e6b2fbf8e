"""What every training data set gives: one picture with the conversations about it and the masks that they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lisa_ros.model.tokenizer import SEG

Turns = tuple[tuple[str, str], ...]
"""A conversation: (what the user says, the answer). The picture belongs to the first turn and is not written in it."""


class DatasetError(ValueError):
    """A data set cannot be used: a file is missing, damaged or contradicts another. The message names it and says what
    to do."""


@dataclass(frozen=True, eq=False)
class Example:
    """One picture and what is said about it.

    Attributes:
        name: file and item, for errors.
        image: uint8 [H,W,3] RGB. image_path: the file it came from, None when it was made.
        conversations: independent of each other (paper section 4.2: several questions share a picture).
        masks: bool [n,H,W], one for every [SEG] in the answers, in their order.
    """

    name: str
    image: np.ndarray
    image_path: Path | None
    conversations: tuple[Turns, ...]
    masks: np.ndarray

    def __post_init__(self) -> None:
        promised = sum(answer.count(SEG) for turns in self.conversations for _, answer in turns)
        if self.masks.shape != (promised, *self.image.shape[:2]):
            raise DatasetError(
                f"{self.name}: the answers hold {promised} {SEG}, the picture is {self.image.shape[0]} x "
                f"{self.image.shape[1]}, but the masks are {list(self.masks.shape)}: mask and picture do not belong together"
            )


class Dataset(Protocol):
    """A training data set. Reading the index (annotation files) happens in its constructor, pictures are read one at a time."""

    name: str

    def __len__(self) -> int: ...

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """Item ``index``; every choice (wording, which classes) is drawn from ``rng``, so that equal seeds give equal
        examples in any worker.

        Raises:
            DatasetError: the item's files are missing or damaged.
        """
        ...


@dataclass(frozen=True, eq=False)
class EvaluationItem:
    """One picture with all its questions and their truth.

    Attributes:
        name: stable id of the picture in its set, one row of results is kept under it.
        image: uint8 [H,W,3] RGB.
        texts: what is asked about, before a template is put around it.
        sentences: bool a text: a whole sentence, or a short phrase ("the red cup").
        targets: uint8 [q,H,W]: 0, 1 = target, 255 = ignored. All 0: there is no target.
        kinds: a word a text that its score is grouped by ("short", "long", "testA", ...).
    """

    name: str
    image: np.ndarray
    texts: tuple[str, ...]
    sentences: tuple[bool, ...]
    targets: np.ndarray
    kinds: tuple[str, ...]


class EvaluationSet(Protocol):
    """A set of questions with truth."""

    name: str
    split: str

    def __len__(self) -> int: ...

    def evaluation_item(self, index: int) -> EvaluationItem: ...


def conversation(question: str, answer: str) -> Turns:
    """A conversation of one turn."""
    return ((question, answer),)


def stack(masks: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Masks [H,W] -> bool [n,H,W], also for n = 0."""
    return np.array(masks, bool).reshape(len(masks), height, width)
