"""A stand-in for the model, for scenes in ScanNet's formats: it knows every frame's truth, and is wrong where told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lisa_ros.engine.segmentation import Segmentation
from scannet_tools.questions import read_questions
from scannet_tools.scene import Scene, find_scenes

SCENES = "LISA_TEST_ORACLE_SCENES"
"""The environment's name for the folder of scenes, for processes of their own."""


def refuse(mask: np.ndarray) -> np.ndarray:
    """The answer of somebody who finds nothing."""
    return np.zeros_like(mask)


def everything(mask: np.ndarray) -> np.ndarray:
    """The whole picture."""
    return np.ones_like(mask)


def upper_half(mask: np.ndarray) -> np.ndarray:
    """The rows of the mask that lie in the picture's upper half."""
    half = mask.copy()
    half[len(mask) // 2 :] = False
    return half


class Oracle:
    """Has the interface of `lisa_ros.engine.Engine`. path: of scenes. wrong: {question: what becomes of its true mask}.

    It knows a picture again by what it looks like from afar, whoever decoded it.
    """

    name, device, dtype, min_target_probability = "oracle", "cpu", "float32", 0.0

    def __init__(self, path: Path, wrong: Mapping[str, Callable[[np.ndarray], np.ndarray]] | None = None) -> None:
        self.encoded_frames = 0
        self.asked: list[str] = []
        self._wrong = wrong or {}
        self._scenes = [scene for scene in find_scenes(path) if scene.annotated]
        self._targets = {
            (scene.name, one.question): one.targets
            for scene in self._scenes
            for one in read_questions(scene.folder / "questions.jsonl")
        }
        self._places: list[tuple[Scene, int]] = []
        looks = []
        for scene in self._scenes:
            with scene.open_sens() as sens:
                for number in range(len(sens)):
                    self._places.append((scene, number))
                    looks.append(_from_afar(sens.frame(number).color()))
        self._looks = np.stack(looks)

    def encode(self, image: np.ndarray) -> tuple[Scene, int]:
        self.encoded_frames += 1
        difference = np.abs(self._looks - _from_afar(image)).mean(axis=(1, 2, 3))
        assert difference.min() < 2.0, "a picture of none of the scenes"
        return self._places[int(difference.argmin())]

    def ask(self, encoded: tuple[Scene, int], queries: Sequence[str], **options: Any) -> list[Segmentation]:
        scene, number = encoded
        objects = scene.instance_image(number)
        self.asked += queries
        return [self._answer(scene.name, objects, query) for query in queries]

    def _answer(self, scene: str, objects: np.ndarray, query: str) -> Segmentation:
        mask = np.isin(objects, self._targets.get((scene, query), ()))
        mask = self._wrong.get(query, lambda true: true)(mask)
        found = bool(mask.any())
        return Segmentation(
            query,
            "[SEG]." if found else "",
            0.9 if found else 0.1,
            mask[None] if found else np.zeros((0, *mask.shape), bool),
            np.array([0.9] if found else [], np.float32),
            [1],
            [2],
            {"language": 0.25, "decode": 0.25},
        )


def load(*_: Any, **__: Any) -> Oracle:
    """The oracle of the scenes that the environment names."""
    return Oracle(Path(os.environ[SCENES]))


def _from_afar(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (16, 12), interpolation=cv2.INTER_AREA).astype(np.float32)
