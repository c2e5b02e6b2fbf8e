"""Training samples from exported synthetic shards: one picture with several questions about it (the paper, too, asks several per image)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import IterableDataset

from lisa_ros.model.config import LisaConfig
from lisa_ros.model.preprocessing import preprocess, sam_resize_shape
from lisa_ros.model.prompt import CONVERSATIONS, user_turn
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training.mini.answers import write_answer
from lisa_ros.training.mini.recipe import Stage
from lisa_ros.training.mini.sentences import draw_sentences
from scannet_tools.synthetic.export import SHARD, ExportedFrame, read_shard
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS
from scannet_tools.synthetic.questions import AIM, MIN_SHARE, View


@dataclass
class Names:
    """What tells n things (or groups of them) from everything else in view; arrays, or tensors in a batch.

    Attributes:
        kind, color: int64 [n], classes of the warm-up. place: float32 [n,2], x and y of the mask's middle as shares of SAM's square.
        told: bool [n,3], whether kind, colour and place belong to the name.
    """

    kind: Any
    color: Any
    place: Any
    told: Any


@dataclass
class Sample:
    """One picture, ready for collation.

    Attributes:
        clip: float32 [3,c,c]. sam: uint8 [h,w,3]: the towers' inputs, see preprocessing.
        prompts: ids of each question's prompt up to where its answer begins. answers: ids of each answer, to its end or as far as it is decided.
        sentences: (prompt, answer) ids of sentences that are read without the picture, see ``draw_sentences``.
        nouns: (question, token of its prompt, kind) of each word that names a kind of thing in view.
        decisions: (question, token of prompt and answer, number of the target or -1) of each last token of an answer's name, see ``Answer``.
        masks: float32 [n,l,l], soft masks of the targets, in the order of their [SEG], on the mask decoder's grid. targets: their names.
        named_masks [m,l,l], named: masks asked for by name: all that is told fits, wherever it stands unless the place is told.
        valid: (rows, columns) of the decoder's grid that lie inside the picture.
        category, color: int64 [l/2,l/2] classes for the dense warm-up, -1 outside the picture.
        measures: float32 [3,l/2,l/2]: ln of distance (m), height (m) and volume (m^3) of the object in each cell, NaN where there is none.
    """

    clip: np.ndarray
    sam: np.ndarray
    prompts: list[list[int]]
    answers: list[list[int]]
    sentences: list[tuple[list[int], list[int]]]
    nouns: list[tuple[int, int, int]]
    decisions: list[tuple[int, int, int]]
    masks: np.ndarray
    targets: Names
    named_masks: np.ndarray
    named: Names
    valid: tuple[int, int]
    category: np.ndarray
    color: np.ndarray
    measures: np.ndarray


class SyntheticSamples(IterableDataset):
    """Endless, seeded stream over the shards of a directory; every pass is shuffled anew.

    Args:
        stage: says what is drawn per picture. rank, world: this process' share of the shards.
    """

    def __init__(
        self,
        directory: Path,
        config: LisaConfig,
        tokenizer: LisaTokenizer,
        stage: Stage,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> None:
        self.directory, self.config, self.tokenizer, self.stage = Path(directory), config, tokenizer, stage
        self.seed, self.rank, self.world = seed, rank, world
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
        number, stage = 0, self.stage
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
                        frame = frames[position].mirrored() if rng.random() < 0.5 else frames[position]
                        frame = part_of(frame, stage.crop, rng) if rng.random() < 0.5 else frame
                        asked = {"names": stage.names, "groups": stage.groups, "blur": stage.blur, "written": stage.written, "sentences": stage.sentences}
                        yield make_sample(frame, self.config, self.tokenizer, stage.questions, rng, **asked)


def part_of(frame: ExportedFrame, least: float, rng: np.random.Generator) -> ExportedFrame:
    """A part of a frame, ``least`` of its width or more, that has one of its things somewhere in it: each as often, however small, for walls and
    tables are in view anyway."""
    share, place = rng.uniform(least, 1), rng.random(2)
    if not frame.objects:
        return frame.cropped(share, *place)
    thing, (height, width) = frame.objects[rng.integers(len(frame.objects))], frame.instance.shape
    corner = np.array([thing.u / width, thing.v / height]) - share * place
    return frame.cropped(share, *np.clip(corner / max(1 - share, 1e-6), 0, 1))


def make_sample(
    frame: ExportedFrame,
    config: LisaConfig,
    tokenizer: LisaTokenizer,
    count: int,
    rng: np.random.Generator,
    *,
    names: int = 0,
    groups: float = 0.0,
    blur: float = 0.0,
    written: int | None = None,
    sentences: int = 0,
    augment: bool = True,
) -> Sample:
    """A sample of ``count`` questions and ``names`` named objects from one exported frame; ``groups``, ``blur`` and ``sentences`` as in ``Stage``.

    The answers of the first ``written`` questions (None: of all) are learned to their end, the others as far as they are decided. What masks come
    from stands before that, and the rest would be a quarter of the text.
    """
    picture = jitter(frame.color, rng) if augment else frame.color
    inputs = preprocess(picture, config.vision.image_size, config.sam.image_size, config.clip_fit)
    grid = 4 * config.sam.grid
    valid = sam_resize_shape(*frame.color.shape[:2], grid)
    asked = (frame.ask(rng, TAUGHT) if augment else frame.questions) if count else []
    chosen = [asked[i] for i in rng.permutation(len(asked))[:count]]
    conversation = CONVERSATIONS[config.conversation]
    by_id = {view.id: view for view in frame.objects}
    prompts, answers, decisions, targets = [], [], [], []
    for number, question in enumerate(chosen):
        turn, wanted = user_turn(question.text, config.query_template), [by_id[target] for target in question.targets]
        answer = write_answer(question, wanted, turn, conversation, tokenizer, rng)
        prompts.append(answer.prompt)
        answers.append(answer.ids if written is None or number < written else answer.ids[: answer.decided])
        decisions += [(number, len(answer.prompt) + token, len(targets) + one if one >= 0 else -1) for token, one in answer.decisions]
        targets += wanted

    def masks_of(groups: Sequence[Sequence[int]]) -> np.ndarray:
        masks = [shrink(np.isin(frame.instance, ids), valid, grid) for ids in groups]
        return np.array(masks, np.float32).reshape(-1, grid, grid)

    masks = masks_of([[view.id] for view in targets])
    clear = [view for view in frame.objects if view.pixels >= MIN_SHARE * frame.instance.size]
    picked = [clear[i] for i in rng.permutation(len(clear))[:names]]
    told = [telling(groups, rng) for _ in picked]
    named_masks = masks_of([[one.id for one in group_of(view, frame.objects, what)] for view, what in zip(picked, told)])
    named = names_of(picked, told, named_masks)
    named.place = blurred(named.place, blur, rng)
    return Sample(
        clip=inputs.clip,
        sam=inputs.sam,
        prompts=prompts,
        answers=answers,
        sentences=draw_sentences(sentences, config, tokenizer, rng),
        nouns=nouns_of(prompts, sorted({view.kind for view in frame.objects}), tokenizer),
        decisions=decisions,
        masks=masks,
        targets=names_of(targets, [(True, True, True)] * len(targets), masks),
        named_masks=named_masks,
        named=named,
        valid=valid,
        category=classes(frame.category, valid, grid),
        color=classes(values_of(frame, lambda view: 1 + COLORS.index(view.color), 0, np.int64), valid, grid),
        measures=np.stack([classes(values_of(frame, measure, np.nan, np.float32), valid, grid, np.nan) for measure in MEASURES]),
    )


def names_of(things: Sequence[View], told: Sequence[tuple[bool, bool, bool]], masks: np.ndarray) -> Names:
    """Names of n things with masks [n,l,l]; of each, ``told`` says what belongs to it."""
    kinds = np.array([KIND_NAMES.index(view.kind) for view in things], np.int64)
    colors = np.array([1 + COLORS.index(view.color) for view in things], np.int64)
    return Names(kinds, colors, middles(masks), np.array(told, bool).reshape(-1, 3))


def nouns_of(prompts: Sequence[Sequence[int]], kinds: Sequence[str], tokenizer: LisaTokenizer) -> list[tuple[int, int, int]]:
    """Where prompts name one of ``kinds`` (not by a synonym): (prompt, last token of the name, class of the kind)."""
    found = []
    for kind in kinds:
        name = tokenizer.encode_word(kind)
        for number, prompt in enumerate(prompts):
            ends = (end for end in range(len(name), len(prompt) + 1) if prompt[end - len(name) : end] == name)
            found += [(number, end - 1, KIND_NAMES.index(kind)) for end in ends]
    return found


TAUGHT = {**AIM, "relational": 4, "comparison": 3, "several": 2, "use": 12, "absent": 6}
"""At most so many questions of each kind about a picture of training: more than in the splits of those that take longest to learn."""

MEASURES = (lambda view: math.log(view.z), lambda view: math.log(view.size[2]), lambda view: math.log(view.volume))
ONE_TOLD = (((True, True, True), 5), ((True, False, True), 1), ((False, False, True), 1))
ALL_TOLD = (((True, True, False), 3), ((True, False, False), 2), ((False, True, False), 1))
"""(kind, colour, place) and how often a name of one thing, and of all that are alike, is made of them."""


def telling(groups: float, rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """What belongs to a name; of a share ``groups`` the place does not, so that it means all that fit it."""
    tellings, often = zip(*(ALL_TOLD if rng.random() < groups else ONE_TOLD))
    return tellings[rng.choice(len(tellings), p=np.array(often) / sum(often))]


def group_of(view: View, objects: Sequence[View], told: tuple[bool, bool, bool]) -> list[View]:
    """Everything in view that what is told of ``view`` fits, ``view`` first."""
    kind, color, place = told
    others = [o for o in objects if o.id != view.id and (o.kind == view.kind or not kind) and (o.color == view.color or not color)]
    return [view] if place else [view, *others]


def values_of(frame: ExportedFrame, value: Callable[[View], float], background: float, dtype: type) -> np.ndarray:
    """A value of each pixel's object, [H,W]."""
    table = np.full(256, background, dtype)
    for view in frame.objects:
        table[view.id] = value(view)
    return table[frame.instance]


def middles(masks: np.ndarray) -> np.ndarray:
    """float32 [n,l,l] -> float32 [n,2]: x and y of each mask's centre of mass, as shares of the square; 0.5 for an empty one."""
    steps = (np.arange(masks.shape[-1], dtype=np.float32) + 0.5) / masks.shape[-1]
    area = np.maximum(masks.sum((1, 2)), 1e-6)
    places = np.stack([(masks.sum(1) * steps).sum(1) / area, (masks.sum(2) * steps).sum(1) / area], 1)
    return np.where(masks.any((1, 2))[:, None], places, np.float32(0.5)).astype(np.float32)


def blurred(places: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """Places [n,2] beside where they are: by a standard deviation between 0 and ``most``, another for each."""
    off = most * rng.random((len(places), 1)) * rng.standard_normal(places.shape)
    return (places + off).astype(np.float32)


def shrink(mask: np.ndarray, valid: tuple[int, int], grid: int) -> np.ndarray:
    """bool [H,W] -> float32 [grid,grid]: covered share of each decoder cell, zero outside the picture."""
    square = np.zeros((grid, grid), np.float32)
    square[: valid[0], : valid[1]] = cv2.resize(mask.astype(np.float32), valid[::-1], interpolation=cv2.INTER_AREA)
    return square


def classes(ids: np.ndarray, valid: tuple[int, int], grid: int, outside: float = -1) -> np.ndarray:
    """Values [H,W] -> [grid/2,grid/2], nearest pixel of each cell, ``outside`` beyond the picture (class ids as int64)."""
    rows, columns = valid[0] // 2, valid[1] // 2
    square = np.full((grid // 2, grid // 2), outside, ids.dtype if ids.dtype.kind == "f" else np.int64)
    v = ((np.arange(rows) + 0.5) * ids.shape[0] / rows).astype(int)
    u = ((np.arange(columns) + 0.5) * ids.shape[1] / columns).astype(int)
    square[:rows, :columns] = ids[np.ix_(v, u)]
    return square


def jitter(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, white balance and blur change; hue hardly, because questions name colours."""
    gain, lift = rng.uniform(0.75, 1.25) * rng.uniform(0.94, 1.06, 3), rng.uniform(-20, 20)
    picture = np.clip(picture * gain.astype(np.float32) + np.float32(lift), 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.8)) if rng.random() < 0.3 else picture

