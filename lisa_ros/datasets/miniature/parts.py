"""PACO-LVIS and PASCAL-Part in small: a thing's parts are its upper and its lower half."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.datasets.miniature.pictures import Picture, box, outline, run_lengths, write_jpeg
from scannet_tools.synthetic.kinds import KIND_NAMES

PARTS = ("top", "bottom")


def write(root: Path, pictures: Sequence[Picture]) -> None:
    """Both data sets. PACO's things have the name of their own ("mug_(cup)") and colour pictures on COCO."""
    names = {kind: kind.replace(" ", "_") for kind in KIND_NAMES[1:]}
    paco = [names[kind] for kind in names] + [f"{names[kind]}:{part}_(part)" for kind in names for part in PARTS]
    pascal = [f"{kind}:{part}" for kind in names for part in PARTS]
    _write(
        root / "vlpart" / "paco" / "annotations" / "paco_lvis_v1_train.json",
        pictures,
        paco,
        "train2017/{:012}.jpg",
        names,
    )
    folder = root / "vlpart" / "pascal_part"
    _write(folder / "train.json", pictures, pascal, "2010_{:06}.jpg", {kind: kind for kind in names})
    for picture in pictures:
        write_jpeg(folder / "VOCdevkit" / "VOC2010" / "JPEGImages" / f"2010_{picture.id:06}.jpg", picture)


def _write(path: Path, pictures: Sequence[Picture], categories: list[str], file: str, names: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = {name: number for number, name in enumerate(categories, 1)}
    images, annotations = [], []
    for picture in pictures:
        height, width = picture.frame.instance.shape
        images.append({"id": picture.id, "file_name": file.format(picture.id), "height": height, "width": width})
        for item in picture.objects:
            whole = picture.mask(item.id)
            for name, mask in ((names[item.kind], whole), *_halves(names[item.kind], whole, ids)):
                if name in ids and mask.any():
                    number = len(annotations) + 1
                    annotations.append(_annotation(number, picture.id, ids[name], mask))
    data = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    path.write_text(json.dumps(data), encoding="utf-8")


def _halves(name: str, whole: np.ndarray, ids: dict[str, int]) -> list[tuple[str, np.ndarray]]:
    rows = np.nonzero(whole.any(1))[0]
    middle = (rows[0] + rows[-1]) // 2
    halves = []
    for part, rows_of in zip(PARTS, (slice(0, middle), slice(middle, None))):
        mask = np.zeros_like(whole)
        mask[rows_of] = whole[rows_of]
        called = next((one for one in (f"{name}:{part}", f"{name}:{part}_(part)") if one in ids), "")
        halves.append((called, mask))
    return halves


def _annotation(number: int, image: int, category: int, mask: np.ndarray) -> dict[str, Any]:
    """Polygons, and run lengths for every third one: COCO has both."""
    segmentation: Any = outline(mask)
    if number % 3 == 0 or not segmentation:
        segmentation = run_lengths(mask)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "area": float(mask.sum()),
        "bbox": box(mask),
        "iscrowd": 0,
    }
