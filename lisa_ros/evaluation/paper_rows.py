"""What the LISA paper reports (Lai et al., "LISA: Reasoning Segmentation via Large Language Model", CVPR 2024), to be
shown beside our figures. These are the paper's figures, in percent; none of them was measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SOURCE = "Lai et al., LISA: Reasoning Segmentation via Large Language Model, CVPR 2024"

CONTAMINATED = (
    "The published v1 checkpoints (LISA-7B-v1, LISA-13B-llama2-v1 and their explanatory versions) were trained on "
    "ReasonSeg train and val: their figures on val say nothing about pictures they have not seen."
)
"""Holds for ReasonSeg val."""

# Table 1, gIoU and cIoU: val; test, short queries; test, long queries; test, overall.
_TABLE_1 = """
OVSeg                  28.5 18.6  18.0 15.5  28.7 22.5  26.1 20.8
GRES                   22.4 19.9  17.6 15.0  22.6 23.8  21.3 22.0
X-Decoder              22.6 17.9  20.4 11.6  22.2 17.5  21.7 16.3
SEEM                   25.5 21.2  20.1 11.5  25.6 20.8  24.3 18.7
Grounded-SAM           26.0 14.5  17.8 10.8  22.4 18.6  21.3 16.4
LISA-7B                44.4 46.0  37.6 34.4  36.6 34.7  36.8 34.1
LISA-7B (ft)           52.9 54.0  40.6 40.6  49.4 51.0  47.3 48.4
LISA-13B               48.9 46.9  39.9 43.3  46.4 46.5  44.8 45.8
LISA-13B (ft)          56.2 62.9  44.3 42.0  54.0 54.3  51.7 51.1
LLaVA1.5-7B + OVSeg    38.2 23.5  24.2 18.7  44.6 37.1  39.7 31.8
LISA-7B-LLaVA1.5       53.6 52.3  47.1 48.5  49.2 48.9  48.7 48.8
LISA-7B-LLaVA1.5 (ft)  61.3 62.9  48.3 46.3  57.9 59.7  55.6 56.9
LLaVA1.5-13B + OVSeg   37.9 26.4  27.1 19.4  46.1 40.6  41.5 34.1
LISA-13B-LLaVA1.5      57.7 60.3  50.8 50.0  54.7 50.9  53.8 50.8
LISA-13B-LLaVA1.5 (ft) 65.0 72.9  55.4 50.6  63.2 65.3  61.3 62.2
"""
_TABLE_1_SPLITS = {"val": {"overall": 0}, "test": {"short": 2, "long": 4, "overall": 6}}
"""Split -> kind of question -> column of its gIoU; that of cIoU is the next."""

# Table 2, cIoU: refCOCO val, testA, testB; refCOCO+ val, testA, testB; refCOCOg val, test.
_TABLE_2 = """
MCN          62.4 64.2 59.7  50.6 55.0 44.7  49.2 49.4
VLT          67.5 70.5 65.2  56.3 61.0 50.1  55.0 57.7
CRIS         70.5 73.2 66.1  62.3 68.1 53.7  59.9 60.4
LAVT         72.7 75.8 68.8  62.1 68.4 55.1  61.2 62.1
ReLA         73.8 76.5 70.2  66.0 71.0 57.7  65.0 66.0
X-Decoder    -    -    -     -    -    -     64.6 -
SEEM         -    -    -     -    -    -     65.7 -
LISA-7B      74.1 76.5 71.1  62.4 67.4 56.5  66.4 68.5
LISA-7B (ft) 74.9 79.1 72.3  65.1 70.8 58.1  67.9 70.6
"""
_FIGURES = 8
"""In a row of either table."""

_TABLE_2_COLUMNS = (
    *(("refcoco", split) for split in ("val", "testA", "testB")),
    *(("refcoco+", split) for split in ("val", "testA", "testB")),
    *(("refcocog", split) for split in ("val", "test")),
)


PICTURES = {
    ("reasonseg", "val"): 200,
    ("reasonseg", "test"): 779,
    **{
        (name, split): n
        for name in ("refcoco", "refcoco+")
        for split, n in (("val", 1500), ("testA", 750), ("testB", 750))
    },
    ("refcocog", "val"): 1300,
    ("refcocog", "test"): 2600,
}
"""How many pictures the official splits have (refCOCOg: the umd split)."""


@dataclass(frozen=True)
class PaperTable:
    """The part of one of the paper's tables that belongs to one split of one set.

    Attributes:
        name: "Table 1". columns: (kind of question, "giou" or "ciou") of each figure.
        rows: (method, a figure for each column, in percent, None where the paper has none).
        pictures: how many the official split has.
        note: what a reader must know before comparing; "" when there is nothing.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    pictures: int
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        columns = [f"{kind} {figure}" for kind, figure in self.columns]
        return {
            "source": f"{SOURCE}, {self.name}; percent; not measured here",
            "note": self.note,
            "rows": [{"method": method, **dict(zip(columns, figures))} for method, figures in self.rows],
        }


def paper_table(name: str, split: str) -> PaperTable | None:
    """What the paper reports about a split of a set; None when it reports nothing."""
    if name == "reasonseg" and split in _TABLE_1_SPLITS:
        note = CONTAMINATED if split == "val" else ""
        return _part("Table 1", _TABLE_1, _reasonseg_columns(split), PICTURES[name, split], note)
    if (name, split) in _TABLE_2_COLUMNS:
        column = {("overall", "ciou"): _TABLE_2_COLUMNS.index((name, split))}
        return _part("Table 2", _TABLE_2, column, PICTURES[name, split])
    return None


def _reasonseg_columns(split: str) -> dict[tuple[str, str], int]:
    return {
        (kind, figure): column + offset
        for kind, column in _TABLE_1_SPLITS[split].items()
        for offset, figure in enumerate(("giou", "ciou"))
    }


def _part(name: str, text: str, columns: Mapping[tuple[str, str], int], pictures: int, note: str = "") -> PaperTable:
    rows = []
    for line in text.strip().splitlines():
        words = line.split()
        figures = [None if word == "-" else float(word) for word in words[-_FIGURES:]]
        chosen = tuple(figures[column] for column in columns.values())
        if any(figure is not None for figure in chosen):
            rows.append((" ".join(words[:-_FIGURES]), chosen))
    return PaperTable(name, tuple(columns), tuple(rows), pictures, note)
