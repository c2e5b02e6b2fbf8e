"""Collation: what all questions about a picture begin with once, and the questions behind it one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lisa_ros.model.losses import IGNORE
from lisa_ros.model.tokenizer import IMAGE_ID
from lisa_ros.training.mini.samples import Names, Sample


@dataclass
class Batch:
    """B pictures with q questions about them, of N tokens together.

    Attributes:
        clip: float32 [B,3,c,c]. sam: uint8 [B,h,w,3].
        before [B,a], behind [B,b]: token ids around each picture, the same for all questions.
        text [N]: token ids of all questions and their answers but for the last. slots [B,n,W]: each question's places in it, -1 where it is shorter.
        labels [N]: the token after each one of ``text`` (IGNORE outside the answers).
        sentences [M], sentence_slots [1,s,V], sentence_labels [M]: the same for all sentences that are read without a picture.
        nouns [k,4]: words of the questions that name a thing in view: (picture, question about it, token of the question, kind).
        decisions [m,4]: last words of names in the answers: (picture, question about it, token of the question, target among ``masks`` or -1).
        seg_places [n,2]: (picture, place in ``text``) of the state BEFORE each [SEG].
        masks [n,l,l] soft targets; targets: their names; valid: (rows, columns) of l x l inside the picture.
        named_masks [m,l,l], named, named_row [m]: masks asked for by name, and their picture. See ``Sample``.
        category, color [B,h,h], measures [B,3,h,h].
    """

    clip: Tensor
    sam: Tensor
    before: Tensor
    behind: Tensor
    text: Tensor
    slots: Tensor
    labels: Tensor
    sentences: Tensor
    sentence_slots: Tensor
    sentence_labels: Tensor
    nouns: Tensor
    decisions: Tensor
    seg_places: Tensor
    masks: Tensor
    targets: Names
    named_masks: Tensor
    named: Names
    named_row: Tensor
    valid: tuple[int, int]
    category: Tensor
    color: Tensor
    measures: Tensor

    def places(self, tokens: Tensor) -> Tensor:
        """Places [k] in ``text`` of tokens [k,3+]: (picture, question about it, token of the question)."""
        return self.slots[tokens[:, 0], tokens[:, 1], tokens[:, 2]]

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: _moved(value, device) for name, value in vars(self).items()})


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Names):
        return Names(**{name: part.to(device) for name, part in vars(value).items()})
    return value.to(device) if isinstance(value, Tensor) else value


def collate(samples: list[Sample], seg_id: int) -> Batch:
    """Samples of equally shaped pictures to one batch. Raises ValueError when the pictures' shapes differ."""
    if len({sample.valid for sample in samples}) > 1:
        raise ValueError("pictures of one batch must share their aspect ratio")
    first = samples[0].prompts[0] if samples[0].prompts else [IMAGE_ID]  # nothing is asked where nothing is read
    place = first.index(IMAGE_ID)
    begin = first[: place + 2]  # <im_end> closes it
    nouns, decisions, seg_places, targets = [], [], [], 0
    text, slots, labels = one_after_another([list(zip(sample.prompts, sample.answers)) for sample in samples], len(begin))
    sentences, sentence_slots, sentence_labels = one_after_another([[pair for sample in samples for pair in sample.sentences]], len(begin))
    for row, sample in enumerate(samples):
        places = slots[row][slots[row] >= 0]
        seg_places += [(row, int(place)) for place in places if labels[place] == seg_id]
        nouns += [(row, number, token - len(begin), kind) for number, token, kind in sample.nouns]
        decisions += [(row, number, token - len(begin), targets + target if target >= 0 else -1) for number, token, target in sample.decisions]
        targets += len(sample.masks)
    tensor = torch.from_numpy
    return Batch(
        clip=tensor(np.stack([s.clip for s in samples])),
        sam=tensor(np.stack([s.sam for s in samples])),
        before=torch.tensor([begin[:place]] * len(samples)),
        behind=torch.tensor([begin[place + 1 :]] * len(samples)),
        text=tensor(text),
        slots=tensor(slots),
        labels=tensor(labels),
        sentences=tensor(sentences),
        sentence_slots=tensor(sentence_slots),
        sentence_labels=tensor(sentence_labels),
        nouns=torch.tensor(nouns, dtype=torch.long).reshape(-1, 4),
        decisions=torch.tensor(decisions, dtype=torch.long).reshape(-1, 4),
        seg_places=torch.tensor(seg_places, dtype=torch.long).reshape(-1, 2),
        masks=tensor(np.concatenate([s.masks for s in samples])),
        targets=together([s.targets for s in samples]),
        named_masks=tensor(np.concatenate([s.named_masks for s in samples])),
        named=together([s.named for s in samples]),
        named_row=tensor(np.repeat(np.arange(len(samples)), [len(s.named.kind) for s in samples])),
        valid=samples[0].valid,
        category=tensor(np.stack([s.category for s in samples])),
        color=tensor(np.stack([s.color for s in samples])),
        measures=tensor(np.stack([s.measures for s in samples])),
    )


def one_after_another(rows: Sequence[Sequence[tuple[list[int], list[int]]]], begin: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(prompt, answer) ids of rows of questions as ``text``, ``slots`` and ``labels`` of a Batch, without the ``begin`` tokens that prompts share."""
    text: list[int] = []
    labels: list[int] = []
    lengths = [[len(prompt) - begin + len(answer) - 1 for prompt, answer in row] for row in rows]
    slots = np.full((len(rows), max(map(len, rows)), max((length for row in lengths for length in row), default=0)), -1, np.int64)
    for row, questions in enumerate(rows):
        for number, (prompt, answer) in enumerate(questions):
            question = prompt[begin:]
            read = question + answer[:-1]  # behind the last token nothing is asked
            slots[row, number, : len(read)] = len(text) + np.arange(len(read))
            text += read
            labels += [IGNORE] * (len(question) - 1) + answer
    return np.array(text, np.int64), slots, np.array(labels, np.int64)


def together(names: list[Names]) -> Names:
    """The names of several samples as tensors."""
    return Names(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*(vars(one).values() for one in names))))
