"""Questions about held-out synthetic scenes as people would say them to a robot, written by hand.

`handwritten.jsonl` was written by the project's engineers, question by question and without templates, while they
looked at the pictures of 40 frames of the split "test" (640x480). It tells what a model makes of wordings that no
generator knows. Truth is by instance id of `scannet_tools.synthetic.make_frame(seed, split="test")`; every target
covers at least 0.3 % of its picture, and nothing that answers a question with the kind "absent" is in its picture.

A line is one question: ``{"seed", "text", "kind", "targets": [instance ids], "named": ["red mug", ...]}``, with the
colour and kind of each target in ``named``; both lists are empty when the kind is "absent".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scannet_tools.synthetic.questions import Question, sentence

LIST = Path(__file__).with_name("handwritten.jsonl")
KINDS = ("explicit", "relational", "comparison", "several", "use", "absent")
_KEYS = ("seed", "text", "kind", "targets", "named")


class QuestionListError(ValueError):
    """A list of questions cannot be used; the message says which file and line, and why."""


def questions(path: Path = LIST) -> dict[int, list[Question]]:
    """Seed -> questions about that frame of the split "test", in the order of the list.

    The answer of a question names its targets in a sentence, as the generator's answers do; it is empty when the kind
    is "absent".

    Raises:
        QuestionListError: the file cannot be read, or a line is no question.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionListError(f"{path} cannot be read: {error}") from error
    found: dict[int, list[Question]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            seed, question = _question(json.loads(line))
        except ValueError as error:
            raise QuestionListError(f"{path}, line {number}: {error}") from error
        found.setdefault(seed, []).append(question)
    return found


def _question(row: Any) -> tuple[int, Question]:
    """(seed, question) of a parsed line. Raises ValueError that says what is wrong with it."""
    if not isinstance(row, dict) or set(row) != set(_KEYS):
        raise ValueError(f"a question is an object with the keys {', '.join(_KEYS)} and no others")
    seed, text, kind, targets, named = (row[key] for key in _KEYS)
    if not _is_whole(seed) or seed < 0:
        raise ValueError(f"seed is {seed!r}: it must be a whole number, 0 or more")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"text is {text!r}: it must be a sentence")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: choose from {', '.join(KINDS)}")
    if not isinstance(targets, list) or not all(_is_whole(target) and target > 0 for target in targets):
        raise ValueError(f"targets is {targets!r}: it must be a list of instance ids, 1 or more each")
    if len(set(targets)) != len(targets):
        raise ValueError(f"targets is {targets!r}: an instance id stands there twice")
    if not isinstance(named, list) or not all(isinstance(name, str) and name.strip() for name in named):
        raise ValueError(f'named is {named!r}: it must be a list of names such as "red mug"')
    if len(named) != len(targets):
        raise ValueError(f"{len(targets)} targets but {len(named)} named: each target has one name")
    if (kind == "absent") == bool(targets):
        raise ValueError(f'kind is "{kind}" with {len(targets)} targets: "absent" has none, every other kind some')
    return seed, Question(text, kind, tuple(targets), sentence([f"the {name}" for name in named]) if named else "")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
