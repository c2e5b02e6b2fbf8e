"""Examples to one batch: everything about a picture in one sequence.

A picture's sequence is the query-independent prefix once, then each of its conversations. A conversation sees the
prefix and itself, never another, and continues at the prefix's next position: exactly what it would see in a row of its
own, as the reference gives it, at a fraction of the cost (292 of about 340 positions are the prefix).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lisa_ros.datasets.example import DatasetError, Example, Turns
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.losses import IGNORE
from lisa_ros.model.preprocessing import patches_read, preprocess
from lisa_ros.model.prompt import CONVERSATIONS, PICTURE, user_turn
from lisa_ros.model.tokenizer import IMAGE, IMAGE_ID, SEG, LisaTokenizer


@dataclass
class Batch:
    """B pictures. L: length of the sequences once the picture's patches are in place.

    Attributes:
        names: the examples', for errors.
        clip: float32 [B,3,c,c]. sam: B pictures uint8 [h,w,3]. Either may be None where features are given:
        clip_features: [B,patches,width], of the CLIP tower, before the projector. sam_embedding: [B,dim,g,g].
        before [B,a], after [B,b]: token ids around the picture; L = a + patches + b.
        positions [B,L], mask bool [B,1,L,L] (True: may attend).
        labels [B,b]: the next token at each place of ``after``; IGNORE outside the answers.
        seg_places [n,2]: (picture, index in ``after``) of the state BEFORE each [SEG].
        masks: for each picture float32 [n_i,H,W], 0 and 1, at the picture's own size; together n.
        originals, resized: height and width of each picture, as it came and inside SAM's square.
        keys: names of the pictures in a feature cache, if there is one.
    """

    names: tuple[str, ...]
    clip: Tensor | None
    sam: list[Tensor] | None
    before: Tensor
    after: Tensor
    positions: Tensor
    mask: Tensor
    labels: Tensor
    seg_places: Tensor
    masks: list[Tensor]
    originals: list[tuple[int, int]]
    resized: list[tuple[int, int]]
    clip_features: Tensor | None = None
    sam_embedding: Tensor | None = None
    keys: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""

        def move(value: object) -> object:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=True)
            if isinstance(value, list) and value and isinstance(value[0], Tensor):
                return [item.to(device, non_blocking=True) for item in value]
            return value

        return replace(self, **{name: move(value) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Tokens:
    """A conversation as token ids.

    Attributes:
        ids: all of them, IMAGE_ID for the picture.
        answers: (start, stop) of each answer in ``ids``, its </s> included.
    """

    ids: list[int]
    answers: tuple[tuple[int, int], ...]


def tokenize(turns: Turns, config: LisaConfig, tokenizer: LisaTokenizer, max_length: int) -> Tokens:
    """A conversation's ids, cut where the reference cuts them: ``max_length`` counts the picture's patches.

    The reference subtracts 255 for them, whatever the tower; here it is the tower's own number of patches less one.
    """
    template = CONVERSATIONS[config.conversation]
    picture = PICTURE if config.image_markers else IMAGE
    written = [
        (user_turn(question, "{query}", "" if number else picture), answer)
        for number, (question, answer) in enumerate(turns)
    ]
    ids = tokenizer.encode_prompt(template.render(written))
    answers = []
    for number, (question, answer) in enumerate(written):
        opened = tokenizer.encode_prompt(template.render([*written[:number], (question, None)]))
        closed = tokenizer.encode_prompt(template.render([*written[:number], (question, answer)]))
        answers.append((len(opened), len(closed)))
    limit = max_length - (config.vision.patches - 1)
    return Tokens(ids[:limit], tuple((start, min(stop, limit)) for start, stop in answers if start < limit))


def collate(
    examples: Sequence[Example],
    config: LisaConfig,
    tokenizer: LisaTokenizer,
    *,
    max_length: int = 512,
    pixels: bool = True,
) -> Batch:
    """Examples to a batch.

    Args:
        max_length: positions of a conversation with its picture; what is longer is cut, with the masks of a [SEG] that
            is cut off.
        pixels: False leaves ``clip`` and ``sam`` out, for features that are put in afterwards.

    Raises:
        DatasetError: a conversation is so long that its question alone does not fit, or writes of a second picture.
    """
    rows = [[tokenize(turns, config, tokenizer, max_length) for turns in example.conversations] for example in examples]
    for example, row in zip(examples, rows):
        if any(tokens.ids.count(IMAGE_ID) > 1 for tokens in row):
            raise DatasetError(
                f"{example.name}: {IMAGE} is written in its text; take it out, a conversation has one picture"
            )
        if any(IMAGE_ID not in tokens.ids or not tokens.answers for tokens in row):
            raise DatasetError(
                f"{example.name}: a question does not fit into {max_length} positions; raise data.max_length"
            )
    place = rows[0][0].ids.index(IMAGE_ID)
    prefix = rows[0][0].ids[: place + (2 if config.image_markers else 1)]
    tail = prefix[place + 1 :]  # <im_end>, or nothing
    head = place + config.vision.patches
    width = len(tail) + max(sum(len(tokens.ids) - len(prefix) for tokens in row) for row in rows)
    total = head + width
    after = np.zeros((len(examples), width), np.int64)
    labels = np.full((len(examples), width), IGNORE, np.int64)
    positions = np.zeros((len(examples), total), np.int64)
    allowed = np.zeros((len(examples), 1, total, total), bool)
    triangle = np.tril(np.ones((total, total), bool))
    seg_places: list[tuple[int, int]] = []
    masks: list[Tensor] = []
    width_of_prefix, vision = head + len(tail), config.vision
    for number, (example, row) in enumerate(zip(examples, rows)):
        after[number, : len(tail)] = tail
        read = np.ones(width_of_prefix, bool)
        patches = np.zeros((vision.grid, vision.grid), bool)  # what is not read stays in place here, and nothing looks at it
        patches[patches_read(*example.image.shape[:2], vision.image_size, vision.patch_size, config.clip_fit)] = True
        read[place:head] = patches.ravel()
        known = int(read.sum())  # positions of the prefix
        positions[number, :width_of_prefix] = read.cumsum() - 1
        allowed[number, 0, :, :width_of_prefix] = triangle[:, :width_of_prefix] & read
        begin, kept, promised = len(tail), [], 0
        for tokens, turns in zip(row, example.conversations):
            own = tokens.ids[len(prefix) :]
            end = begin + len(own)
            after[number, begin:end] = own
            positions[number, head + begin : head + end] = known + np.arange(len(own))
            span = slice(head + begin, head + end)
            allowed[number, 0, span, span] = triangle[: len(own), : len(own)]
            for start, stop in tokens.answers:
                shift = begin - len(prefix)
                labels[number, start - 1 + shift : stop - 1 + shift] = tokens.ids[start:stop]
            answered = {i - len(prefix) for start, stop in tokens.answers for i in range(start, stop)}
            found = [i for i, token in enumerate(own) if token == tokenizer.seg_id and i in answered]
            seg_places += [(number, begin + i - 1) for i in found]
            kept += range(promised, promised + len(found))
            promised += sum(answer.count(SEG) for _, answer in turns)
            begin = end
        padding = np.concatenate([np.flatnonzero(~read), np.arange(head + begin, total)])
        allowed[number, 0, padding, padding] = True  # attends to itself: no empty softmax
        masks.append(torch.from_numpy(example.masks[kept].astype(np.float32)))
    inputs = [
        preprocess(example.image, config.vision.image_size, config.sam.image_size, config.clip_fit)
        for example in examples
    ]
    tensor = torch.from_numpy
    return Batch(
        names=tuple(example.name for example in examples),
        clip=tensor(np.stack([one.clip for one in inputs])) if pixels else None,
        sam=[tensor(one.sam) for one in inputs] if pixels else None,
        before=torch.tensor([prefix[:place]] * len(examples)),
        after=tensor(after),
        positions=tensor(positions),
        mask=tensor(allowed),
        labels=tensor(labels),
        seg_places=torch.tensor(seg_places, dtype=torch.long).reshape(-1, 2),
        masks=masks,
        originals=[one.original for one in inputs],
        resized=[one.resized for one in inputs],
    )
