"""Questions about a scan, with the objects that are the answer.

A questions file is UTF-8 JSON lines, one question each; empty lines are skipped, other keys are left alone:

    {"scene": "scene0000_00", "question": "the chair nearest to the window", "targets": [12], "kind": "relational"}

targets: object ids as in `Annotation` (ScanNet's objectId + 1), none for what the scene has not. kind: "explicit" (by
name), "relational" (by where it is or how large), "use" (by what it is for) or "absent" (there is no such thing).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scannet_tools.annotation import Annotation
from scannet_tools.aside import written_aside
from scannet_tools.label_map import LabelMap
from scannet_tools.mesh import Mesh

KINDS = ("explicit", "relational", "use", "absent")


@dataclass(frozen=True)
class SceneQuestion:
    """One question; see the file's form above.

    Raises:
        ValueError: a field is of another type, an id is no whole number from 1 to 65535 or is there twice, the kind is
            none of `KINDS`, or the kind and the targets contradict each other.
    """

    scene: str
    question: str
    targets: tuple[int, ...]
    kind: str

    def __post_init__(self) -> None:
        for name in ("scene", "question"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"'{name}' must be a text that is not empty, got {value!r}")
        if self.kind not in KINDS:
            raise ValueError(f"'kind' must be one of {', '.join(KINDS)}, got {self.kind!r}")
        wrong = [one for one in self.targets if type(one) is not int or not 0 < one < 1 << 16]
        if wrong or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"'targets' must be different object ids from 1 to 65535, got {list(self.targets)}")
        if (self.kind == "absent") != (not self.targets):
            raise ValueError(
                f"a question of kind '{self.kind}' has {'no ' if not self.targets else ''}targets: "
                "those of kind 'absent' have none, and all others at least one"
            )


def read_questions(path: str | Path) -> list[SceneQuestion]:
    """Read a questions file, in its order.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        ValueError: a line is no question, or there is none; names the file and the line.
    """
    path = Path(path)
    questions = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            questions.append(_question(json.loads(line)))
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or not of the form
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not questions:
        raise ValueError(f'{path}: no question in it; write lines of {{"scene", "question", "targets", "kind"}}')
    return questions


def _question(values: Any) -> SceneQuestion:
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, got {type(values).__name__}")
    missing = [name for name in ("scene", "question", "targets", "kind") if name not in values]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    if not isinstance(values["targets"], list):
        raise ValueError(f"'targets' must be a list of object ids, got {values['targets']!r}")
    return SceneQuestion(values["scene"], values["question"], tuple(values["targets"]), values["kind"])


def write_questions(path: str | Path, questions: Iterable[SceneQuestion]) -> None:
    """Write a questions file. It appears whole or not at all.

    Raises:
        OSError: it cannot be written; names the file.
    """
    lines = [json.dumps(asdict(question), ensure_ascii=False) + "\n" for question in questions]
    with written_aside(path) as file:
        file.write("".join(lines).encode())


def make_questions(
    scene_name: str, mesh: Mesh, annotation: Annotation, label_map: LabelMap, seed: int
) -> list[SceneQuestion]:
    """Make questions about an annotated scan: some of each kind, as far as its objects give any.

    Only what the annotation leaves no doubt about is asked; see `scannet_tools.asking`. The same arguments give the
    same questions.

    Raises:
        ValueError: the annotation is of another mesh.
    """
    from scannet_tools.asking.asker import ask_about_scan  # SciPy and OpenCV, which reading does not need

    return ask_about_scan(scene_name, mesh.vertices, annotation, label_map, seed)
