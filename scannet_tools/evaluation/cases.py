"""Which questions the report shows with pictures, and those pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lisa_ros.evaluation.packed_mask import unpack_mask
from lisa_ros.evaluation.page import pictures
from scannet_tools.evaluation.mesh_colors import vertex_colors
from scannet_tools.evaluation.mesh_view import MeshView, viewpoint
from scannet_tools.evaluation.rows import KeptFrame, QuestionRow, SceneRow
from scannet_tools.evaluation.summary import question_figures

SHOWN = 6
"""Cases of each group on the page."""


@dataclass
class Case:
    """A question and one of its frames. pictures: (name, RGB picture uint8 [h,w,3]) in the order of the page."""

    row: SceneRow
    question: QuestionRow
    kept: KeptFrame
    figures: dict[str, Any]
    pictures: list[tuple[str, np.ndarray]] = field(default_factory=list)


def choose(rows: Sequence[SceneRow]) -> dict[str, list[Case]]:
    """{"best", "worst", "false_alarms": cases}, each with at most `SHOWN`.

    Best and worst go by the vertex IoU, then by gIoU; a question is in one of them at most. False alarms are answers to
    absent targets, those on most pixels first.
    """
    present, absent = [], []
    for row in sorted(rows, key=lambda row: row.scene):
        for question in row.questions:
            figures = question_figures(question, row)
            if figures["in_view"] and question.best and question.worst:
                present.append((figures, question, row))
            elif question.kind == "absent" and question.worst:
                absent.append(Case(row, question, question.worst, figures))
    present.sort(key=lambda one: (-(one[0]["vertex_iou"] or 0.0), -one[0]["giou"], one[2].scene, one[1].question))
    half = min(SHOWN, -(-len(present) // 2))
    worst = present[max(half, len(present) - SHOWN) :][::-1]
    return {
        "best": [Case(row, question, question.best, figures) for figures, question, row in present[:half]],
        "worst": [Case(row, question, question.worst, figures) for figures, question, row in worst],
        "false_alarms": sorted(absent, key=lambda case: -max(answer.union for answer in case.question.answers))[:SHOWN],
    }


def add_pictures(cases: Sequence[Case], open_scene: Callable[[str], Any]) -> None:
    """Read the frames and meshes of these cases and make their pictures, scene by scene.

    open_scene: the `scannet_tools.scene.Scene` of a name. Raises OSError or ValueError when a scene cannot be read any
    more.
    """
    for name in sorted({case.row.scene for case in cases}):
        scene = open_scene(name)
        mesh = scene.mesh()
        annotation = scene.annotation()
        view = MeshView(mesh.vertices, mesh.faces)
        with scene.open_sens() as sens:
            for case in cases:
                if case.row.scene == name:
                    frame = sens.frame(case.kept.frame)
                    case.pictures = _pictures(case, frame.color(), frame.camera_to_world, mesh, annotation, view)


def _pictures(
    case: Case, color: np.ndarray, camera_to_world: np.ndarray, mesh: Any, annotation: Any, view: MeshView
) -> list[tuple[str, np.ndarray]]:
    small = pictures.shrink(color)
    answer, target = (pictures.shrink(unpack_mask(text)) for text in (case.kept.answer, case.kept.target))
    shown = [("frame", small)]
    if case.question.targets:
        shown.append(("target", pictures.target_picture(small, target)))
    shown.append(("answer", pictures.answer_picture(small, answer, target)))
    if case.question.vertices_answer:
        predicted = unpack_mask(case.question.vertices_answer)[0]
        wanted = annotation.vertices_of(case.question.targets)
        around = predicted | wanted
        if case.question.targets and wanted.any():
            around = wanted  # a wrong answer all over the room must not make the target a dot
        points = mesh.vertices[around] if around.any() else mesh.vertices
        colors = vertex_colors(mesh.colors, predicted, wanted)
        shown.append(("mesh", view.picture(colors, viewpoint(points, camera_to_world[:3, 2]))))
    return shown
