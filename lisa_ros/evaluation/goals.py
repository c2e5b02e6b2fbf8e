"""What the embedded model should reach, beside what a report of `lisa eval synthetic` says it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A figure and its bound. figure: None when it was not measured."""

    name: str
    figure: float | None
    bound: float
    at_least: bool = True
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """None when the figure was not measured."""
        if self.figure is None:
            return None
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    @property
    def wanted(self) -> str:
        """ ">= 95 %"."""
        return f"{'>=' if self.at_least else '<='} {self.written(self.bound)}"

    def written(self, value: float | None) -> str:
        """A value in the goal's unit."""
        if value is None:
            return "–"
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        return f"{value:.0f} MB" if self.unit == "MB" else f"{value:.3f} {self.unit}".rstrip()


def goals(report: Mapping[str, Any]) -> list[Goal]:
    """The goals that this report can be held against: "unseen wording" is of the test split, times and memory are of a CPU."""
    kinds, seconds, answers = report["kinds"], report["seconds"], report.get("answers", {})
    use = "by use, unseen wording" if report["split"] == "test" else "by use"
    found = [
        Goal(f"gIoU {name}", kinds[kind]["giou"] if kinds[kind]["n"] else None, bound)
        for name, kind, bound in (
            ("explicit", "explicit", 0.75),
            (use, "use", 0.65),
            ("relational", "relational", 0.60),
        )
    ]
    found += [
        Goal("absent targets refused", report["absent_refused"], 0.95, unit="%"),
        Goal("false refusals", report["false_refusals"], 0.05, at_least=False, unit="%"),
        Goal("written answers name the target", answers.get("present", {}).get("share"), 0.90, unit="%"),
    ]
    if report["device"] == "cpu":
        first, further = (seconds.get(name, {}).get("p95") for name in ("first_query", "further_query"))
        found += [
            Goal("first query, p95", first, 1.0, at_least=False, unit="s"),
            Goal("further query, p95", further, 0.35, at_least=False, unit="s"),
            Goal("peak memory", report.get("memory_mb"), 1500, at_least=False, unit="MB"),
        ]
    return found
