"""What somebody wants: the record that uses and descriptions are written in."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """What somebody wants.

    Attributes:
        to: completes "something to ..." and "something I can ..." in training. said: whole sentences of training.
        unseen: sentences that only the test split says.
        kinds: all that serve. blockers: kinds that might serve, so that the question is not asked when one is in view.
        why: completes "It is the red mug: ...".
        held_out: training never asks for this use, in whatever words.
    """

    to: tuple[str, ...]
    said: tuple[str, ...]
    unseen: tuple[str, ...]
    kinds: tuple[str, ...]
    blockers: tuple[str, ...]
    why: str
    held_out: bool = False

    @property
    def absent(self) -> str:
        """The answer when nothing serves."""
        return f"There is nothing to {self.to[0]} here."
