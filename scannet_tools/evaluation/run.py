"""The course of a run: this process's scenes one after the other; who finds all of them done makes the report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lisa_ros.geometry import Frame
from scannet_tools.evaluation.part import Part
from scannet_tools.evaluation.report import write_results
from scannet_tools.evaluation.rows import SceneRow, read_row, write_row
from scannet_tools.evaluation.scene import Answers, ask_scene
from scannet_tools.evaluation.settings import Settings
from scannet_tools.questions import SceneQuestion
from scannet_tools.scene import Scene


@dataclass(frozen=True)
class Run:
    """What to ask, whom, and where the results go.

    questions_of, frames_of: the questions about a scene, and its frames (see `scene.scan_frames`). digest: a short text
    that changes with a scene's files. open_answers: called once, before the first question, and not at all when every
    row is there already.
    """

    out: Path
    scenes: Sequence[Scene]
    settings: Settings
    questions_of: Callable[[Scene], Sequence[SceneQuestion]]
    frames_of: Callable[[Scene], Iterable[tuple[int, Frame]]]
    digest: Callable[[Path], str]
    open_answers: Callable[[], Answers]

    def ask(self, part: Part, say: Callable[[str], None] = print) -> int:
        """Make the rows of this process's scenes that are not there yet, and return how many were made.

        A scene that cannot be asked about gets a row that says why; a later run tries it again.

        Raises:
            OSError: a row cannot be written.
        """
        answers, made = None, 0
        for scene in part.of(self.scenes):
            try:
                questions, digest = self._inputs(scene)
            except (OSError, ValueError) as error:
                self._fail(scene, "", error, say)
                continue
            done = read_row(self.out, scene.name)
            if done is not None and done.settings == self.settings.of_scene(digest) and not done.failure:
                continue
            answers = answers or self.open_answers()
            try:
                row = ask_scene(scene, questions, self.frames_of(scene), answers, self.settings, digest)
            except (OSError, ValueError) as error:
                self._fail(scene, digest, error, say)
                continue
            write_row(self.out, row)
            made += 1
        return made

    def rows(self) -> list[SceneRow] | None:
        """The rows of all scenes, failed ones too, in the order of their names; None while one is missing."""
        rows = []
        for scene in self.scenes:
            row = read_row(self.out, scene.name)
            if row is None or not self._is_current(row):
                return None
            rows.append(row)
        return rows

    def report(self, rows: Sequence[SceneRow], about: Mapping[str, Any], *, node: str = "") -> dict[str, Any]:
        """Write scores.json and report.html; see `report.write_results`."""
        by_name = {scene.name: scene for scene in self.scenes}
        return write_results(self.out, rows, about, by_name.__getitem__, node=node)

    def _inputs(self, scene: Scene) -> tuple[Sequence[SceneQuestion], str]:
        """The questions about a scene, and a digest of all that its numbers depend on besides the settings."""
        questions = self.questions_of(scene)
        if not questions:
            raise ValueError(f"{scene.folder}: there is no question about this scene; give some with --questions FILE")
        seen = hashlib.sha256(self.digest(scene.folder).encode())
        seen.update(repr(list(questions)).encode())
        return questions, seen.hexdigest()[:16]

    def _is_current(self, row: SceneRow) -> bool:
        return row.settings == self.settings.of_scene(row.settings.get("scene_digest", ""))

    def _fail(self, scene: Scene, digest: str, error: Exception, say: Callable[[str], None]) -> None:
        say(f"{scene.name}: left out: {error}")
        write_row(self.out, SceneRow(scene.name, self.settings.of_scene(digest), failure=str(error)))
