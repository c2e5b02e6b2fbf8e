"""What one picture of an evaluation came to, and the files that finished rows are kept in while a run goes on.

A file of rows has the run's settings in its first line and one finished picture in every other line. A process alone
writes ``rows.jsonl``; process 0 of 2 writes ``rows.0-of-2.jsonl`` beside it. All of them are read again when a run
continues, with however many processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scannet_tools.aside import written_aside

T = TypeVar("T")
Share = tuple[int, int]
"""(rank, world): this process's number and how many there are. It takes the indices i with i % world == rank."""


class RowsError(ValueError):
    """Rows do not belong together: of another run, or of one picture twice. The message says what to do."""


@dataclass
class AnswerRow:
    """One question and how it was answered.

    Attributes:
        text: as the data set has it. query: what the model was asked, before the checkpoint's own template if the
            wording is "model". kind: the word its score is grouped by.
        target_pixels: of the truth, 0 where there is no target. found: the answer has at least one pixel.
        intersection, union: pixels of the answer with the truth, outside of what the protocol ignores.
        answer: the model's text. target_probability: its probability of [SEG].
        mask: the answer, bool [H,W] as `lisa_ros.evaluation.packed_mask.pack_mask` writes it; the union of all [SEG].
    """

    text: str
    query: str
    kind: str
    target_pixels: int
    found: bool
    intersection: int
    union: int
    answer: str
    target_probability: float
    mask: str


@dataclass
class ItemRow:
    """One picture with all its questions.

    index: its place in the evaluation set. name: its name there. seconds: of encoding it and asking everything.
    """

    index: int
    name: str
    seconds: float
    answers: list[AnswerRow] = field(default_factory=list)


def row_from_dict(values: Mapping[str, Any]) -> ItemRow:
    """The row that `dataclasses.asdict` made these values of. Raises KeyError or TypeError for others."""
    return ItemRow(**{**values, "answers": [AnswerRow(**answer) for answer in values["answers"]]})


def by_index(rows: Sequence[ItemRow]) -> dict[int, ItemRow]:
    """Rows by their index, ascending.

    Raises:
        RowsError: a picture is there twice; its score would count twice.
    """
    found: dict[int, ItemRow] = {}
    for row in rows:
        if row.index in found:
            raise RowsError(f"picture {row.index} ({row.name}) was scored twice; every picture may count once only")
        found[row.index] = row
    return dict(sorted(found.items()))


def own_file(path: Path, share: Share) -> Path:
    """The file that this process of a run writes to. path: that of a process alone."""
    rank, world = share
    return path if world == 1 else path.with_name(f"{path.stem}.{rank}-of-{world}{path.suffix}")


def all_files(path: Path) -> list[Path]:
    """The files of rows that are there of a run. path: that of a process alone."""
    parts = sorted(path.parent.glob(f"{path.stem}.*-of-*{path.suffix}"))
    return [path, *parts] if path.is_file() else parts


def read_rows(path: Path, settings: Mapping[str, Any]) -> dict[int, ItemRow]:
    """The finished rows of a run by index, of all its processes. path: the file of a process alone.

    Raises:
        RowsError: a file is of a run with other settings, damaged, or two hold the same picture.
    """
    return by_index([row for file in all_files(path) for row in _read_file(file, settings)])


def begin_file(path: Path, settings: Mapping[str, Any]) -> None:
    """Make `path` ready to be appended to: its settings and finished rows stay, a line cut off by an interruption goes.

    Raises:
        RowsError: as `read_rows`. OSError: it cannot be written.
    """
    rows = _read_file(path, settings) if path.is_file() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as file:
        file.write(json.dumps(settings).encode() + b"\n")
        for row in rows:
            file.write(_line(row))


def append_row(path: Path, row: ItemRow) -> None:
    """Add a finished row."""
    with path.open("ab") as file:
        file.write(_line(row))


def _line(row: ItemRow) -> bytes:
    return json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _read_file(path: Path, settings: Mapping[str, Any]) -> list[ItemRow]:
    lines = path.read_bytes().splitlines(keepends=True)
    there = _parsed(path, 1, lines[0] if lines else b"", dict)
    _refuse_others(path, there, settings)
    whole = [line for line in lines[1:] if line.endswith(b"\n")]  # one without its end was cut off by the interruption
    return [_parsed(path, number, line, row_from_dict) for number, line in enumerate(whole, start=2)]


def _parsed(path: Path, number: int, line: bytes, make: Callable[[Any], T]) -> T:
    try:
        return make(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise RowsError(
            f"{path}: line {number}: not written by an evaluation, or damaged: {error}; remove the file to begin anew"
        ) from error


def _refuse_others(path: Path, there: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    here = json.loads(json.dumps(settings))  # as it is read again: tuples are lists
    differ = [key for key in dict.fromkeys((*there, *here)) if there.get(key) != here.get(key)]
    if differ:
        said = ", ".join(f"{key} was {there.get(key)!r}, is {here.get(key)!r}" for key in differ)
        raise RowsError(
            f"{path}: holds rows of another run ({said}); give another folder, or remove the file to begin anew"
        )
