"""Plots as inline SVG: no library, no script, readable in light and dark, by a screen reader and in print.

Every plot has a title and a sentence that says what it shows; its numbers stand in a table below it. Colours are
classes of page.css (`c0`, `c1`, ...), so that a page has one palette.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lisa_ros.evaluation.page.markup import escape, legend, score

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 44


@dataclass(frozen=True)
class Plot:
    """A plot ready for the page: a <figure> with its SVG, its caption, and its numbers in a table to open."""

    title: str
    markup: str


def bars(title: str, said: str, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> Plot:
    """Groups of bars from 0 to 1, one bar per series in each group; None is no bar.

    groups: name of each group. series: {name: one value per group}.
    """
    left, width = LEFT, (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    bar = min(width * 0.8 / max(len(series), 1), 44)
    parts = [_share_axis()]
    for g, group in enumerate(groups):
        center = left + (g + 0.5) * width
        parts.append(_label(center, HEIGHT - BOTTOM + 18, group, "middle"))
        for s, values in enumerate(series.values()):
            if values[g] is None:
                continue
            x, y = center + (s - len(series) / 2) * bar, _y(values[g])
            height = HEIGHT - BOTTOM - y
            parts.append(
                f'<rect class="c{s}" x="{x + 1:.1f}" y="{y:.1f}" width="{bar - 2:.1f}" height="{height:.1f}" rx="2"/>'
            )
            if bar >= 24:
                parts.append(_label(x + bar / 2, y - 4, f"{values[g]:.2f}", "middle", "value"))
    rows = [[group, *(score(values[g]) for values in series.values())] for g, group in enumerate(groups)]
    return _plot(title, said, parts, series, ["", *series], rows)


def lines(
    title: str, said: str, x_label: str, xs: Sequence[float], series: Mapping[str, Sequence[float]], *, shown: int = 11
) -> Plot:
    """Curves of shares (0 to 1) over xs, which ascend. The table has `shown` of the xs."""
    low, high = xs[0], xs[-1]

    def at(x: float) -> float:
        return LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [_share_axis(), _label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle")]
    for tick in range(5):
        x = low + (high - low) * tick / 4
        parts.append(_label(at(x), HEIGHT - BOTTOM + 18, f"{x:g}", "middle"))
    for s, values in enumerate(series.values()):
        points = " ".join(f"{at(x):.1f},{_y(value):.1f}" for x, value in zip(xs, values))
        parts.append(f'<polyline class="line c{s} d{s}" points="{points}"/>')
    picked = [round(i * (len(xs) - 1) / (shown - 1)) for i in range(shown)]
    rows = [[f"{xs[i]:g}", *(f"{values[i]:.3f}" for values in series.values())] for i in picked]
    return _plot(title, said, parts, series, [x_label, *series], rows)


def ranges(title: str, said: str, unit: str, names: Sequence[str], values: Mapping[str, Sequence[float]]) -> Plot:
    """Horizontal bars to the second of two values with a mark at the first (p50 and p95), on one axis from 0.

    values: {name of the value: one per name}, two of them.
    """
    (low_name, lows), (high_name, highs) = values.items()
    most = max(max(highs, default=0.0), 1e-9)
    left = 78
    step = (HEIGHT - TOP - BOTTOM) / max(len(names), 1)

    def at(value: float) -> float:
        return left + value / most * (WIDTH - left - 124)

    parts = [f'<line class="axis" x1="{left}" x2="{left}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>']
    for i, name in enumerate(names):
        y = TOP + (i + 0.5) * step
        half = min(step * 0.3, 16)
        parts.append(_label(left - 8, y + 4, name, "end"))
        for number, end in ((1, highs[i]), (0, lows[i])):
            width = at(end) - left
            place = f'x="{left}" y="{y - half:.1f}" width="{width:.1f}" height="{2 * half:.1f}"'
            parts.append(f'<rect class="c{number}" {place} rx="2"/>')
        parts.append(_label(at(highs[i]) + 6, y + 4, f"{lows[i]:.0f} / {highs[i]:.0f} {unit}", "start"))
    rows = [[name, f"{lows[i]:.1f}", f"{highs[i]:.1f}"] for i, name in enumerate(names)]
    return _plot(title, said, parts, [low_name, high_name], [unit, low_name, high_name], rows)


def _plot(
    title: str,
    said: str,
    parts: Sequence[str],
    series: Sequence[str] | Mapping[str, object],
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Plot:
    name = re.sub(r"\W+", "-", title.lower())
    named = f'aria-labelledby="{name}-title {name}-said"'
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {named}>'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-said">{escape(said)}</desc>'
        f"{''.join(parts)}</svg>"
    )
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(c)}</td>" for c in row[1:])}</tr>'
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return Plot(
        title,
        f'<figure class="plot"><h3>{escape(title)}</h3>'
        f"{legend({f'c{s}': name for s, name in enumerate(series)})}{svg}"
        f"<figcaption>{escape(said)}</figcaption>"
        f"<details><summary>numbers</summary>{table}</details></figure>",
    )


def _share_axis() -> str:
    """Grid lines at 0, 0.25, ... 1 with their numbers."""
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        kind = "axis" if tick == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(tick):.1f}" y2="{_y(tick):.1f}"/>')
        parts.append(_label(LEFT - 8, _y(tick) + 4, f"{tick:g}", "end"))
    return "".join(parts)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _label(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
