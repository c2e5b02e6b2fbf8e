"""The page of an evaluation on synthetic scenes: one file that needs neither network nor neighbours."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lisa_ros.evaluation.goals import goals
from lisa_ros.evaluation.page import PAGE_CSS, plots
from lisa_ros.evaluation.page.markup import count, escape, facts, figure, legend, score, table
from lisa_ros.evaluation.synthetic_cases import Case, add_pictures, choose
from lisa_ros.evaluation.synthetic_rows import FrameRow

TEMPLATE = Path(__file__).parent / "report.html"
GROUPS = {
    "best": ("Best answers", "Highest IoU; among equal ones, those with most pixels."),
    "median": ("Median answers", "In the middle of all questions with a target by IoU."),
    "worst": ("Worst answers", "Lowest IoU (a refusal has 0); among equal ones, those with most pixels."),
}
COLORS = {"right": "right", "missing": "missing", "wrong": "wrong"}
DEFINITIONS = (
    "gIoU: mean IoU over questions; cIoU: summed intersections over summed unions; a refused target scores 0. Largest object "
    "(the one with most pixels) and best constant (one mask for all questions, an oracle) see the truth and read no question."
)
BLIND = " Blind: the same towers asked the same sentence for every question, with nothing refused."


def synthetic_page(report: Mapping[str, Any], rows: Sequence[FrameRow], frame_of: Callable[[int], Any]) -> str:
    """The page as text.

    :param report: as `lisa eval synthetic --json` writes it. :param rows: behind it.
    :param frame_of: seed -> frame: those of the cases shown are drawn again.
    """
    cases = choose(rows)
    add_pictures([case for group in cases.values() for case in group], frame_of)
    overall = report["kinds"]["overall"]
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{report['model']}: {report['questions']} questions, {report['split']} split"),
        lead=escape(
            f"{count(report['present_n'] + report['absent_n'], 'question')} about {count(report['count'], 'frame')}: "
            f"gIoU {score(overall['giou'])}, cIoU {score(overall['ciou'])}."
        ),
        facts=facts(_facts(report)),
        kinds=_kinds(report),
        definitions=escape(DEFINITIONS + (BLIND if "blind" in report else "")),
        refusals=_refusals(report) + _answers(report),
        paper=_goals(report),
        plots=_reliability(report["calibration"]).markup,
        cases="".join(_group(name, cases[name]) for name in GROUPS if cases[name]),
        css=PAGE_CSS.read_text(encoding="utf-8"),
    )


def _facts(report: Mapping[str, Any]) -> dict[str, object]:
    shown = (
        "model",
        "engine_digest",
        "device",
        "dtype",
        "min_target_probability",
        "mode",
        "questions",
        "split",
        "seed",
    )
    told: dict[str, object] = {"frames": report["count"], **{name.replace("_", " "): report[name] for name in shown}}
    told["calibration error"] = score(report["calibration"]["expected_calibration_error"])
    told["Brier score"] = score(report["calibration"]["brier"])
    for name, value in report["seconds"].items():
        if isinstance(value, Mapping):
            told[name.replace("_", " ")] = f"{value['p50']:.3f} s (p50), {value['p95']:.3f} s (p95)"
        else:
            told[name.replace("_", " ")] = f"{value:.3f} s"
    for name in ("memory_mb", "memory_with_scenes_mb"):
        if name in report:
            told[name.removesuffix("_mb").replace("_", " ")] = f"{report[name]:.0f} MB"
    return told


def _kinds(report: Mapping[str, Any]) -> str:
    """Rows: kinds that were asked. Columns: the model, the model without questions, the other model, both baselines."""
    others = {name: report[name]["kinds"] for name in ("blind", "beside") if name in report}
    others |= {name.replace("_", " "): one["kinds"] for name, one in report["baselines"].items()}
    names = ["beside: " + report["beside"]["model"] if name == "beside" else name for name in others]
    rows, classes = [], []
    for kind, own in report["kinds"].items():
        if own["n"]:
            rest = (f"{score(one[kind]['giou'])} / {score(one[kind]['ciou'])}" for one in others.values())
            rows.append((kind, own["n"], own["refused"], score(own["giou"]), score(own["ciou"]), *rest))
            classes.append("overall" if kind == "overall" else "")
    headers = ("question", "n", "refused", "gIoU", "cIoU", *(f"{name} (gIoU / cIoU)" for name in names))
    return table(headers, rows, classes=classes)


def _refusals(report: Mapping[str, Any]) -> str:
    models = {report["model"]: report}
    if "beside" in report:
        models["beside: " + report["beside"]["model"]] = report["beside"]
    rows = [
        (name, one["absent_n"], score(one["absent_refused"]), one["present_n"], score(one["false_refusals"]))
        for name, one in models.items()
    ]
    headers = ("model", "absent targets", "refused", "present targets", "refused wrongly")
    return f'<div class="wide spaced">{table(headers, rows)}</div>'


def _answers(report: Mapping[str, Any]) -> str:
    if "answers" not in report:
        return ""
    said = {
        "single": "one target, named exactly",
        "several": "several targets, all named exactly",
        "present": "any target",
        "absent": "absent, and said so",
        "overall": "all",
    }
    rows = [(said[name], one["n"], score(one["share"])) for name, one in report["answers"].items()]
    return f'<div class="wide spaced">{table(("written answers", "questions", "right"), rows)}</div>'


def _goals(report: Mapping[str, Any]) -> str:
    said = {True: "yes", False: "no", None: "not measured"}
    rows = [(goal.name, goal.written(goal.figure), goal.wanted, said[goal.met]) for goal in goals(report)]
    return (
        '<section aria-labelledby="goals"><h2 id="goals">Beside the goals</h2>'
        '<div class="wide" tabindex="0" role="region" aria-labelledby="goals">'
        f"{table(('figure', 'measured', 'goal', 'met'), rows)}</div></section>"
    )


def _reliability(calibration: Mapping[str, Any]) -> plots.Plot:
    """Two bars per bin of target_probability: equal ones say that the probability means what it says."""
    bins = calibration["bins"]
    groups = [f"{one['low']:g}" for one in bins]
    said = (
        "Questions by target_probability, in bins of 0.1 from the number below the bars. Where both bars are equal, the "
        "probability is calibrated. Questions in each bin: " + ", ".join(str(one["n"]) for one in bins) + "."
    )
    series = {
        "mean target_probability": [one["mean_probability"] for one in bins],
        "share of targets that are there": [one["share_present"] for one in bins],
    }
    return plots.bars("Reliability of target_probability", said, groups, series)


def _group(name: str, cases: Sequence[Case]) -> str:
    title, said = GROUPS[name]
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2><p class="small">{said}</p>'
        f'{legend(COLORS)}<div class="plots">{"".join(map(_case, cases))}</div></section>'
    )


def _case(case: Case) -> str:
    answer = case.answer
    said = [answer.kind, f"seed {case.seed}", f"IoU {answer.iou:.3f}", f"p([SEG]) {answer.target_probability:.3f}"]
    if not answer.found:
        said.append("refused")
    if answer.written is not None:
        said.append(f"the model wrote: {answer.written or 'nothing'}")
    views = "".join(
        figure(image, name, f"{name} of “{answer.text}” in the frame of seed {case.seed}")
        for name, image in case.pictures
    )
    return (
        f'<article class="case"><h3>{escape(answer.text)}</h3><p>{escape("; ".join(said))}</p>'
        f'<div class="views three">{views}</div></article>'
    )
