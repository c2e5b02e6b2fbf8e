"""scores.json and report.html of a run: the page is one file that needs neither network nor neighbours."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.evaluation.page import PAGE_CSS, plots
from lisa_ros.evaluation.page.markup import count, escape, facts, figure, legend, score, table
from scannet_tools.aside import written_aside
from scannet_tools.evaluation.cases import Case, add_pictures, choose
from scannet_tools.evaluation.rows import SceneRow
from scannet_tools.evaluation.summary import in_view, iou, summarise

HERE = Path(__file__).parent
SCORES, REPORT = "scores.json", "report.html"
GROUPS = {
    "worst": ("Worst answers", "The questions with the lowest vertex IoU, each on the frame where its mask is worst."),
    "best": ("Best answers", "The questions with the highest vertex IoU, each on the frame where its mask is best."),
    "false_alarms": (
        "False alarms",
        "Questions about what the scene has not, each on the frame with the largest answer.",
    ),
}
DEFINITIONS = (
    "gIoU: mean IoU of the masks; cIoU: summed intersections over summed unions; both over frames in which at least "
    "{percent:g} % of the picture is the target, where a refusal scores 0. On the mesh: the points of all frames, "
    "fused by votes, against all vertices of the target, for questions whose target some frame shows; Acc: share of "
    "them with at least that vertex IoU."
)
SIZES = (0.0, 0.01, 0.03, 0.1, 1.01)
"""Bounds of the groups of targets by their share of the picture."""


def write_results(
    out: Path, rows: Sequence[SceneRow], about: Mapping[str, Any], open_scene: Callable[[str], Any], *, node: str = ""
) -> dict[str, Any]:
    """Write DIR/scores.json and DIR/report.html and return the figures.

    about: facts about the run, for both files. open_scene: the Scene of a name, for the pictures. node: a section of
    the page about a run through the node, as HTML.

    Raises:
        OSError, ValueError: a file cannot be written, or a scene not be read.
    """
    figures = summarise(rows)
    cases = choose([row for row in rows if not row.failure])
    add_pictures([case for group in cases.values() for case in group], open_scene)
    with written_aside(out / REPORT) as file:
        file.write(page(rows, figures, cases, about, node).encode())
    with written_aside(out / SCORES) as file:
        file.write(json.dumps({**about, **figures}, indent=1, ensure_ascii=False).encode() + b"\n")
    return figures


def page(
    rows: Sequence[SceneRow],
    figures: Mapping[str, Any],
    cases: Mapping[str, Sequence[Case]],
    about: Mapping[str, Any],
    node: str = "",
) -> str:
    """The page as text. Arguments as in `write_results`; figures: of `summarise`; cases: with their pictures."""
    template = string.Template((HERE / "report.html").read_text(encoding="utf-8"))
    good = [row for row in rows if not row.failure]
    percent = 100 * good[0].settings["min_share"] if good else 0.0
    return template.substitute(
        title=f"Questions about {count(figures['scenes'], 'scene')}",
        lead=escape(_lead(figures)),
        facts=facts(_facts(figures, about)),
        failed=_failed(figures["failed"]),
        kinds=_kinds(figures),
        definitions=escape(DEFINITIONS.format(percent=percent)),
        refusals=_refusals(figures),
        node=node,
        plots="".join(plot.markup for plot in _plots(good, figures)),
        cases="".join(_group(name, cases[name]) for name in GROUPS if cases[name]),
        scenes=_scenes(figures),
        css=PAGE_CSS.read_text(encoding="utf-8"),
    )


def _lead(figures: Mapping[str, Any]) -> str:
    overall, absent = figures["kinds"]["overall"], figures["absent"]
    asked = overall["questions"] + absent["questions"]
    parts = [f"{count(asked, 'question')} on {count(figures['frames'], 'frame')}."]
    if overall["in_view"]:
        parts.append(f"Masks of targets in view: gIoU {score(overall['giou'])}, cIoU {score(overall['ciou'])}.")
    if overall["seen"]:
        parts.append(f"On the mesh: vertex IoU {score(overall['vertex_iou'])}, Acc@0.5 {score(overall['acc50'])}.")
    if absent["refused"] is not None:
        parts.append(f"{100 * absent['refused']:.0f} % of the answers about absent targets are refusals.")
    return " ".join(parts)


def _facts(figures: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    names = ("without_pose", "without_truth")
    return {**about, **{f"frames {name.replace('_', ' ')}, left out": figures[name] or None for name in names}}


def _failed(failed: Mapping[str, str]) -> str:
    if not failed:
        return ""
    items = "".join(f"<li>{escape(scene)}: {escape(reason)}</li>" for scene, reason in failed.items())
    return f'<div class="failed"><strong>{count(len(failed), "scene")} left out:</strong><ul>{items}</ul></div>'


def _kinds(figures: Mapping[str, Any]) -> str:
    headers = (
        "kind",
        "questions",
        "frames in view",
        "gIoU",
        "cIoU",
        "false refusals",
        "vertex IoU",
        "precision",
        "recall",
        "Acc@0.25",
        "Acc@0.5",
    )
    names = ("giou", "ciou", "false_refusals", "vertex_iou", "precision", "recall", "acc25", "acc50")
    rows = [
        (
            kind,
            f"{values['seen']} of {values['questions']} seen",
            values["in_view"],
            *(score(values[name]) for name in names),
        )
        for kind, values in figures["kinds"].items()
    ]
    return table(headers, rows, classes=["overall" if row[0] == "overall" else "" for row in rows])


def _refusals(figures: Mapping[str, Any]) -> str:
    absent, hidden = figures["absent"], figures["out_of_view"]
    rows = [
        ("the scene has no such thing", absent["asked"], score(absent["refused"]), score(absent["empty"])),
        ("the target is elsewhere in the scene", hidden["asked"], score(hidden["refused"]), "–"),
    ]
    headers = ("refusing is right, since", "answers", "refused", "nothing on the mesh")
    return f'<div class="spaced">{table(headers, rows)}</div>'


def _plots(rows: Sequence[SceneRow], figures: Mapping[str, Any]) -> list[plots.Plot]:
    made = []
    kinds = [kind for kind, values in figures["kinds"].items() if values["in_view"]]
    if kinds:
        series = {
            name: [figures["kinds"][kind][key] for kind in kinds]
            for name, key in (("gIoU", "giou"), ("vertex IoU", "vertex_iou"))
        }
        made.append(
            plots.bars(
                "Masks and mesh by kind", "Mean IoU of the masks, and of the fused answers on the mesh.", kinds, series
            )
        )
    answers = [
        (answer, question) for row in rows for question in row.questions if question.targets
        for answer in in_view(question.answers, row.settings["min_share"] * question.picture_pixels)
    ]  # fmt: skip
    on_mesh = [one["vertex_iou"] for one in figures["questions"] if one["vertex_iou"] is not None]
    if answers and on_mesh:
        thresholds = [step / 40 for step in range(41)]
        series = {
            "masks": _at_least([iou(answer) for answer, _ in answers], thresholds),
            "mesh": _at_least(on_mesh, thresholds),
        }
        said = "Share of masks, and of questions on the mesh, whose IoU is at least the threshold."
        made.append(plots.lines("How many reach which IoU", said, "IoU threshold", thresholds, series))
    if answers:
        made.append(_by_size(answers))
    seconds = figures["seconds"]
    timed = [stage for stage, spread in seconds.items() if spread["count"]]
    if timed:
        values = {p: [1000 * seconds[stage][p] for stage in timed] for p in ("p50", "p95")}
        said = (
            "Milliseconds of encoding a frame, of asking all its questions at once, and of lifting one answer: "
            "median and 95th percentile."
        )
        made.append(plots.ranges("Latency", said, "ms", timed, values))
    return made


def _by_size(answers: Sequence[tuple[Any, Any]]) -> plots.Plot:
    groups, means = [], []
    for low, high in zip(SIZES, SIZES[1:]):
        chosen = [
            iou(answer) for answer, question in answers if low <= answer.target_pixels / question.picture_pixels < high
        ]
        name = (
            f"< {100 * high:g} %"
            if low == 0
            else f"> {100 * low:g} %"
            if high > 1
            else f"{100 * low:g}–{100 * high:g} %"
        )
        groups.append(f"{name} ({len(chosen)})")
        means.append(float(np.mean(chosen)) if chosen else None)
    said = "Mean IoU of the masks by the target's share of the picture; in brackets how many masks."
    return plots.bars("Masks by size of the target", said, groups, {"gIoU": means})


def _at_least(values: Sequence[float], thresholds: Sequence[float]) -> list[float]:
    # metrics.Overlap divides by the union + 1e-5, so that a perfect mask is just below 1
    return [float(np.mean(np.asarray(values) >= threshold - 1e-4)) for threshold in thresholds]


def _group(name: str, cases: Sequence[Case]) -> str:
    title, said = GROUPS[name]
    colors = legend({kind: kind for kind in ("right", "missing", "wrong")})
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2><p class="small">{said}</p>'
        f"{colors}{''.join(_case(case) for case in cases)}</section>"
    )


def _case(case: Case) -> str:
    figures, question = case.figures, case.question
    if question.targets:
        frames = count(figures["in_view"], "frame")
        said = f"mask IoU {case.kept.iou:.2f} here, gIoU {score(figures['giou'])} on {frames}, "
        said += f"vertex IoU {score(figures['vertex_iou'])}"
    else:
        alarms = sum(answer.found for answer in question.answers)
        said = f"answered on {alarms} of {count(len(question.answers), 'frame')}"
    views = "".join(figure(image, name, _described(name, case)) for name, image in case.pictures)
    return (
        f'<article class="case"><h3>{escape(question.question)}</h3>'
        f"<p>{escape(question.kind)}; {escape(case.row.scene)}, frame {case.kept.frame}; {escape(said)}</p>"
        f'<div class="views">{views}</div></article>'
    )


def _described(name: str, case: Case) -> str:
    where = f"{case.row.scene}, frame {case.kept.frame}"
    return {
        "frame": f"Colour picture of {where}",
        "target": f"Target of “{case.question.question}” in {where}",
        "answer": f"Answer to “{case.question.question}” in {where}: right, missing and wrong pixels",
        "mesh": f"Fused answer to “{case.question.question}” on the mesh of {case.row.scene}",
    }[name]


def _scenes(figures: Mapping[str, Any]) -> str:
    per_scene = figures["per_scene"]
    rows = [
        (
            one["scene"],
            one["frames"],
            one["questions"],
            *(score(one[name]) for name in ("giou", "ciou", "vertex_iou", "precision", "recall")),
        )
        for one in per_scene
    ]
    made = table(
        ("scene", "frames", "questions with a target", "gIoU", "cIoU", "vertex IoU", "precision", "recall"), rows
    )
    questions = table(
        ("question", "scene", "kind", "frames in view", "gIoU", "vertex IoU"),
        [
            (one["question"], one["scene"], one["kind"], one["in_view"], score(one["giou"]), score(one["vertex_iou"]))
            for one in figures["questions"]
        ],
        text_columns=3,
    )
    opened = " open" if len(rows) <= 20 else ""
    return (
        f"<details{opened}><summary>{count(len(rows), 'scene')}</summary>"
        '<div class="wide" tabindex="0" role="region" aria-label="Scenes">'
        f"{made}</div></details><details><summary>{count(len(figures['questions']), 'question')}</summary>"
        f'<div class="wide" tabindex="0" role="region" aria-label="Questions">{questions}</div></details>'
    )
