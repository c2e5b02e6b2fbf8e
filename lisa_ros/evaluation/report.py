"""What an evaluation leaves in its folder: scores.json, samples.json, and report.html, a page that needs neither
network nor neighbours.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.datasets.example import EvaluationSet
from lisa_ros.evaluation.cases import Case, add_pictures, choose
from lisa_ros.evaluation.page import PAGE_CSS, plots
from lisa_ros.evaluation.page.markup import count, escape, facts, figure, legend, score, table
from lisa_ros.evaluation.paper_rows import SOURCE, PaperTable, paper_table
from lisa_ros.evaluation.protocol import STATED
from lisa_ros.evaluation.rows import AnswerRow, ItemRow, by_index
from lisa_ros.evaluation.summary import Score, Summary, iou, summarise_rows
from scannet_tools.aside import written_aside

TEMPLATE = Path(__file__).parent / "report.html"
SCORES, SAMPLES, REPORT = "scores.json", "samples.json", "report.html"
GROUPS = {
    "worst": ("Worst answers", "Lowest IoU; among equal ones, the larger targets."),
    "best": ("Best answers", "Highest IoU; among equal ones, the larger targets."),
    "false_alarms": ("False alarms", "The largest answers to questions that have no target in the picture."),
}
COLORS = {"right": "right", "missing": "missing", "wrong": "wrong", "ignored": "ignored: in no score"}
DEFINITIONS = (
    "gIoU: mean IoU over questions. cIoU: summed intersections over summed unions. Both as the published LISA code "
    "computes them; an empty answer to a question without a target scores 1, and an empty answer to any other scores 0."
)
SIZES = (0.0, 0.01, 0.05, 0.1, 0.25, 1.01)
"""Bounds of the groups of targets by their share of the picture."""


def write_results(
    folder: Path, rows: Sequence[ItemRow], evaluation_set: EvaluationSet, about: Mapping[str, Any]
) -> Summary:
    """Write scores.json, samples.json and report.html into `folder`, and return the figures.

    about: settings of the run (see `run.run_settings`), stated in all three files.

    Raises:
        OSError: a file cannot be written. DatasetError: a picture for the page cannot be read any more.
        RowsError, ValueError: as `summarise_rows`.
    """
    rows = list(by_index(rows).values())
    summary = summarise_rows(rows)
    cases = choose(rows)
    add_pictures([case for group in cases.values() for case in group], evaluation_set, about["protocol"])
    paper = paper_table(evaluation_set.name, evaluation_set.split)
    stated = {**about, "protocol_means": STATED[about["protocol"]]}
    scores = {**stated, **summary.as_dict(), "paper": paper and paper.as_dict()}
    _write(folder / SCORES, json.dumps(scores, indent=1, ensure_ascii=False))
    _write(folder / SAMPLES, json.dumps({**stated, "samples": [_sample(row) for row in rows]}, ensure_ascii=False))
    _write(folder / REPORT, page(rows, summary, cases, about, paper))
    return summary


def page(
    rows: Sequence[ItemRow],
    summary: Summary,
    cases: Mapping[str, Sequence[Case]],
    about: Mapping[str, Any],
    paper: PaperTable | None,
) -> str:
    """The page as text. cases: with their pictures."""
    answers = [answer for row in rows for answer in row.answers]
    template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{about['set']} {about['split']}: {about['model']}"),
        lead=escape(
            f"{count(summary.n, 'question')} about {count(summary.pictures, 'picture')}: "
            f"gIoU {score(summary.giou)}, cIoU {score(summary.ciou)}. {STATED[about['protocol']]}."
        ),
        facts=facts(
            {name.replace("_", " "): value for name, value in about.items()}
            | {"seconds per picture": f"{summary.seconds:.2f}"}
        ),
        kinds=_kinds(by_kind(summary, about["split"])),
        definitions=escape(DEFINITIONS),
        refusals=_refusals(summary),
        paper="" if paper is None else _paper(paper, summary, about),
        plots="".join(plot.markup for plot in _plots(answers, by_kind(summary, about["split"]))),
        cases="".join(_group(name, cases[name], about["mode"]) for name in GROUPS if cases[name]),
        css=PAGE_CSS.read_text(encoding="utf-8"),
    )


def by_kind(summary: Summary, split: str) -> dict[str, Score]:
    """The kinds' scores, and "overall" as the last. A set without kinds of its own calls all by the split's name: they
    are left out.
    """
    kinds = summary.by_kind if set(summary.by_kind) != {split} else {}
    return {**kinds, "overall": Score(summary.giou, summary.ciou, summary.n)}


def _write(path: Path, text: str) -> None:
    with written_aside(path) as file:
        file.write(text.encode() + b"\n")


def _sample(row: ItemRow) -> dict[str, Any]:
    """A row for people and programs: with IoUs, without the masks (those stay in the files of rows)."""
    answers = [{**asdict(answer), "iou": iou(answer)} for answer in row.answers]
    for answer in answers:
        del answer["mask"]
    return {**asdict(row), "answers": answers}


def _kinds(scores: Mapping[str, Score]) -> str:
    rows = [(kind, one.n, score(one.giou), score(one.ciou)) for kind, one in scores.items()]
    classes = ["overall" if kind == "overall" else "" for kind in scores]
    return table(("kind", "questions", "gIoU", "cIoU"), rows, classes=classes)


def _refusals(summary: Summary) -> str:
    if not summary.no_target_n:
        return ""
    rows = [
        ("no target: the answer is empty (N-acc)", summary.no_target_n, score(summary.no_target_accuracy)),
        ("a target: the answer is not empty (T-acc)", summary.n - summary.no_target_n, score(summary.target_accuracy)),
    ]
    return f'<div class="wide spaced">{table(("questions with", "questions", "share"), rows)}</div>'


def _paper(paper: PaperTable, summary: Summary, about: Mapping[str, Any]) -> str:
    scores = by_kind(summary, about["split"])
    ours = [getattr(scores[kind], name) if kind in scores else None for kind, name in paper.columns]
    rows = [
        (f"{about['model']} (measured here)", *(_percent(None if one is None else 100 * one) for one in ours)),
        *((method, *map(_percent, figures)) for method, figures in paper.rows),
    ]
    named = {"giou": "gIoU", "ciou": "cIoU"}
    headers = ("method", *(f"{kind} {named[name]}" for kind, name in paper.columns))
    said = (
        f"The first row was measured here. All others are the paper's figures, in percent ({SOURCE}, {paper.name}); "
        f"nobody measured them here. {' '.join([paper.note, *_differences(paper, about, summary)])}"
    )
    return (
        '<section aria-labelledby="paper"><h2 id="paper">Beside the paper</h2>'
        f'<div class="wide" tabindex="0" role="region" aria-labelledby="paper">{table(headers, rows, classes=["ours"])}'
        f'</div><p class="small">{escape(said)}</p></section>'
    )


def _differences(paper: PaperTable, about: Mapping[str, Any], summary: Summary) -> list[str]:
    """Why our row may not be compared with the paper's."""
    said = []
    if about["protocol"] != "lisa":
        said.append("The paper's figures follow LISA's protocol, ours do not: they must not be compared.")
    if about["mode"] != "mask":
        said.append("The paper's figures are of forced answers (mask mode), ours of written ones.")
    if about["wording"] != "lisa":
        said.append("The paper's questions are worded otherwise than ours.")
    if about["pictures_in_set"] != paper.pictures:
        said.append(
            f"The split of the paper has {count(paper.pictures, 'picture')}, the one in this folder "
            f"{about['pictures_in_set']:,}: it is not the same one, and the figures must not be compared."
        )
    if summary.pictures < about["pictures_in_set"]:
        said.append(f"Ours are of {summary.pictures} of the {count(about['pictures_in_set'], 'picture')} only.")
    return said


def _plots(answers: Sequence[AnswerRow], scores: Mapping[str, Score]) -> list[plots.Plot]:
    series = {"gIoU": [one.giou for one in scores.values()], "cIoU": [one.ciou for one in scores.values()]}
    made = [plots.bars("Scores by kind", "gIoU and cIoU.", [f"{k} ({one.n})" for k, one in scores.items()], series)]
    present = [answer for answer in answers if answer.target_pixels]
    if not present:
        return made
    ious = np.array([iou(answer) for answer in present])
    shares = np.histogram(ious, bins=10, range=(0, 1))[0] / len(ious)
    bins = [f"{low / 10:g}" for low in range(10)]
    said = "Share of questions with a target by their IoU: from the number below a bar to the next."
    made.append(plots.bars("How IoUs are spread", said, bins, {"share of questions": shares.tolist()}))
    thresholds = [step / 40 for step in range(41)]
    # metrics.Overlap divides by the union + 1e-5, so that a perfect mask is just below 1
    reached = [float(np.mean(ious >= threshold - 1e-4)) for threshold in thresholds]
    said = "Share of questions with a target whose IoU is at least the threshold."
    made.append(plots.lines("How many reach which IoU", said, "IoU threshold", thresholds, {"questions": reached}))
    return [*made, _by_size(present, ious)]


def _by_size(present: Sequence[AnswerRow], ious: np.ndarray) -> plots.Plot:
    sizes = np.array([answer.target_pixels / _pixels(answer) for answer in present])
    groups, means = [], []
    for low, high in zip(SIZES, SIZES[1:]):
        inside = (low <= sizes) & (sizes < high)
        name = (
            f"< {100 * high:g} %"
            if low == 0
            else f"{100 * low:g} %+"
            if high > 1
            else f"{100 * low:g}–{100 * high:g} %"
        )
        groups.append(f"{name} ({inside.sum()})")
        means.append(float(ious[inside].mean()) if inside.any() else None)
    said = "Mean IoU by the target's share of the picture; in brackets how many questions."
    return plots.bars("IoU by size of the target", said, groups, {"gIoU": means})


def _pixels(answer: AnswerRow) -> int:
    height, width = answer.mask.partition(":")[0].split(",")
    return int(height) * int(width)


def _group(name: str, cases: Sequence[Case], mode: str) -> str:
    title, said = GROUPS[name]
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2><p class="small">{said}</p>'
        f"{legend(COLORS)}{''.join(_case(case, mode) for case in cases)}</section>"
    )


def _case(case: Case, mode: str) -> str:
    answer = case.answer
    said = [answer.kind, case.row.name]
    said.append(f"IoU {iou(answer):.3f}" if answer.target_pixels else f"{count(answer.union, 'pixel')} answered")
    said.append(f"p([SEG]) {answer.target_probability:.3f}")
    if not answer.found:
        said.append("the answer is empty")
    if mode == "chat":
        said.append(f"the model said: {answer.answer or 'nothing'}")
    views = "".join(
        figure(image, name, f"{name} of “{answer.text}” in {case.row.name}") for name, image in case.pictures
    )
    return (
        f'<article class="case"><h3>{escape(answer.text)}</h3><p>{escape("; ".join(said))}</p>'
        f'<div class="views three">{views}</div></article>'
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
