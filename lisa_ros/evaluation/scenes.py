"""Which synthetic frames an evaluation is about, and what is asked about each of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scenes:
    """Frames by seed, with the questions that the generator asks or with those of a list.

    Attributes:
        make_frame: `scannet_tools.synthetic.make_frame`.
        seeds: of the frames, in the order in which they are asked about.
        questions: seed -> questions that take the place of the generated ones; None leaves those.
        source: what the questions are called in a report: "generated", "handwritten".
    """

    make_frame: Callable[..., Any]
    seeds: Sequence[int]
    split: str = "test"
    questions: Mapping[int, Sequence[Any]] | None = None
    source: str = "generated"

    @classmethod
    def listed(
        cls, make_frame: Callable[..., Any], questions: Mapping[int, Sequence[Any]], count: int | None = None
    ) -> Scenes:
        """Frames of the test split with questions of a list; the first `count` of its frames, or all.

        Raises:
            ValueError: the list is empty.
        """
        if not questions:
            raise ValueError("the list of questions is empty")
        return cls(make_frame, sorted(questions)[:count], "test", questions, "handwritten")

    def frame(self, seed: int) -> Any:
        """The frame as the generator draws it, with the questions to ask about it."""
        frame = self.make_frame(seed, split=self.split)
        return frame if self.questions is None else dataclasses.replace(frame, questions=list(self.questions[seed]))

    def digest(self) -> str:
        """Changes when the generator draws or asks something else in the first frame, and when the list says something
        else about any frame.
        """
        first = self.frame(self.seeds[0])
        seen = hashlib.sha256(np.ascontiguousarray(first.color).tobytes())
        seen.update(_wording(first.questions))
        for seed in self.seeds if self.questions is not None else ():
            seen.update(f"{seed} ".encode() + _wording(self.questions[seed]))
        return seen.hexdigest()[:16]


def _wording(questions: Iterable[Any]) -> bytes:
    return repr([(question.text, tuple(question.targets)) for question in questions]).encode()
