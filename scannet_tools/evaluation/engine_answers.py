"""Asks an engine in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lisa_ros.geometry import Frame


@dataclass
class FrameReply:
    """What was said to one question about one frame.

    mask: bool [H,W], all instances together. points: float32 [n,3] metres, camera optical frame, of all instances.
    seconds: of "lift" for this question; "encode" and "ask" are for all questions of the frame and the same in all of
    them.
    """

    mask: np.ndarray
    points: np.ndarray
    probability: float
    seconds: dict[str, float] = field(default_factory=dict)


class EngineAnswers:
    """Answers of a `lisa_ros.engine.Engine`: every frame is encoded once, and all its questions are one batch."""

    def __init__(self, engine: Any, mode: str = "mask") -> None:
        self._engine, self._mode = engine, mode

    def ask(self, frame: Frame, questions: Sequence[str]) -> list[FrameReply]:
        """One reply per question. Raises ValueError for a question that the model cannot take."""
        from lisa_ros.perception import perceive  # brings torch

        return [_reply(frame, said) for said in perceive(self._engine, frame, questions, mode=self._mode)]


def _reply(frame: Frame, said: Any) -> FrameReply:
    mask = np.zeros(frame.color.shape[:2], bool)
    for instance in said.instances:
        mask |= instance.mask
    clouds = [instance.cloud.points for instance in said.instances if instance.cloud is not None]
    points = np.concatenate(clouds) if clouds else np.zeros((0, 3), np.float32)
    seconds = dict(said.seconds)
    ask = sum(seconds.values()) - sum(seconds.get(stage, 0.0) for stage in ("encode", "lift", "total"))
    kept = {"encode": seconds["encode"], "ask": ask, "lift": seconds["lift"]}
    return FrameReply(mask, points, said.target_probability, kept)
