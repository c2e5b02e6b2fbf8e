"""The report of `lisa eval synthetic` as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lisa_ros.cli.table import render


def synthetic_table(report: Mapping[str, Any]) -> str:
    """Scores by kind of question beside whatever else was asked, then one line for each of the other figures."""
    seconds = report["seconds"]
    threshold = report["baselines"]["constant_answer"]["threshold"]
    lines = [
        f"{report['model']} ({report['device']}, {report['dtype']}), {report['mode']} mode; {report['count']} frames of the "
        f"{report['split']} split, first seed {report['seed']}, {report['questions']} questions",
        "",
        _scores(report),
        "",
        f"absent targets refused: {_percent(report['absent_refused'])} of {report['absent_n']}; "
        f"present ones refused wrongly: {_percent(report['false_refusals'])} of {report['present_n']} (they score 0)",
        *_beside(report),
        *_written(report),
        *_calibrated(report["calibration"]),
        f"{1000 * seconds['encode_per_frame']:.0f} ms encode per frame, {1000 * seconds['ask_per_question']:.0f} ms per "
        f"question; {_refusal(report)}",
        *_one_by_one(seconds),
        *_memory(report),
        "baselines (gIoU / cIoU) see the ground truth and refuse nothing. largest object: the object with most pixels.",
        "best constant: one mask for all questions, the mean target mask of these very questions cut at "
        f"{threshold:.3f},\nthe threshold with the highest overall gIoU (an oracle).",
    ]
    if "blind" in report:
        lines.append(f'blind: the same model asked "{report["blind"]["query"]}" for every question, nothing refused.')
    return "\n".join(lines)


def _scores(report: Mapping[str, Any]) -> str:
    others = {name: report[name]["kinds"] for name in ("blind", "beside") if name in report}
    others["largest object"] = report["baselines"]["largest_object"]["kinds"]
    others["best constant"] = report["baselines"]["constant_answer"]["kinds"]
    rows = []
    for kind, own in report["kinds"].items():
        if own["n"]:
            rest = (f"{one[kind]['giou']:.3f} / {one[kind]['ciou']:.3f}" for one in others.values())
            rows.append((kind, own["n"], f"{own['giou']:.3f}", f"{own['ciou']:.3f}", *rest))
    return render(("question", "n", "gIoU", "cIoU", *others), rows, align="lrrr" + "r" * len(others))


def _beside(report: Mapping[str, Any]) -> list[str]:
    if "beside" not in report:
        return []
    other = report["beside"]
    return [
        f"beside: {other['model']}; it refuses {_percent(other['absent_refused'])} of the absent and "
        f"{_percent(other['false_refusals'])} of the present ones"
    ]


def _written(report: Mapping[str, Any]) -> list[str]:
    if "answers" not in report:
        return []
    said = (f"{_percent(one['share'])} of {one['n']} {name}" for name, one in report["answers"].items())
    return [f"written answers that name exactly the targets, or say there is none: {', '.join(said)}"]


def _calibrated(calibration: Mapping[str, Any]) -> list[str]:
    if not calibration["n"]:
        return []
    error, brier = calibration["expected_calibration_error"], calibration["brier"]
    return [f"target_probability: expected calibration error {error:.3f}, Brier score {brier:.3f}"]


def _one_by_one(seconds: Mapping[str, Any]) -> list[str]:
    said = [
        f"{name.replace('_', ' ')} {seconds[name]['p50']:.3f} s (p95 {seconds[name]['p95']:.3f}, n {seconds[name]['n']})"
        for name in ("first_query", "further_query")
        if name in seconds
    ]
    return [f"asked one at a time: {', '.join(said)}"] if said else []


def _memory(report: Mapping[str, Any]) -> list[str]:
    if "memory_mb" not in report:
        return []
    whole = f"; {report['memory_with_scenes_mb']:.0f} MB with the scenes" if "memory_with_scenes_mb" in report else ""
    return [f"peak memory: {report['memory_mb']:.0f} MB of a process that loads the model and answers{whole}"]


def _refusal(report: Mapping[str, Any]) -> str:
    if report["mode"] == "chat":
        return "refused when the written answer has no [SEG]"
    return f"refused when p([SEG]) < {report['min_target_probability']:g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
