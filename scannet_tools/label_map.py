"""ScanNet's names: from what annotators typed to the classes of the benchmarks.

All comes from `scannetv2-labels.combined.tsv`, which ScanNet's terms keep out of this repository. A row is one raw
category; several rows may share an `id`. So 3D annotations, which hold raw categories, are mapped by those, and only
the label pictures, which hold nothing but ids, by id.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE_NAME = "scannetv2-labels.combined.tsv"

CLASSES_20 = {
    1: "wall",
    2: "floor",
    3: "cabinet",
    4: "bed",
    5: "chair",
    6: "sofa",
    7: "table",
    8: "door",
    9: "window",
    10: "bookshelf",
    11: "picture",
    12: "counter",
    14: "desk",
    16: "curtain",
    24: "refrigerator",
    28: "shower curtain",
    33: "toilet",
    34: "sink",
    36: "bathtub",
    39: "otherfurniture",
}
"""nyu40 id -> name, of the 3D semantic benchmark; all other ids are ignored there."""

INSTANCE_CLASSES_18 = {number: name for number, name in CLASSES_20.items() if name not in ("wall", "floor")}
"""nyu40 id -> name, of the instance benchmark."""

# fmt: off
VALID_200 = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 26, 27, 28, 29, 31, 32, 33, 34, 35,
    36, 38, 39, 40, 41, 42, 44, 45, 46, 47, 48, 49, 50, 51, 52, 54, 55, 56, 57, 58, 59, 62, 63, 64, 65, 66, 67, 68, 69,
    70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 82, 84, 86, 87, 88, 89, 90, 93, 95, 96, 97, 98, 99, 100, 101, 102, 103,
    104, 105, 106, 107, 110, 112, 115, 116, 118, 120, 121, 122, 125, 128, 130, 131, 132, 134, 136, 138, 139, 140, 141,
    145, 148, 154, 155, 156, 157, 159, 161, 163, 165, 166, 168, 169, 170, 177, 180, 185, 188, 191, 193, 195, 202, 208,
    213, 214, 221, 229, 230, 232, 233, 242, 250, 261, 264, 276, 283, 286, 300, 304, 312, 323, 325, 331, 342, 356, 370,
    392, 395, 399, 408, 417, 488, 540, 562, 570, 572, 581, 609, 748, 776, 1156, 1163, 1164, 1165, 1166, 1167, 1168,
    1169, 1170, 1171, 1172, 1173, 1174, 1175, 1176, 1178, 1179, 1180, 1181, 1182, 1183, 1184, 1185, 1186, 1187, 1188,
    1189, 1190, 1191,
)
# fmt: on
"""The `id`s that are the classes of ScanNet200. Source: scannet200_constants.py of the ScanNet repository."""

_COLUMNS = ("id", "raw_category", "category", "count", "nyu40id", "nyu40class")
_SPELLING = {"refridgerator": "refrigerator"}
"""NYU's spelling in some editions of the file -> the benchmark's."""

_IDS = 1 << 16


@dataclass(frozen=True)
class _Row:
    id: int
    category: str
    count: int
    nyu40: int
    nyu40_class: str


class LabelMap:
    """The rows of the file. A raw category that it has not gives 0 or ""."""

    def __init__(self, rows: dict[str, _Row]) -> None:
        self._rows = rows
        self._nyu40_of_id = np.zeros(_IDS, np.uint16)
        for row in sorted(rows.values(), key=lambda row: row.count):  # the most frequent one last: it stands
            self._nyu40_of_id[row.id] = row.nyu40

    @classmethod
    def read(cls, path: str | Path) -> LabelMap:
        """Read `scannetv2-labels.combined.tsv`.

        Raises:
            FileNotFoundError, OSError: the file cannot be read.
            ValueError: it is another file, such as the one of ScanNet v1, or damaged; names the file.
        """
        path = Path(path)
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}: the columns {', '.join(missing)} are missing: it is not ScanNet v2's label map (the file "
                    f"of v1, scannet-labels.combined.tsv, has others); take {FILE_NAME}"
                )
            rows: dict[str, _Row] = {}
            for values in reader:
                where = f"{path}, line {reader.line_num}"
                rows.setdefault(values["raw_category"], _row(where, values))
        if not rows:
            raise ValueError(f"{path}: no rows in it: cut short? take {FILE_NAME}")
        return cls(rows)

    def raw_categories(self) -> tuple[str, ...]:
        """All that the file has, in its order."""
        return tuple(self._rows)

    def nyu40(self, raw_category: str) -> int:
        """The class, 1 to 40."""
        row = self._rows.get(raw_category)
        return row.nyu40 if row else 0

    def nyu40_class(self, raw_category: str) -> str:
        """The class's name, spelt as in `CLASSES_20`."""
        row = self._rows.get(raw_category)
        return _SPELLING.get(row.nyu40_class, row.nyu40_class) if row else ""

    def nyu40_of_id(self, ids: int | np.ndarray) -> int | np.ndarray:
        """The class of an `id`, or of each pixel of a label picture (uint16 of the same shape); 0 for other ids.

        Three ids stand for raw categories of two classes (107, 188, 385): the more frequent one is given. ScanNet's
        script for label pictures gives whichever comes last in the file.
        """
        if isinstance(ids, np.ndarray):
            return self._nyu40_of_id[ids]
        return int(self._nyu40_of_id[ids]) if 0 <= ids < _IDS else 0

    def tsv_id(self, raw_category: str) -> int:
        """The column `id`, which label pictures hold."""
        row = self._rows.get(raw_category)
        return row.id if row else 0

    def category(self, raw_category: str) -> str:
        """The tidied name: "chair" for "stack of chairs"."""
        row = self._rows.get(raw_category)
        return row.category if row else ""

    def scannet200(self, raw_category: str) -> int:
        """The class of ScanNet200, one of `VALID_200`; 0 for what is none."""
        number = self.tsv_id(raw_category)
        return number if number in _VALID_200 else 0


_VALID_200 = frozenset(VALID_200)


def _row(where: str, values: dict[str, str | None]) -> _Row:
    absent = [name for name in _COLUMNS if values.get(name) is None]
    if absent:
        raise ValueError(f"{where}: cut short: {', '.join(absent)} missing; download the file again")
    try:
        number, count, nyu40 = (int(values[name] or 0) for name in ("id", "count", "nyu40id"))
    except ValueError:
        raise ValueError(f"{where}: id, count and nyu40id must be whole numbers") from None
    if not (0 < number < _IDS and 0 <= nyu40 < _IDS):
        raise ValueError(f"{where}: id {number} or nyu40id {nyu40} is out of range: label pictures have 16 bits")
    return _Row(number, values["category"], count, nyu40, values["nyu40class"])


def find_label_map(path: str | Path) -> Path | None:
    """The label map in a scene folder or in one of the two folders above it, where ScanNet's download puts it."""
    folder = Path(path).absolute()
    return next((place / FILE_NAME for place in (folder, *folder.parents[:2]) if (place / FILE_NAME).is_file()), None)
