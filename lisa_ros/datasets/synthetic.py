"""Synthetic scenes of this repository as a data set: shards that ``python -m scannet_tools.synthetic.export`` writes.

Training asks anew each time, in wordings of training; evaluation asks the questions of the shards. Answers begin with [SEG]
(lisa-mini's own training lets them name things first); absent targets are answered in words.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from lisa_ros.datasets.example import DatasetError, EvaluationItem, Example, conversation, stack
from lisa_ros.datasets.files import listed
from lisa_ros.model.tokenizer import SEG
from scannet_tools.synthetic.export import ExportedFrame, Shard

FOLDER = "synthetic"


class SyntheticScenes:
    """Frames of ROOT/synthetic/SPLIT/frames_*.npz.

    Args:
        count: questions a picture in training, at most.
    """

    name = "synthetic"

    def __init__(self, root: Path, split: str = "train", *, count: int = 3) -> None:
        self.split, self._count = split, count
        self._where = [
            (shard, n)
            for shard in listed(Path(root) / FOLDER / split, "frames_*.npz")
            for n in range(len(_opened(shard)))
        ]

    def __len__(self) -> int:
        return len(self._where)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        name, frame = self._frame(index)
        questions = frame.ask(rng)
        asked = [questions[n] for n in rng.permutation(len(questions))[: self._count]]
        turns = [conversation(one.text, f"{SEG}. {one.answer}" if one.targets else one.answer) for one in asked]
        masks = [np.isin(frame.instance, one.targets) for one in asked if one.targets]
        return Example(name, frame.color, None, tuple(turns), stack(masks, *frame.instance.shape))

    def evaluation_item(self, index: int) -> EvaluationItem:
        """The questions that have a target, by kind: explicit, relational, use (`lisa eval synthetic` counts refusals)."""
        name, frame = self._frame(index)
        asked = [one for one in frame.questions if one.targets]
        return EvaluationItem(
            name=name,
            image=frame.color,
            texts=tuple(one.text for one in asked),
            sentences=(True,) * len(asked),
            targets=stack([np.isin(frame.instance, one.targets) for one in asked], *frame.instance.shape).astype(
                np.uint8
            ),
            kinds=tuple(one.kind for one in asked),
        )

    def _frame(self, index: int) -> tuple[str, ExportedFrame]:
        shard, number = self._where[index]
        frame = _opened(shard)[number]
        frame.color = np.ascontiguousarray(frame.color)
        return f"{shard.stem}/{number}", frame


@lru_cache(maxsize=16)
def _opened(path: Path) -> Shard:
    try:
        return Shard(path)
    except ValueError as error:
        raise DatasetError(str(error)) from error
