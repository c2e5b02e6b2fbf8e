"""Referring expressions: refCOCO, refCOCO+, refCOCOg, refCLEF (one target), gRefCOCO (several targets, or none)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.datasets.coco_masks import draw
from lisa_ros.datasets.example import DatasetError, EvaluationItem, Example, conversation, stack
from lisa_ros.datasets.files import fields_of, read_json, read_picture
from lisa_ros.datasets.refer_files import SPLIT_BY, read_refs
from lisa_ros.datasets.templates import ANSWERS, ask_short, pick

NAMES = tuple(SPLIT_BY)
ON_COCO = ("refcoco", "refcoco+", "refcocog")
NO_TARGET = {"mask": "an empty mask", "refuse": "an answer without [SEG]"}
REFUSAL = "There is no {name} in this image."


@dataclass(frozen=True)
class Expression:
    """What is said about a picture, and the annotations that it means (none: there is no such thing)."""

    text: str
    annotations: tuple[int, ...]


class Referring:
    """One data set of the REFER family, for training and for evaluation.

    Args:
        name: one of NAMES.
        split: "train", "val", "testA", "testB", "testC", as the set has them; "test" is all of its tests.
        count: expressions a picture in training, at most.
        no_target: what is learned for an expression without a target (gRefCOCO): "mask", an empty mask, as the
            reference does, or "refuse", an answer in words without [SEG].
        exclude_images: COCO ids that are left out; refCLEF has no COCO pictures.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        split: str = "train",
        *,
        count: int = 3,
        no_target: str = "mask",
        exclude_images: frozenset[int] = frozenset(),
    ) -> None:
        if name not in NAMES:
            raise DatasetError(f'no data set "{name}"; there are {", ".join(NAMES)}')
        if no_target not in NO_TARGET:
            raise DatasetError(f'no_target "{no_target}" is not known; choose from {", ".join(NO_TARGET)}')
        self.name, self.split, self._count, self._no_target = name, split, count, no_target
        folder = Path(root) / "refer_seg"
        where = folder / name
        index = where / "instances.json"
        images, annotations = fields_of(read_json(index), str(index), "images", "annotations")
        self._annotations = dict(
            fields_of(one, f"{index}: annotation {number}", "id", "segmentation")
            for number, one in enumerate(annotations)
        )
        pictures = "saiapr_tc-12" if name == "refclef" else "mscoco/images/train2014"
        self._pictures = folder / "images" / pictures
        by_image = self._expressions(where, split)
        listed = {}
        for number, image in enumerate(images):
            identity, *about = fields_of(image, f"{index}: image {number}", "id", "file_name", "height", "width")
            listed[identity] = about
        unlisted = next((image for image in by_image if image not in listed), None)
        if unlisted is not None:
            raise DatasetError(
                f"{index}: no image {unlisted}, which a reference is about: the files are of two versions"
            )
        excluded = frozenset() if name == "refclef" else exclude_images
        self._images = [
            (image, *listed[image], by_image[image]) for image in listed if image in by_image.keys() - excluded
        ]

    def _expressions(self, where: Path, split: str) -> dict[int, list[Expression]]:
        """Image id -> what is said about it in this split."""
        by_image: dict[int, list[Expression]] = {}
        splits = set()
        for number, ref in enumerate(read_refs(where, self.name)):
            at = f"{where}: reference {number}"
            of, image, target, sentences = fields_of(ref, at, "split", "image_id", "ann_id", "sentences")
            splits.add(of)
            if not _belongs(of, split):
                continue
            meant = _annotation_ids(target, bool(ref.get("no_target")))
            unknown = [one for one in meant if one not in self._annotations]
            if unknown:
                raise DatasetError(f"{at} means annotation {unknown[0]}, which instances.json lacks")
            texts = [fields_of(sentence, at, "sent")[0].strip() for sentence in sentences]
            found = [Expression(text, meant) for text in texts if text]
            if found:
                by_image.setdefault(image, []).extend(found)
        if not by_image:
            raise DatasetError(
                f'{where}: no reference of the split "{split}"; there are {", ".join(sorted(splits)) or "none"}'
            )
        return by_image

    def __len__(self) -> int:
        return len(self._images)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        path, image, expressions = self._open(index)
        count = min(self._count, len(expressions))
        chosen = rng.choice(len(expressions), count, replace=False) if count < len(expressions) else range(count)
        turns, masks = [], []
        for expression in (expressions[number] for number in chosen):
            question = ask_short(expression.text, rng)
            if not expression.annotations and self._no_target == "refuse":
                turns.append(conversation(question, REFUSAL.format(name=expression.text.lower())))
                continue
            turns.append(conversation(question, pick(ANSWERS, rng)))
            masks.append(self._mask(expression, path, image.shape[:2]))
        return Example(str(path), image, path, tuple(turns), stack(masks, *image.shape[:2]))

    def evaluation_item(self, index: int) -> EvaluationItem:
        """All expressions of a picture. Kinds: the split's name; "no-target" for those without a target."""
        path, image, expressions = self._open(index)
        return EvaluationItem(
            name=f"{self.name}/{self._images[index][0]}",
            image=image,
            texts=tuple(expression.text.lower() for expression in expressions),  # as the reference validates
            sentences=(False,) * len(expressions),
            targets=np.array([self._mask(expression, path, image.shape[:2]) for expression in expressions], np.uint8),
            kinds=tuple(self.split if expression.annotations else "no-target" for expression in expressions),
        )

    def _open(self, index: int) -> tuple[Path, np.ndarray, list[Expression]]:
        _, file, height, width, expressions = self._images[index]
        path = self._pictures / file
        image = read_picture(path)
        if image.shape[:2] != (height, width):
            raise DatasetError(f"{path} is {list(image.shape[:2])}, instances.json says [{height}, {width}]")
        return path, image, expressions

    def _mask(self, expression: Expression, path: Path, shape: tuple[int, int]) -> np.ndarray:
        mask = np.zeros(shape, bool)
        for one in expression.annotations:
            mask |= draw(self._annotations[one], *shape, f"{self.name}: annotation {one} on {path.name}")
        return mask


def heldout_coco_images(root: Path) -> frozenset[int]:
    """COCO ids that refCOCO, refCOCO+ and refCOCOg evaluate on; the paper trains on none of them (section 5.1).

    The divisions differ: a picture that refCOCOg trains on may be one that refCOCO evaluates on.

    Raises:
        DatasetError: a set is not there, so it is not known what it evaluates on.
    """
    found: set[int] = set()
    for name in ON_COCO:
        where = Path(root) / "refer_seg" / name
        try:
            refs = read_refs(where, name)
        except DatasetError as error:
            raise DatasetError(
                f"{error}. It says which COCO pictures are held out; without it, set data.exclude_heldout to false"
            ) from error
        for number, ref in enumerate(refs):
            split, image = fields_of(ref, f"{where}: reference {number}", "split", "image_id")
            if split != "train":
                found.add(image)
    return frozenset(found)


def _belongs(of: str, split: str) -> bool:
    """refCLEF has references of two tests at once, such as "testAB"."""
    if split in ("testA", "testB", "testC"):
        return of.startswith("test") and split[-1] in of
    return of.startswith("test") if split == "test" else of == split


def _annotation_ids(target: Any, none: bool) -> tuple[int, ...]:
    """refCOCO names one annotation, gRefCOCO a list; [-1] is its way to say that there is none."""
    ids = target if isinstance(target, list) else [target]
    return () if none or -1 in ids else tuple(ids)
