"""Stand-ins for the model, for tests of everything around it. They fake nothing else.

`ColorEngine` has the interface of `lisa_ros.engine.Engine` and finds things by plain colour words, so that a test can know the
right answer: "the red box" is every pure-red pixel, and a colour that no pixel has is refused.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lisa_ros.engine.segmentation import QueryError, Segmentation
from lisa_ros.geometry import Camera

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
MOST_WORDS = 500
"""The fake's context: as a model, it refuses a longer prompt."""


def color_word(text: str) -> str | None:
    """The first colour that a text names."""
    return next((word for word in text.lower().strip("?. ").split() if word in COLORS), None)


def write_together(answers: Sequence[str], on_text: Callable[[int, str], None], wait: Callable[[], None]) -> None:
    """Write several answers word by word, as a batch grows: the first words of all, then the second ones."""
    words = [answer.split(" ") for answer in answers]
    for count in range(1, max(map(len, words), default=0) + 1):
        wait()
        for index, own in enumerate(words):
            if count <= len(own):
                on_text(index, " ".join(own[:count]))


class ColorEngine:
    """Finds the pixels of the first colour word of the query; counts its calls.

    In chat mode it writes its answer word by word. A query without a colour means the last one named before it.
    """

    name = "color-engine"
    device = "cpu"
    dtype = "float32"
    min_target_probability = 0.5

    def __init__(self) -> None:
        self.encoded_frames = 0

    def encode(self, image: np.ndarray) -> np.ndarray:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        self.encoded_frames += 1
        return image

    def ask(
        self,
        encoded: np.ndarray,
        queries: Sequence[str],
        *,
        mode: str = "mask",
        keep_logits: bool = False,
        history: Sequence[tuple[str, str]] = (),
        on_text: Callable[[int, str], None] | None = None,
        **options: Any,
    ) -> list[Segmentation]:
        answered = [self._answer(encoded, query, mode, keep_logits, history) for query in queries]
        if mode == "chat" and on_text is not None:
            write_together([said.answer for said in answered], on_text, self.between_words)
        return answered

    def between_words(self) -> None:
        """Called before each word of a chat."""

    def _answer(
        self, image: np.ndarray, query: str, mode: str, keep_logits: bool, history: Sequence[tuple[str, str]]
    ) -> Segmentation:
        begun = time.perf_counter()
        words = sum(len(text.split()) for turn in (*history, (query,)) for text in turn)
        if words > MOST_WORDS:
            raise QueryError(f"the prompt takes {words} words, the model reads {MOST_WORDS}: shorten the query")
        named = [color_word(text) for text in (query, *(earlier for earlier, _ in reversed(history)))]
        color = next((COLORS[word] for word in named if word), None)
        understood = time.perf_counter()
        mask = np.zeros(image.shape[:2], bool) if color is None else (image == color).all(axis=2)
        found = bool(mask.any())
        extra = {}
        if keep_logits:
            n = int(found)
            extra = {
                "mask_logits": np.where(mask, 5.0, -5.0).astype(np.float32)[None][:n],
                "low_res_logits": np.zeros((n, 256, 256), np.float32),
                "seg_embeddings": np.zeros((n, 256), np.float32),
            }
        return Segmentation(
            query=query,
            answer=("[SEG]." if mode == "mask" else "[SEG]. It is that one.") if found else "There is none here.",
            target_probability=0.9 if found else 0.1,
            masks=mask[None] if found else np.zeros((0, *mask.shape), bool),
            mask_scores=np.array([0.95] if found else [], np.float32),
            input_ids=[1, 2, 3],
            output_ids=[4, 5],
            seconds={"language": understood - begun, "decode": time.perf_counter() - understood},
            **extra,
        )


@dataclass
class AskedFrame:
    """As much of a synthetic frame as the command line and the evaluation need."""

    color: np.ndarray
    instance: np.ndarray
    questions: list[Any] = field(default_factory=list)

    @property
    def camera(self) -> Camera:
        height, width = self.instance.shape
        return Camera(60.0, 60.0, width / 2, height / 2, width, height)

    @property
    def depth(self) -> np.ndarray:
        """Boxes at 1.5 m before a wall at 2 m."""
        return np.where(self.instance > 0, 1.5, 2.0).astype(np.float32)


@dataclass
class Question:
    text: str
    kind: str
    targets: tuple[int, ...]
    answer: str = ""


def boxes_frame(seed: int, *, split: str = "test") -> AskedFrame:
    """A frame with a red, a green and a large blue box at places drawn from the seed, and five questions about them.

    The "use" question cannot be answered by colour: the engine of this module refuses it, though its target is there.
    """
    rng = np.random.default_rng(seed)
    color = np.zeros((48, 64, 3), np.uint8)
    instance = np.zeros((48, 64), np.uint16)
    for number, (name, size) in enumerate((("blue", 20), ("red", 8), ("green", 10)), start=1):
        left = int(rng.integers(0, 22 - size)) + 21 * (number - 1)
        top = int(rng.integers(0, 48 - size))
        color[top : top + size, left : left + size] = COLORS[name]
        instance[top : top + size, left : left + size] = number
    questions = [
        Question("the red box", "explicit", (2,)),
        Question("the green box", "relational", (3,)),
        Question("something to sit on", "use", (1,)),
        Question("the red box and the green one", "explicit", (2, 3)),
        Question("the white box", "absent", ()),
    ]
    return AskedFrame(color, instance, questions)
