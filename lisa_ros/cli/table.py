"""Plain text tables that stay within a terminal: columns are as wide as they need, long words wrap in the widest ones."""
from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

GAP = 2


def render(headers: Sequence[str], rows: Sequence[Sequence[object]], *, align: str = "", width: int | None = None) -> str:
    """A table as text.

    :param headers: one per column.
    :param rows: cells, turned to text with `str`; None prints as "-".
    :param align: one letter per column, "l" or "r"; missing letters are "l".
    :param width: columns of the terminal; by default those of this one, at most 120.
    """
    width = width or min(shutil.get_terminal_size((120, 24)).columns, 120)
    cells = [[str(head) for head in headers]] + [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(line) for row in cells for line in row[i].split("\n")) for i in range(len(headers))]
    floors = [min(w, max(10, max(map(len, headers[i].split() or [""])))) for i, w in enumerate(widths)]
    while sum(widths) + GAP * (len(widths) - 1) > width and any(w > f for w, f in zip(widths, floors, strict=True)):
        widest = max((i for i in range(len(widths)) if widths[i] > floors[i]), key=lambda i: widths[i])
        widths[widest] -= 1
    align = align.ljust(len(headers), "l")
    lines = [_row(cells[0], widths, align), _rule(widths)]
    wrapped = False
    for row in cells[1:]:
        text = _row(row, widths, align)
        if len(lines) > 2 and ("\n" in text or wrapped):
            lines.append("")
        wrapped = "\n" in text
        lines.append(text)
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    columns = [
        [part for line in cell.split("\n") for part in (textwrap.wrap(line, width) or [""])]
        for cell, width in zip(cells, widths, strict=True)
    ]
    lines = []
    for i in range(max(map(len, columns))):
        parts = [column[i] if i < len(column) else "" for column in columns]
        padded = [p.rjust(w) if a == "r" else p.ljust(w) for p, w, a in zip(parts, widths, align, strict=False)]
        lines.append((" " * GAP).join(padded).rstrip())
    return "\n".join(lines)


def _rule(widths: Sequence[int]) -> str:
    return (" " * GAP).join("─" * width for width in widths)
