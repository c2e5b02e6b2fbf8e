"""Collation: all questions about one picture in one sequence.

A picture's sequence is the query-independent prefix once, then each question with its answer. Questions see the prefix and themselves, never
each other, and each continues at the prefix's next position: exactly what they would see alone, at a fraction of the cost.
"""

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
    """B pictures. L: length after the picture's patches are in place.

    Attributes:
        clip: float32 [B,3,c,c]. sam: uint8 [B,h,w,3].
        before [B,a], after [B,b] token ids around the picture; L = a + patches + b.
        positions [B,L], mask bool [B,1,L,L] (True: may attend).
        labels [B,b]: the next token at each place of ``after`` (IGNORE outside the answers).
        answer_places [q,2]: (picture, index in ``after``) of the state before each answer's first token: [SEG] or not.
        has_target [q]: which it is.
        seg_places [n,2]: (picture, index in ``after``) of the state BEFORE each [SEG].
        masks [n,l,l] soft targets; targets: their names; valid: (rows, columns) of l x l inside the picture.
        named_masks [m,l,l], named, named_row [m]: masks asked for by name, and their picture. See ``Sample``.
        category, color [B,h,h], measures [B,3,h,h].
    """

    clip: Tensor
    sam: Tensor
    before: Tensor
    after: Tensor
    positions: Tensor
    mask: Tensor
    labels: Tensor
    answer_places: Tensor
    has_target: Tensor
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

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: _moved(value, device) for name, value in vars(self).items()})


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Names):
        return Names(**{name: part.to(device) for name, part in vars(value).items()})
    return value.to(device) if isinstance(value, Tensor) else value


def collate(samples: list[Sample], patches: int, seg_id: int) -> Batch:
    """Samples of equally shaped pictures to one batch. Raises ValueError when the pictures' shapes differ."""
    if len({sample.valid for sample in samples}) > 1:
        raise ValueError("pictures of one batch must share their aspect ratio")
    place = samples[0].prompts[0].index(IMAGE_ID)
    prefix = samples[0].prompts[0][: place + 2]  # <im_end> closes it
    lengths = [1 + sum(len(p) - len(prefix) + len(a) for p, a in zip(s.prompts, s.answers)) for s in samples]
    width = max(lengths)
    head = place + patches
    total = head + width
    after = np.zeros((len(samples), width), np.int64)
    labels = np.full((len(samples), width), IGNORE, np.int64)
    positions = np.zeros((len(samples), total), np.int64)
    allowed = np.zeros((len(samples), 1, total, total), bool)
    triangle = np.tril(np.ones((total, total), bool))
    answer_places, seg_places = [], []
    for row, sample in enumerate(samples):
        after[row, 0] = prefix[-1]
        positions[row, : head + 1] = np.arange(head + 1)
        allowed[row, 0, :, : head + 1] = triangle[:, : head + 1]
        begin = 1
        for prompt, answer in zip(sample.prompts, sample.answers):
            question = prompt[len(prefix) :]
            ids = question + answer
            end = begin + len(ids)
            after[row, begin:end] = ids
            positions[row, head + begin : head + end] = head + 1 + np.arange(len(ids))
            span = slice(head + begin, head + end)
            allowed[row, 0, span, span] = triangle[: len(ids), : len(ids)]
            first = begin + len(question)
            labels[row, first - 1 : end - 1] = answer
            answer_places.append((row, first - 1))
            seg_places += [(row, first - 1 + i) for i, token in enumerate(answer) if token == seg_id]
            begin = end
        diagonal = np.arange(head + begin, total)
        allowed[row, 0, diagonal, diagonal] = True  # padding attends to itself: no empty softmax
    tensor = torch.from_numpy
    return Batch(
        clip=tensor(np.stack([s.clip for s in samples])),
        sam=tensor(np.stack([s.sam for s in samples])),
        before=torch.tensor([prefix[:place]] * len(samples)),
        after=tensor(after),
        positions=tensor(positions),
        mask=tensor(allowed),
        labels=tensor(labels),
        answer_places=torch.tensor(answer_places, dtype=torch.long).reshape(-1, 2),
        has_target=tensor(np.concatenate([s.has_target for s in samples])),
        seg_places=torch.tensor(seg_places, dtype=torch.long).reshape(-1, 2),
        masks=tensor(np.concatenate([s.masks for s in samples])),
        targets=_together([s.targets for s in samples]),
        named_masks=tensor(np.concatenate([s.named_masks for s in samples])),
        named=_together([s.named for s in samples]),
        named_row=tensor(np.repeat(np.arange(len(samples)), [len(s.named.kind) for s in samples])),
        valid=samples[0].valid,
        category=tensor(np.stack([s.category for s in samples])),
        color=tensor(np.stack([s.color for s in samples])),
        measures=tensor(np.stack([s.measures for s in samples])),
    )


def _together(names: list[Names]) -> Names:
    return Names(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*(vars(one).values() for one in names))))
