"""What an evaluation on synthetic scenes remembers of each question, and the file of finished frames it continues from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lisa_ros.evaluation.metrics import Overlap


@dataclass
class QuestionRow:
    """One question and how it was answered. Masks are packed, see `lisa_ros.evaluation.packed_mask`."""

    text: str
    kind: str
    found: bool
    target_probability: float
    answer: str
    measured: tuple[int, int]
    """(intersection, union) of the answer with the target, pixels."""
    largest: tuple[int, int]
    """The same for the largest-object baseline."""
    target: str
    """The target mask."""
    mask: str
    """The answered mask, empty when the target was refused."""
    blind: tuple[int, int] | None = None
    """As `measured`, for the answer without the question; None when that was not asked for."""
    written: str | None = None
    """What chat mode wrote; None when answers are not compared."""
    named: list[str] | None = None
    """Name of each target, "red mug", that `written` should name; None when answers are not compared."""

    @property
    def present(self) -> bool:
        """Whether what is asked for is there."""
        return self.kind != "absent"

    @property
    def iou(self) -> float:
        """Of the answer with the target."""
        return Overlap(*self.measured).iou


@dataclass
class FrameRow:
    """All questions of one frame, and the seconds that the engine took for them."""

    seed: int
    encode_seconds: float
    ask_seconds: float
    write_seconds: float | None = None
    """Of the written answers that are compared; None when they are not, or when the run is in chat mode anyway."""
    questions: list[QuestionRow] = field(default_factory=list)


def continue_rows(path: Path | None, settings: dict[str, Any]) -> dict[int, FrameRow]:
    """Finished frames of an earlier call with the same settings, by seed; otherwise the file begins again with these."""
    if path is None:
        return {}
    done: dict[int, FrameRow] = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    try:
        if lines and json.loads(lines[0]) == settings:
            for line in lines[1:]:
                if line.endswith("\n"):  # a line without its end was cut off by the interruption
                    row = json.loads(line)
                    done[row["seed"]] = FrameRow(**{**row, "questions": [QuestionRow(**q) for q in row["questions"]]})
    except (json.JSONDecodeError, KeyError, TypeError):
        done = {}  # not a file of ours, or of another version: begin again
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join([json.dumps(settings) + "\n", *map(_line, done.values())]), encoding="utf-8")
    fresh.replace(path)
    return done


def append_row(path: Path | None, row: FrameRow) -> None:
    """Add a finished frame to the file, if there is one."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line(row))


def _line(row: FrameRow) -> str:
    return json.dumps({**vars(row), "questions": [vars(question) for question in row.questions]}) + "\n"
