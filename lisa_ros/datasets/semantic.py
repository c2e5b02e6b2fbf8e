"""Semantic segmentation as questions about classes: ADE20K, COCO-Stuff, Mapillary Vistas (paper section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from lisa_ros.datasets.example import DatasetError, Example, conversation, stack
from lisa_ros.datasets.files import coco_image_id, fields_of, listed, read_json, read_labels, read_picture
from lisa_ros.datasets.templates import ANSWERS, ask_short, pick

IGNORED = 255
TRIES = 50  # pictures without any class are rare: so many in a row are a mistake in the folder


class LabelPictures:
    """Pictures with a label picture each. Subclasses say where they lie and what the labels mean.

    Args:
        pairs: (picture, label picture).
        classes: label -> name.
        count: questions a picture, at most.
    """

    def __init__(self, name: str, pairs: Sequence[tuple[Path, Path]], classes: Sequence[str], count: int) -> None:
        self.name, self._pairs, self._classes, self._count = name, pairs, tuple(classes), count

    def __len__(self) -> int:
        return len(self._pairs)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """Some of the picture's classes, each asked for; another picture when this one has none."""
        for _ in range(TRIES):
            picture, label_file = self._pairs[index]
            image = read_picture(picture)
            labels = self._usable(read_labels(label_file, image.shape[:2]))
            present = np.unique(labels)
            present = present[present != IGNORED]
            if len(present) and present[-1] >= len(self._classes):
                raise DatasetError(
                    f"{label_file}: it has label {present[-1]}, {self.name} has {len(self._classes)} classes; "
                    "is it of another version of the data set?"
                )
            if len(present):
                chosen = present if len(present) < self._count else rng.choice(present, self._count, replace=False)
                return Example(
                    str(picture),
                    image,
                    picture,
                    tuple(conversation(ask_short(self._classes[c], rng), pick(ANSWERS, rng)) for c in chosen),
                    stack([labels == c for c in chosen], *image.shape[:2]),
                )
            index = int(rng.integers(len(self)))
        raise DatasetError(f"{label_file} and {TRIES - 1} others have no class: is this folder really {self.name}?")

    def _usable(self, labels: np.ndarray) -> np.ndarray:
        """Labels as indices of the classes, IGNORED where there is none."""
        return labels


class Ade20k(LabelPictures):
    """ADE20K's scene parsing: 150 classes; 0 in the files is "other objects"."""

    def __init__(self, root: Path, *, count: int = 3) -> None:
        folder = Path(root) / "ade20k"
        pictures = listed(folder / "images" / "training", "*.jpg")
        pairs = [(one, folder / "annotations" / "training" / f"{one.stem}.png") for one in pictures]
        super().__init__("ade20k", pairs, class_names("ade20k"), count)

    def _usable(self, labels: np.ndarray) -> np.ndarray:
        return labels.astype(np.uint8) - np.uint8(1)  # 0 becomes 255


class CocoStuff(LabelPictures):
    """COCO-Stuff's stuffthingmaps: 182 classes. Those with a dash in their name ("wall-brick", "food-other") are ignored.

    Args:
        exclude_images: COCO ids that are left out.
    """

    def __init__(self, root: Path, *, count: int = 3, exclude_images: frozenset[int] = frozenset()) -> None:
        labels = listed(Path(root) / "cocostuff" / "train2017", "*.png")
        labels = [one for one in labels if coco_image_id(one.name) not in exclude_images]
        pairs = [(Path(root) / "coco" / "train2017" / f"{one.stem}.jpg", one) for one in labels]
        classes = class_names("cocostuff")
        super().__init__("cocostuff", pairs, classes, count)
        self._ignored = np.arange(256, dtype=np.uint8)
        self._ignored[[number for number, name in enumerate(classes) if "-" in name]] = IGNORED

    def _usable(self, labels: np.ndarray) -> np.ndarray:
        return self._ignored[labels]


class Mapillary(LabelPictures):
    """Mapillary Vistas v2.0, class names from its own config_v2.0.json."""

    def __init__(self, root: Path, *, count: int = 3) -> None:
        folder = Path(root) / "mapillary"
        where = folder / "config_v2.0.json"
        (labels,) = fields_of(read_json(where), str(where), "labels")
        classes = [
            fields_of(label, f"{where}: label {number}", "readable")[0].lower() for number, label in enumerate(labels)
        ]
        files_ = listed(folder / "training" / "v2.0" / "labels", "*.png")
        pairs = [(folder / "training" / "images" / f"{one.stem}.jpg", one) for one in files_]
        super().__init__("mapillary", pairs, classes, count)


def class_names(data_set: str) -> tuple[str, ...]:
    """Class names of a data set, in the order of its labels."""
    text = (files("lisa_ros.datasets") / "class_names" / f"{data_set}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
