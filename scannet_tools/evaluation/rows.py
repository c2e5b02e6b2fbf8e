"""What one scene came to, as a JSON file of its own: written whole or not at all, and read again by a later run.

A row holds everything that the figures and the report need but the pictures' pixels, which are read from the scene
again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from scannet_tools.aside import written_aside
from scannet_tools.scores.vertices import VertexOverlap

ROWS = "rows"
"""Folder of the rows inside the output folder."""


class FrameAnswer(NamedTuple):
    """How a question was answered on one frame.

    frame: its number in the scene. target_pixels: visible pixels of the target, 0 for an absent one. intersection,
    union: pixels of the answer with the target. found: the answer has at least one pixel. probability: the model's own,
    of [SEG].
    """

    frame: int
    target_pixels: int
    intersection: int
    union: int
    found: bool
    probability: float


@dataclass
class KeptFrame:
    """A frame whose pictures the report may show: answer and target as lisa_ros.evaluation.packed_mask.pack_mask writes
    them.
    """

    frame: int
    iou: float
    answer: str
    target: str


@dataclass
class QuestionRow:
    """One question about a scene, on all frames that were asked.

    picture_pixels: of one colour picture. vertices_answer: the fused answer on the mesh, bool [1,n] as pack_mask writes
    it.
    best, worst: the frame with the highest and the lowest IoU among those that show the target; of an absent target
    `worst` is the largest answer and `best` is None.
    """

    question: str
    kind: str
    targets: tuple[int, ...]
    picture_pixels: int = 0
    answers: list[FrameAnswer] = field(default_factory=list)
    vertices: VertexOverlap | None = None
    vertices_answer: str = ""
    best: KeptFrame | None = None
    worst: KeptFrame | None = None


@dataclass
class SceneRow:
    """One scene.

    settings: what the numbers depend on; a row with others is made anew. without_pose, without_truth: numbers of frames
    that were left out. seconds: {"encode": one per frame, "ask": one per frame (all questions), "lift": one per frame
    and question}.
    failure: why there are no numbers; "" when there are.
    """

    scene: str
    settings: dict[str, Any]
    frames: int = 0
    without_pose: int = 0
    without_truth: int = 0
    questions: list[QuestionRow] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failure: str = ""


def row_path(out: Path, scene: str) -> Path:
    """Where the row of a scene lies."""
    return out / ROWS / f"{scene}.json"


def write_row(out: Path, row: SceneRow) -> None:
    """Write a row. Raises OSError with the file's name when it cannot be written; then nothing of it is left."""
    path = row_path(out, row.scene)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as file:
        file.write(json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def read_row(out: Path, scene: str) -> SceneRow | None:
    """The row of a scene; None when there is none, or the file is no row (damaged, of another version): it is made
    anew.
    """
    try:
        values = json.loads(row_path(out, scene).read_text(encoding="utf-8"))
        questions = [_question(question) for question in values.pop("questions")]
        return SceneRow(**values, questions=questions)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _question(values: dict[str, Any]) -> QuestionRow:
    values["targets"] = tuple(values["targets"])
    values["answers"] = [FrameAnswer(*answer) for answer in values["answers"]]
    values["vertices"] = None if values["vertices"] is None else VertexOverlap(*values["vertices"])
    for name in ("best", "worst"):
        values[name] = None if values[name] is None else KeptFrame(**values[name])
    return QuestionRow(**values)
