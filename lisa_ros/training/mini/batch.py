"""Collation: what all questions about a picture begin with once, and the questions behind it one after the other."""

from __future__ import annotations

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
    text: list[int] = []
    labels: list[int] = []
    nouns, decisions, seg_places, targets = [], [], [], 0
    widest = max((len(p) - len(begin) + len(a) - 1 for sample in samples for p, a in zip(sample.prompts, sample.answers)), default=0)
    slots = np.full((len(samples), max(len(sample.prompts) for sample in samples), widest), -1, np.int64)
    for row, sample in enumerate(samples):
        for number, (prompt, answer) in enumerate(zip(sample.prompts, sample.answers)):
            question = prompt[len(begin) :]
            read = question + answer[:-1]  # behind the last token nothing is asked
            slots[row, number, : len(read)] = len(text) + np.arange(len(read))
            first = len(text) + len(question) - 1
            text += read
            labels += [IGNORE] * (len(question) - 1) + answer
            seg_places += [(row, first + i) for i, token in enumerate(answer) if token == seg_id]
        nouns += [(row, number, token - len(begin), kind) for number, token, kind in sample.nouns]
        decisions += [(row, number, token - len(begin), targets + target if target >= 0 else -1) for number, token, target in sample.decisions]
        targets += len(sample.masks)
    tensor = torch.from_numpy
    return Batch(
        clip=tensor(np.stack([s.clip for s in samples])),
        sam=tensor(np.stack([s.sam for s in samples])),
        before=torch.tensor([begin[:place]] * len(samples)),
        behind=torch.tensor([begin[place + 1 :]] * len(samples)),
        text=torch.tensor(text),
        slots=tensor(slots),
        labels=torch.tensor(labels),
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


def together(names: list[Names]) -> Names:
    """The names of several samples as tensors."""
    return Names(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*(vars(one).values() for one in names))))
