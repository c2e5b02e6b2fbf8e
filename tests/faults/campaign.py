"""The fault campaign's table: every test of a fault says what is injected and what comes of it; docs/reliability.md shows all.

`python -m pytest tests/faults` runs the campaign; `./run shell -c 'python tests/faults/campaign.py'` rewrites the table.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEAD = "| # | fault | what happens | test |\n|---|---|---|---|\n"


@dataclass(frozen=True)
class Row:
    """fault: what is injected. ending: the documented end of the request, and that the node goes on."""

    group: str
    fault: str
    ending: str
    test: str


ROWS: list[Row] = []


def fault(name: str, ending: str) -> Callable[[Callable], Callable]:
    """Puts a test into the table: the fault, and how it ends."""

    def register(test: Callable) -> Callable:
        group = test.__module__.removeprefix("test_").replace("_", " ")
        row = Row(group, name, ending, f"{test.__module__}.py::{test.__name__}")
        ROWS[:] = [known for known in ROWS if known.test != row.test] + [row]
        return test

    return register


def tables() -> str:
    """All rows as Markdown, one table for each file of tests."""
    for path in sorted(Path(__file__).parent.glob("test_*_faults.py")):
        importlib.import_module(path.stem)
    text, number = "", 0
    for group in sorted({row.group for row in ROWS}):
        text += f"### {group.capitalize()}\n\n{HEAD}"
        for row in (row for row in ROWS if row.group == group):
            number += 1
            text += f"| {number} | {row.fault} | {row.ending} | `{row.test}` |\n"
        text += "\n"
    return text


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    import campaign  # the module that the tests register with, not this one

    head, _, _ = PAGE.read_text(encoding="utf-8").partition("### ")
    PAGE.write_text(head + campaign.tables().rstrip() + "\n", encoding="utf-8")
