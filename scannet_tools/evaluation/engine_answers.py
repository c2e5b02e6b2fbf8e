"""Asks an engine in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lisa_ros.geometry import Frame


@dataclass
class FrameReply:
    """What was said to one question about one frame.

    mask: bool [H,W], all instances together. points: float32 [n,3] metres, camera optical frame, of all instances.
    """

    mask: np.ndarray
    points: np.ndarray
    probability: float


@dataclass
class FrameReplies:
    """What was said about one frame: a reply per question. seconds: {stage: what each run of it took}."""

    replies: list[FrameReply]
    seconds: dict[str, list[float]]


class EngineAnswers:
    """Answers of a `lisa_ros.engine.Engine`: every frame is encoded once, and all its questions are one batch."""

    def __init__(self, engine: Any, mode: str = "mask") -> None:
        self._engine, self._mode = engine, mode

    def ask(self, frame: Frame, questions: Sequence[str]) -> FrameReplies:
        """Raises ValueError for a question that the model cannot take."""
        from lisa_ros.perception import perceive  # brings torch

        perceptions = perceive(self._engine, frame, questions, mode=self._mode)
        together = perceptions[0].seconds  # encoding and asking are for all questions at once
        asking = sum(took for stage, took in together.items() if stage not in ("encode", "lift", "total"))
        seconds = {
            "encode": [together["encode"]],
            "ask": [asking],
            "lift": [said.seconds["lift"] for said in perceptions if said.instances],
        }
        return FrameReplies([_reply(frame, said) for said in perceptions], seconds)


def _reply(frame: Frame, said: Any) -> FrameReply:
    mask = np.zeros(frame.color.shape[:2], bool)
    for instance in said.instances:
        mask |= instance.mask
    clouds = [instance.cloud.points for instance in said.instances if instance.cloud is not None]
    points = np.concatenate(clouds) if clouds else np.zeros((0, 3), np.float32)
    return FrameReply(mask, points, said.target_probability)
