"""refCOCO, refCOCO+, refCOCOg, refCLEF and gRefCOCO in small: a thing is referred to by its colour and kind."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lisa_ros.datasets.miniature.pictures import Picture, box, outline, run_lengths, write_jpeg
from lisa_ros.datasets.refer_files import SPLIT_BY
from scannet_tools.synthetic.kinds import KIND_NAMES

HELD_OUT = {
    "refcoco": ("val", "testA", "testB"),
    "refcoco+": ("val", "testA", "testB"),
    "grefcoco": ("val", "testA", "testB"),
}
HELD_OUT |= {"refcocog": ("val", "test"), "refclef": ("val", "testA", "testB", "testC")}


def write(root: Path, train: Sequence[Picture], validation: Sequence[Picture]) -> None:
    """All five. The held-out pictures are divided among a set's splits."""
    folder = root / "refer_seg"
    for picture in (*train, *validation):
        write_jpeg(folder / "images" / "mscoco" / "images" / "train2014" / _coco_file(picture), picture)
        write_jpeg(folder / "images" / "saiapr_tc-12" / _clef_file(picture), picture)
    for name, split_by in SPLIT_BY.items():
        held_out = HELD_OUT[name]
        pictures = [(picture, "train") for picture in train]
        pictures += [(picture, held_out[number % len(held_out)]) for number, picture in enumerate(validation)]
        (folder / name).mkdir(parents=True)
        instances = _instances(pictures, name == "refclef")
        (folder / name / "instances.json").write_text(json.dumps(instances), encoding="utf-8")
        refs = list(_general_refs(pictures) if name == "grefcoco" else _refs(pictures))
        if name == "grefcoco":
            (folder / name / f"grefs({split_by}).json").write_text(json.dumps(refs), encoding="utf-8")
        else:
            (folder / name / f"refs({split_by}).p").write_bytes(pickle.dumps(refs, protocol=2))


def _coco_file(picture: Picture) -> str:
    return f"COCO_train2014_{picture.id:012}.jpg"


def _clef_file(picture: Picture) -> str:
    return f"{picture.id % 40:02}/images/{picture.id}.jpg"


def _annotation_id(picture: Picture, number: int) -> int:
    return picture.id * 1000 + number


def _instances(pictures: Iterable[tuple[Picture, str]], clef: bool) -> dict[str, Any]:
    """clef: masks as refCLEF has them, a list of run lengths; else polygons."""
    file = _clef_file if clef else _coco_file
    images, annotations = [], []
    for picture, _ in pictures:
        height, width = picture.frame.instance.shape
        images.append({"id": picture.id, "file_name": file(picture), "height": height, "width": width})
        for item in picture.objects:
            mask = picture.mask(item.id)
            annotations.append(
                {
                    "id": _annotation_id(picture, item.id),
                    "image_id": picture.id,
                    "category_id": KIND_NAMES.index(item.kind),
                    "segmentation": [run_lengths(mask)] if clef else outline(mask),
                    "bbox": box(mask),
                    "area": float(mask.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(KIND_NAMES) if number]
    return {"images": images, "annotations": annotations, "categories": categories}


def _refs(pictures: Iterable[tuple[Picture, str]]) -> Iterable[dict[str, Any]]:
    """One target each, by what no other thing in view is called."""
    number = 0
    for picture, split in pictures:
        shown = [item for item in picture.frame.objects if item.pixels]
        kinds, both = Counter(item.kind for item in shown), Counter((item.color, item.kind) for item in shown)
        for item in picture.objects:
            texts = []
            if both[item.color, item.kind] == 1:
                texts += [f"{item.color} {item.kind}", f"{item.kind} that is {item.color}"]
            if kinds[item.kind] == 1:
                texts.append(item.kind)
            if texts:
                number += 1
                yield _ref(number, picture, split, _annotation_id(picture, item.id), texts, KIND_NAMES.index(item.kind))


def _general_refs(pictures: Iterable[tuple[Picture, str]]) -> Iterable[dict[str, Any]]:
    """One target, several, or none."""
    number = 0
    for picture, split in pictures:
        shown = Counter(item.kind for item in picture.frame.objects if item.pixels)
        for kind in dict.fromkeys(item.kind for item in picture.objects):
            meant = [item.id for item in picture.objects if item.kind == kind]
            if shown[kind] == len(meant):  # none of them is too small to be annotated
                number += 1
                ids = [_annotation_id(picture, one) for one in meant]
                text = f"all {kind}s" if len(ids) > 1 else kind
                categories = [KIND_NAMES.index(kind)] * len(ids)
                yield _ref(number, picture, split, ids, [text], categories) | {"no_target": False}
        absent = [kind for kind in KIND_NAMES[1:] if not shown[kind]]
        number += 1
        yield _ref(number, picture, split, [-1], [absent[picture.id % len(absent)]], [-1]) | {"no_target": True}


def _ref(number: int, picture: Picture, split: str, annotation: Any, texts: list[str], category: Any) -> dict[str, Any]:
    sentences = [
        {"tokens": text.split(), "raw": text, "sent": text, "sent_id": number * 10 + place}
        for place, text in enumerate(texts)
    ]
    return {
        "ref_id": number,
        "ann_id": annotation,
        "image_id": picture.id,
        "file_name": _coco_file(picture),
        "category_id": category,
        "split": split,
        "sent_ids": [sentence["sent_id"] for sentence in sentences],
        "sentences": sentences,
    }
