"""ADE20K, COCO-Stuff and Mapillary Vistas in small. What a synthetic kind is called there stands in two tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lisa_ros.datasets.miniature.pictures import Picture, write_jpeg, write_labels
from lisa_ros.datasets.semantic import class_names
from scannet_tools.synthetic.kinds import KIND_NAMES

ADE20K = {
    "bookshelf": "bookcase", "television": "television receiver", "bin": "ashcan", "picture": "painting", "laptop": "computer",
    "wine glass": "glass", "pan": "pot", "teddy bear": "plaything", "suitcase": "case",
}  # fmt: skip
COCO_STUFF = {
    "mug": "cup", "phone": "cell phone", "ball": "sports ball", "armchair": "chair", "sofa": "couch", "table": "dining table",
    "plant": "potted plant", "television": "tv", "box": "cardboard", "bookshelf": "shelf", "background": "wall-other",
}  # fmt: skip


def write(root: Path, pictures: Sequence[Picture]) -> None:
    """Training pictures and labels of the three data sets."""
    ade = _table(class_names("ade20k"), ADE20K, none=-1) + 1  # 0: something else
    stuff = _table(class_names("cocostuff"), COCO_STUFF, none=255)
    vistas = np.arange(len(KIND_NAMES))
    _write_config(root / "mapillary" / "config_v2.0.json")
    for picture in pictures:
        category = picture.frame.category
        for folder, name, table in (
            (root / "ade20k", f"ADE_train_{picture.id:08}", ade),
            (root / "mapillary" / "training", f"miniature{picture.id:06}", vistas),
        ):
            labels = folder / ("annotations/training" if folder.name == "ade20k" else "v2.0/labels")
            images = folder / ("images/training" if folder.name == "ade20k" else "images")
            write_jpeg(images / f"{name}.jpg", picture)
            write_labels(labels / f"{name}.png", table[category].astype(np.uint8))
        write_jpeg(root / "coco" / "train2017" / f"{picture.id:012}.jpg", picture)
        write_labels(root / "cocostuff" / "train2017" / f"{picture.id:012}.png", stuff[category].astype(np.uint8))


def _table(classes: Sequence[str], called: dict[str, str], none: int) -> np.ndarray:
    """Synthetic category -> label."""
    names = [called.get(kind, kind) for kind in KIND_NAMES]
    return np.array([classes.index(name) if name in classes else none for name in names])


def _write_config(path: Path) -> None:
    """Mapillary's list of labels; "readable" is what they are called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = [
        {
            "name": f"object--{kind.replace(' ', '-')}",
            "readable": kind.capitalize(),
            "instances": True,
            "evaluate": True,
            "color": [0, 0, n],
        }
        for n, kind in enumerate(KIND_NAMES)
    ]
    path.write_text(
        json.dumps({"version": "2.0", "mapping": "public", "folder_structure": "", "labels": labels}), encoding="utf-8"
    )
