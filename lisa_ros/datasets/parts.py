"""Parts of things: PACO-LVIS and PASCAL-Part, one question for each annotation (an instance, not a class)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.datasets.coco_masks import draw
from lisa_ros.datasets.example import DatasetError, Example, conversation, stack
from lisa_ros.datasets.files import coco_image_id, fields_of, read_json, read_picture
from lisa_ros.datasets.templates import ANSWERS, ask_short, pick


class Parts:
    """Pictures with annotations in COCO's format.

    Args:
        annotations: the JSON file. pictures: folder that its file names begin in.
        count: annotations a picture, at most.
        exclude_images: COCO ids that are left out.
    """

    def __init__(
        self, name: str, annotations: Path, pictures: Path, count: int, exclude_images: frozenset[int] = frozenset()
    ) -> None:
        self.name, self._pictures, self._count, self._where = name, pictures, count, annotations
        images, found, categories = fields_of(
            read_json(annotations), str(annotations), "images", "annotations", "categories"
        )
        self._names = {category["id"]: _names(category["name"]) for category in categories}
        by_image: dict[Any, list[tuple[Any, Any]]] = {}
        for item in found:
            image, category, segmentation = fields_of(
                item, f"{annotations}: annotation {item.get('id')}", "image_id", "category_id", "segmentation"
            )
            if category not in self._names:
                raise DatasetError(
                    f"{annotations}: annotation {item.get('id')} is of category {category}, which it does not list"
                )
            by_image.setdefault(image, []).append((category, segmentation))
        self._images = [
            (image["file_name"], image["height"], image["width"], by_image[image["id"]])
            for image in images
            if image["id"] in by_image and coco_image_id(image["file_name"]) not in exclude_images
        ]

    def __len__(self) -> int:
        return len(self._images)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        file, height, width, annotations = self._images[index]
        path = self._pictures / file
        image = read_picture(path)
        if image.shape[:2] != (height, width):
            raise DatasetError(f"{path} is {list(image.shape[:2])}, {self._where} says [{height}, {width}]")
        count = min(self._count, len(annotations))
        chosen = rng.choice(len(annotations), count, replace=False) if count < len(annotations) else range(count)
        turns, masks = [], []
        for number in chosen:
            category, segmentation = annotations[number]
            turns.append(conversation(ask_short(self._spoken(category, rng), rng), pick(ANSWERS, rng)))
            masks.append(
                draw(segmentation, height, width, f"{self._where}: {file}, annotation {number} of the picture")
            )
        return Example(str(path), image, path, tuple(turns), stack(masks, height, width))

    def _spoken(self, category: Any, rng: np.random.Generator) -> str:
        thing, part = self._names[category]
        if part is None:
            return thing
        return f"{thing} {part}" if rng.random() < 0.5 else f"the {part} of the {thing}"


class PacoLvis(Parts):
    """PACO-LVIS: things and their parts on COCO train2017 pictures."""

    def __init__(self, root: Path, *, count: int = 3, exclude_images: frozenset[int] = frozenset()) -> None:
        annotations = Path(root) / "vlpart" / "paco" / "annotations" / "paco_lvis_v1_train.json"
        super().__init__("paco_lvis", annotations, Path(root) / "coco", count, exclude_images)


class PascalPart(Parts):
    """PASCAL-Part on VOC 2010 pictures, with the annotations of VLPart."""

    def __init__(self, root: Path, *, count: int = 3) -> None:
        folder = Path(root) / "vlpart" / "pascal_part"
        super().__init__("pascal_part", folder / "train.json", folder / "VOCdevkit" / "VOC2010" / "JPEGImages", count)


def _names(category: str) -> tuple[str, str | None]:
    """ "mug_(cup):handle_(part)" -> ("mug", "handle"); a thing alone has no part."""
    thing, _, part = category.strip().partition(":")
    return thing.split("_(")[0], part.split("_(")[0] or None
