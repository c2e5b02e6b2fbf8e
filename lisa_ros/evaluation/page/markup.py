"""Words, numbers, tables and pictures as HTML. Everything shown is escaped here."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from lisa_ros.evaluation.page.pictures import data_uri


def escape(value: object) -> str:
    """Text that means itself."""
    return html.escape(str(value))


def score(value: float | None) -> str:
    """A score for people."""
    return "–" if value is None else f"{value:.3f}"


def count(number: int, noun: str) -> str:
    """ "1 frame", "1,200 frames"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def facts(values: Mapping[str, object]) -> str:
    """Entries of a <dl class="facts">; what is empty or None is left out."""
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in values.items()
        if value not in ("", None)
    )


def legend(names: Mapping[str, str]) -> str:
    """{class of page.css: what its colour means}."""
    items = "".join(f'<li><i class="{kind}"></i>{escape(text)}</li>' for kind, text in names.items())
    return f'<ul class="legend">{items}</ul>'


def figure(image: np.ndarray, caption: str, described: str) -> str:
    """A picture uint8 [h,w,3] RGB with its caption. described: what it shows, for who cannot see it."""
    return (
        f'<figure><img src="{data_uri(image)}" width="{image.shape[1]}" height="{image.shape[0]}" '
        f'alt="{escape(described)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, classes: Sequence[str] = (), text_columns: int = 1
) -> str:
    """An HTML table; the first cell of a row is its header. classes: of the rows. text_columns: columns of words, from
    the left.
    """
    kinds = [' class="text"' if i < text_columns else "" for i in range(len(headers))]
    head = "".join(f'<th scope="col"{kind}>{escape(header)}</th>' for header, kind in zip(headers, kinds))
    body = []
    for r, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:]))
        kind = f' class="{classes[r]}"' if r < len(classes) and classes[r] else ""
        body.append(f'<tr{kind}><th scope="row" class="text">{escape(row[0])}</th>{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
