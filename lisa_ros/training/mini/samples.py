"""Training samples from exported synthetic shards: one picture with several questions about it (the paper, too, asks several per image)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import IterableDataset

from lisa_ros.model.config import LisaConfig
from lisa_ros.model.preprocessing import preprocess, sam_resize_shape
from lisa_ros.model.prompt import CONVERSATIONS, user_turn
from lisa_ros.model.tokenizer import SEG, LisaTokenizer
from scannet_tools.synthetic.export import SHARD, ExportedFrame, read_shard
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS
from scannet_tools.synthetic.questions import MIN_SHARE


@dataclass
class Sample:
    """One picture, ready for collation.

    Attributes:
        clip: float32 [3,c,c]. sam: uint8 [h,w,3]: the towers' inputs, see preprocessing.
        prompts: ids of each question's prompt up to "ASSISTANT:". answers: ids of each answer, </s> included.
        masks: float32 [n,l,l], soft target masks of the questions that have a target, on the mask decoder's grid.
        has_target: bool [q].
        target_kind, target_color: int64 [n], class of the object behind each mask; -1 when the mask holds several objects.
        named_masks [m,l,l], named_kind [m], named_color [m]: objects that no other in view shares kind and colour with.
        valid: (rows, columns) of the decoder's grid that lie inside the picture.
        category, color: int64 [l/2,l/2] classes for the dense warm-up, -1 outside the picture.
    """

    clip: np.ndarray
    sam: np.ndarray
    prompts: list[list[int]]
    answers: list[list[int]]
    masks: np.ndarray
    has_target: np.ndarray
    target_kind: np.ndarray
    target_color: np.ndarray
    named_masks: np.ndarray
    named_kind: np.ndarray
    named_color: np.ndarray
    valid: tuple[int, int]
    category: np.ndarray
    color: np.ndarray


class SyntheticSamples(IterableDataset):
    """Endless, seeded stream over the shards of a directory; every pass is shuffled anew.

    Args:
        questions, names: questions and named objects drawn per picture.
        rank, world: this process' share of the shards.
    """

    def __init__(
        self,
        directory: Path,
        config: LisaConfig,
        tokenizer: LisaTokenizer,
        *,
        questions: int,
        names: int = 0,
        seed: int,
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> None:
        self.directory, self.config, self.tokenizer = Path(directory), config, tokenizer
        self.questions, self.names, self.seed, self.rank, self.world = questions, names, seed, rank, world
        self.skip = skip  # samples of this stream already trained on: an equal stream goes on behind them

    def shards(self) -> list[Path]:
        """Finished shards. Raises FileNotFoundError when there is none."""
        found = sorted(self.directory.glob("frames_*.npz"))
        if not found:
            raise FileNotFoundError(
                f"{self.directory}: no frames_*.npz; write them with python -m scannet_tools.synthetic.export --out {self.directory}"
            )
        return found

    def __iter__(self) -> Iterator[Sample]:
        number = 0
        for epoch in itertools.count():
            shards = self.shards()
            order = np.random.default_rng([self.seed, epoch]).permutation(len(shards))
            mine = [shards[i] for i in order][self.rank :: self.world] or shards
            for shard in mine:
                if number + SHARD <= self.skip:
                    number += SHARD
                    continue
                frames = list(read_shard(shard))
                for position in np.random.default_rng([self.seed, self.rank, number]).permutation(len(frames)):
                    number += 1
                    if number > self.skip:
                        rng = np.random.default_rng([self.seed, self.rank, number, 1])
                        frame = mirrored(frames[position]) if rng.random() < 0.5 else frames[position]
                        yield make_sample(frame, self.config, self.tokenizer, self.questions, rng, names=self.names)


def make_sample(
    frame: ExportedFrame, config: LisaConfig, tokenizer: LisaTokenizer, count: int, rng: np.random.Generator, *, names: int = 0, augment: bool = True
) -> Sample:
    """A sample of ``count`` questions and ``names`` named objects from one exported frame."""
    picture = jitter(frame.color, rng) if augment else frame.color
    inputs = preprocess(picture, config.vision.image_size, config.sam.image_size, config.clip_fit)
    grid = 4 * config.sam.grid
    valid = sam_resize_shape(*frame.color.shape[:2], grid)
    chosen = rng.permutation(len(frame.questions))[:count]
    conversation = CONVERSATIONS[config.conversation]
    clear = distinct_objects(frame.objects, MIN_SHARE * frame.instance.size)
    named_objects = [clear[i] for i in rng.permutation(len(clear))[:names]]
    prompts, answers, masks, has_target, named = [], [], [], [], []
    color_of = np.zeros(256, np.int64)
    kind_of = np.zeros(256, np.int64)
    for item in frame.objects:
        color_of[item["id"]] = 1 + COLORS.index(item["color"])
        kind_of[item["id"]] = KIND_NAMES.index(item["kind"])
    for index in chosen:
        question = frame.questions[index]
        turn = user_turn(question.text, config.query_template)
        answer = f"{SEG}. {question.answer}" if question.targets else question.answer
        prompt = tokenizer.encode_prompt(conversation.render([(turn, None)]))
        whole = tokenizer.encode_prompt(conversation.render([(turn, answer)]))
        prompts.append(prompt)
        answers.append(whole[len(prompt) :])
        has_target.append(bool(question.targets))
        if question.targets:
            masks.append(shrink(np.isin(frame.instance, question.targets), valid, grid))
            target = question.targets[0]
            named.append((kind_of[target], color_of[target]) if len(question.targets) == 1 else (-1, -1))
    target_kind, target_color = np.array(named, np.int64).reshape(-1, 2).T
    return Sample(
        clip=inputs.clip,
        sam=inputs.sam,
        prompts=prompts,
        answers=answers,
        masks=np.array(masks, np.float32).reshape(-1, grid, grid),
        has_target=np.array(has_target),
        target_kind=target_kind,
        target_color=target_color,
        named_masks=np.array([shrink(frame.instance == i, valid, grid) for i in named_objects], np.float32).reshape(-1, grid, grid),
        named_kind=kind_of[named_objects],
        named_color=color_of[named_objects],
        valid=valid,
        category=classes(frame.category, valid, grid),
        color=classes(color_of[frame.instance], valid, grid),
    )


def distinct_objects(objects: list[dict], pixels: float) -> list[int]:
    """Numbers of the objects with at least ``pixels`` in view whose kind and colour no other object has."""
    count = Counter((item["kind"], item["color"]) for item in objects if item["pixels"])
    return [item["id"] for item in objects if item["pixels"] >= pixels and count[item["kind"], item["color"]] == 1]


SIDES = {"left": "right", "right": "left"}


def mirrored(frame: ExportedFrame) -> ExportedFrame:
    """The frame in a mirror: left and right change places in the picture and in the questions."""

    def swap(text: str) -> str:
        return re.sub(r"\b(left|right)\b", lambda found: SIDES[found[0]], text)

    questions = [replace(question, text=swap(question.text)) for question in frame.questions]
    color, instance, category = (np.ascontiguousarray(image[:, ::-1]) for image in (frame.color, frame.instance, frame.category))
    return ExportedFrame(color, instance, category, frame.objects, questions)


def shrink(mask: np.ndarray, valid: tuple[int, int], grid: int) -> np.ndarray:
    """bool [H,W] -> float32 [grid,grid]: covered share of each decoder cell, zero outside the picture."""
    square = np.zeros((grid, grid), np.float32)
    square[: valid[0], : valid[1]] = cv2.resize(mask.astype(np.float32), valid[::-1], interpolation=cv2.INTER_AREA)
    return square


def classes(ids: np.ndarray, valid: tuple[int, int], grid: int) -> np.ndarray:
    """Class ids [H,W] -> int64 [grid/2,grid/2], nearest pixel of each cell, -1 outside the picture."""
    rows, columns = valid[0] // 2, valid[1] // 2
    square = np.full((grid // 2, grid // 2), -1, np.int64)
    v = ((np.arange(rows) + 0.5) * ids.shape[0] / rows).astype(int)
    u = ((np.arange(columns) + 0.5) * ids.shape[1] / columns).astype(int)
    square[:rows, :columns] = ids[np.ix_(v, u)]
    return square


def jitter(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mild brightness, contrast and blur changes; hue stays, because questions name colours."""
    gain, lift = rng.uniform(0.85, 1.15), rng.uniform(-12, 12)
    picture = np.clip(picture * np.float32(gain) + np.float32(lift), 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.8)) if rng.random() < 0.3 else picture

