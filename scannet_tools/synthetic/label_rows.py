"""The rows of `scannetv2-labels.combined.tsv` for what our scenes hold, under the ids and names of the real label sets.

Columns and ids: ScanNet's label table and NYUv2's 40 classes; a category that ScanNet200 knows has its id there, any
other has one above 9000.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scannet_tools.aside import written_aside
from scannet_tools.label_map import FILE_NAME

COLUMNS = (
    "id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "eigen13class",
    "ModelNet40", "ModelNet10", "ShapeNetCore55", "synsetoffset", "wnsynsetid", "wnsynsetkey",
    "mpcat40", "mpcat40index",
)  # fmt: skip
_NYU40 = {
    1: "wall", 2: "floor", 3: "cabinet", 4: "bed", 5: "chair", 6: "sofa", 7: "table", 8: "door", 9: "window",
    10: "bookshelf", 11: "picture", 18: "pillow", 20: "floor mat", 22: "ceiling", 23: "books", 24: "refridgerator",
    25: "television", 29: "box", 33: "toilet", 35: "lamp", 37: "bag", 39: "otherfurniture", 40: "otherprop",
}  # fmt: skip
_EIGEN13 = {  # nyu40 id -> (eigen13 id, name); whatever is not here is furniture (6) or an object (7)
    1: (12, "Wall"), 2: (5, "Floor"), 4: (1, "Bed"), 5: (4, "Chair"), 6: (9, "Sofa"), 7: (10, "Table"),
    9: (13, "Window"), 11: (8, "Picture"), 22: (3, "Ceiling"), 23: (2, "Books"), 25: (11, "TV"),
}  # fmt: skip
_FURNITURE = (3, 10, 24, 39)


@dataclass(frozen=True)
class LabelRow:
    """One raw category: id as in the label pictures, its category, its nyu40 class."""

    id: int
    category: str
    nyu40: int


LABEL_ROWS: dict[str, LabelRow] = {
    "wall": LabelRow(1, "wall", 1),
    "floor": LabelRow(3, "floor", 2),
    "ceiling": LabelRow(41, "ceiling", 22),
    "door": LabelRow(5, "door", 8),
    "window": LabelRow(16, "window", 9),
    "mug": LabelRow(130, "cup", 40),
    "bottle": LabelRow(65, "bottle", 40),
    "bowl": LabelRow(562, "bowl", 40),
    "plate": LabelRow(88, "plate", 40),
    "wine glass": LabelRow(9001, "wine glass", 40),
    "can": LabelRow(9002, "can", 40),
    "book": LabelRow(22, "book", 23),
    "laptop": LabelRow(77, "laptop", 40),
    "keyboard": LabelRow(46, "keyboard", 40),
    "phone": LabelRow(101, "telephone", 40),
    "vase": LabelRow(9003, "vase", 40),
    "banana": LabelRow(9004, "banana", 40),
    "apple": LabelRow(9005, "apple", 40),
    "box": LabelRow(26, "box", 29),
    "teapot": LabelRow(9006, "teapot", 40),
    "scissors": LabelRow(9007, "scissors", 40),
    "candle": LabelRow(286, "candle", 40),
    "clock": LabelRow(572, "alarm clock", 40),
    "ball": LabelRow(168, "ball", 40),
    "basket": LabelRow(73, "basket", 40),
    "teddy bear": LabelRow(304, "stuffed animal", 40),
    "pan": LabelRow(9008, "pan", 40),
    "lamp": LabelRow(28, "lamp", 35),
    "chair": LabelRow(2, "chair", 5),
    "stool": LabelRow(38, "stool", 40),
    "armchair": LabelRow(23, "armchair", 5),
    "sofa": LabelRow(6, "couch", 6),
    "table": LabelRow(4, "table", 7),
    "bed": LabelRow(11, "bed", 4),
    "cabinet": LabelRow(7, "cabinet", 3),
    "bookshelf": LabelRow(18, "bookshelf", 10),
    "plant": LabelRow(40, "plant", 40),
    "television": LabelRow(33, "tv", 25),
    "bin": LabelRow(56, "trash can", 39),
    "pillow": LabelRow(13, "pillow", 18),
    "rug": LabelRow(140, "mat", 20),
    "suitcase": LabelRow(93, "suitcase", 40),
    "picture": LabelRow(15, "picture", 11),
    "ladder": LabelRow(122, "ladder", 39),
    "pot": LabelRow(9009, "pot", 40),
    "kettle": LabelRow(9010, "kettle", 40),
    "toaster": LabelRow(148, "toaster", 40),
    "pitcher": LabelRow(488, "water pitcher", 40),
    "sponge": LabelRow(9011, "sponge", 40),
    "pineapple": LabelRow(9012, "pineapple", 40),
    "cake": LabelRow(9013, "cake", 40),
    "bread": LabelRow(9014, "bread", 40),
    "donut": LabelRow(9015, "donut", 40),
    "tray": LabelRow(185, "tray", 40),
    "hammer": LabelRow(9016, "hammer", 40),
    "drill": LabelRow(9017, "drill", 40),
    "toy car": LabelRow(9018, "toy car", 40),
    "hat": LabelRow(169, "hat", 40),
    "shoe": LabelRow(63, "shoe", 40),
    "headphones": LabelRow(312, "headphones", 40),
    "camera": LabelRow(9019, "camera", 40),
    "globe": LabelRow(9020, "globe", 40),
    "trophy": LabelRow(9021, "trophy", 40),
    "watering can": LabelRow(9022, "watering can", 40),
    "toy robot": LabelRow(9023, "toy robot", 40),
    "backpack": LabelRow(48, "backpack", 37),
    "bucket": LabelRow(102, "bucket", 40),
    "fan": LabelRow(76, "fan", 40),
    "guitar": LabelRow(112, "guitar", 40),
    "washing machine": LabelRow(70, "washing machine", 39),
    "refrigerator": LabelRow(27, "refrigerator", 24),
    "bench": LabelRow(68, "bench", 39),
    "toilet": LabelRow(17, "toilet", 33),
    "piano": LabelRow(90, "piano", 39),
    "traffic cone": LabelRow(9024, "traffic cone", 40),
    "drum": LabelRow(9025, "drum", 40),
}
"""Raw category (a kind's name, or a piece of the room) -> its row."""


def write_label_table(folder: str | Path) -> Path:
    """Write the table into a folder of scenes; a table of the same text is left alone.

    Raises:
        OSError: it cannot be written.
        ValueError: the folder has another table, perhaps the real one, which is not overwritten.
    """
    path = Path(folder) / FILE_NAME
    lines = ["\t".join(COLUMNS)]
    for raw, row in LABEL_ROWS.items():
        name = _NYU40[row.nyu40]
        number, eigen = _EIGEN13.get(row.nyu40, (6, "Furniture") if row.nyu40 in _FURNITURE else (7, "Objects"))
        cells = {
            "id": row.id, "raw_category": raw, "category": row.category, "count": 1, "nyu40id": row.nyu40,
            "eigen13id": number, "nyuClass": name, "nyu40class": name, "eigen13class": eigen,
        }  # fmt: skip
        lines.append("\t".join(str(cells.get(column, "")) for column in COLUMNS))
    text = ("\n".join(lines) + "\n").encode()
    if path.exists():
        if path.read_bytes() != text:
            raise ValueError(f"{path}: another label table is here; choose an empty --out for scenes of our own")
        return path
    with written_aside(path) as file:
        file.write(text)
    return path
