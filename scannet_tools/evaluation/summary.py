"""The figures of a run, made of its scenes' rows. Nothing here depends on the order in which the scenes were asked.

Every question on every frame falls into one of these: its target is in view (visible in at least `min_share` of the
picture: the answer's IoU counts, a refusal scores 0); it is out of view (no pixel, or the question is about what the
scene has not: refusing is right); or a sliver of it is in view, which counts nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lisa_ros.evaluation.metrics import Overlap, SegmentationScore
from scannet_tools.evaluation.rows import FrameAnswer, QuestionRow, SceneRow
from scannet_tools.scores.vertices import vertex_figures

KINDS = ("explicit", "relational", "use")
"""Kinds of question that have a target, in the order of the table; "absent" is the fourth kind."""

STAGES = ("encode", "ask", "lift")
"""Of an engine asked in this process, in the order of the table; a node has its round trip."""


SCENE = ("questions", "giou", "ciou", "vertex_iou", "precision", "recall")
"""Figures of one scene."""


def in_view(answers: Iterable[FrameAnswer], least_pixels: float) -> list[FrameAnswer]:
    """The answers on frames that show at least so many pixels (and one) of the target."""
    return [answer for answer in answers if answer.target_pixels >= max(least_pixels, 1)]


def out_of_view(answers: Iterable[FrameAnswer]) -> list[FrameAnswer]:
    """The answers on frames that show no pixel of the target."""
    return [answer for answer in answers if answer.target_pixels == 0]


def least_pixels(question: QuestionRow, settings: dict[str, Any]) -> float:
    """From how many pixels a target is in view, in the pictures of this question's scene."""
    return settings["min_share"] * question.picture_pixels


def iou(answer: FrameAnswer) -> float:
    """Of one answer with its target, by the rules of `lisa_ros.evaluation.metrics`."""
    return Overlap(answer.intersection, answer.union).iou


def summarise(rows: Sequence[SceneRow]) -> dict[str, Any]:
    """The figures of all rows.

    Keys: `scenes`, `frames`, `without_pose`, `without_truth` (counts), `failed` ({scene: why}), `kinds` (explicit,
    relational, use, others that occur, overall: see `_kind`), `absent` and `out_of_view` (`asked` answers, `refused`
    share; absent ones also `questions` and `empty` share: nothing on the mesh), `seconds` (by stage: p50, p95,
    count), `questions` (one entry each, see `question_figures`), `per_scene`. Shares and scores of nothing are None.
    """
    good = sorted((row for row in rows if not row.failure), key=lambda row: row.scene)
    asked = [(question, row) for row in good for question in row.questions]
    present = [(question, row) for question, row in asked if question.kind != "absent"]
    absent = [question for question, _ in asked if question.kind == "absent"]
    kinds = [*KINDS, *sorted({question.kind for question, _ in present} - set(KINDS))]
    hidden = [answer for question, _ in present for answer in out_of_view(question.answers)]
    absent_answers = [answer for question in absent for answer in question.answers]
    stages = [*STAGES, *sorted({stage for row in good for stage in row.seconds} - set(STAGES))]
    on_mesh = [question.vertices for question in absent if question.vertices is not None]
    return {
        "scenes": len(good),
        "frames": sum(row.frames for row in good),
        "without_pose": sum(row.without_pose for row in good),
        "without_truth": sum(row.without_truth for row in good),
        "failed": {row.scene: row.failure for row in sorted(rows, key=lambda row: row.scene) if row.failure},
        "kinds": {
            kind: _kind([pair for pair in present if kind in (pair[0].kind, "overall")]) for kind in (*kinds, "overall")
        },
        "absent": {
            "questions": len(absent),
            "asked": len(absent_answers),
            "refused": _share(not answer.found for answer in absent_answers),
            "empty": _share(vertices.predicted == 0 for vertices in on_mesh),
        },
        "out_of_view": {"asked": len(hidden), "refused": _share(not answer.found for answer in hidden)},
        "seconds": {stage: _spread([s for row in good for s in row.seconds.get(stage, [])]) for stage in stages},
        "questions": [question_figures(question, row) for question, row in asked],
        "per_scene": [_scene(row) for row in good],
    }


def question_figures(question: QuestionRow, row: SceneRow) -> dict[str, Any]:
    """One question: scene, question, kind, targets, `in_view` (frames), giou, ciou, refused, and on the mesh iou,
    precision, recall.

    What there is nothing to score of is None: pictures of a target that no frame shows, the mesh of an absent target.
    """
    seen = in_view(question.answers, least_pixels(question, row.settings))
    score = _score(seen)
    vertices = question.vertices if seen else None
    return {
        "scene": row.scene,
        "question": question.question,
        "kind": question.kind,
        "targets": list(question.targets),
        "in_view": len(seen),
        "giou": score.giou if seen else None,
        "ciou": score.ciou if seen else None,
        "refused": sum(not answer.found for answer in seen),
        "vertex_iou": None if vertices is None else vertices.iou,
        "precision": None if vertices is None else vertices.precision,
        "recall": None if vertices is None else vertices.recall,
    }


def _kind(pairs: Sequence[tuple[QuestionRow, SceneRow]]) -> dict[str, Any]:
    """questions, seen (questions whose target a frame shows), in_view (frames), giou, ciou, false_refusals; and over
    the seen
    ones: vertex_iou, precision, recall (means), acc25, acc50 (shares with vertex IoU of at least 0.25 and 0.5).
    """
    frames = [
        answer for question, row in pairs for answer in in_view(question.answers, least_pixels(question, row.settings))
    ]
    score = _score(frames)
    shown = [
        question.vertices for question, row in pairs if in_view(question.answers, least_pixels(question, row.settings))
    ]
    mesh = vertex_figures(vertices for vertices in shown if vertices is not None)
    return {
        "questions": len(pairs),
        "seen": len(shown),
        "in_view": len(frames),
        "giou": score.giou if frames else None,
        "ciou": score.ciou if frames else None,
        "false_refusals": _share(not answer.found for answer in frames),
        "vertex_iou": mesh.iou,
        "precision": mesh.precision,
        "recall": mesh.recall,
        "acc25": mesh.acc25,
        "acc50": mesh.acc50,
    }


def _scene(row: SceneRow) -> dict[str, Any]:
    overall = _kind([(question, row) for question in row.questions if question.kind != "absent"])
    return {
        "scene": row.scene,
        "frames": row.frames,
        **{name: overall[name] for name in SCENE},
    }


def _score(answers: Iterable[FrameAnswer]) -> SegmentationScore:
    score = SegmentationScore()
    for answer in answers:
        score.add(Overlap(answer.intersection, answer.union))
    return score


def _share(holds: Iterable[bool]) -> float | None:
    return _mean([float(one) for one in holds])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _spread(values: Sequence[float]) -> dict[str, float | int | None]:
    p50, p95 = (float(p) for p in np.percentile(values, (50, 95))) if values else (None, None)
    return {"p50": p50, "p95": p95, "count": len(values)}
