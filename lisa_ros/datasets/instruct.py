"""LLaVA's visual instruction data: conversations about a picture, no masks (paper section 4.2, VQA)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lisa_ros.datasets.example import DatasetError, Example, Turns
from lisa_ros.datasets.files import coco_image_id, fields_of, read_json, read_picture
from lisa_ros.model.tokenizer import IMAGE

FILES = ("llava_instruct_150k", "llava_v1_5_mix665k")


class LlavaInstruct:
    """Conversations of one file. Those without a picture (text only, in the mix of v1.5) are left out.

    Args:
        file: one of FILES. Pictures of the first lie in coco/train2017; the second names them from the root
            (coco/train2017, gqa/images, ocr_vqa/images, textvqa/train_images, vg/VG_100K, vg/VG_100K_2).
        exclude_images: COCO ids that are left out. GQA and Visual Genome show some COCO pictures under numbers of their
            own, which are not found.
    """

    def __init__(self, root: Path, file: str = FILES[0], *, exclude_images: frozenset[int] = frozenset()) -> None:
        self.name, self._root = file, Path(root)
        self._where = self._root / "llava_dataset" / f"{file}.json"
        items = read_json(self._where)
        if not isinstance(items, list):
            raise DatasetError(f"{self._where}: expected a list of conversations; copy the file again")
        with_picture = [
            (number, item) for number, item in enumerate(items) if isinstance(item, dict) and item.get("image")
        ]
        self._items = [
            (number, item)
            for number, item in with_picture
            if not (self._on_coco(item["image"]) and coco_image_id(item["image"]) in exclude_images)
        ]

    def __len__(self) -> int:
        return len(self._items)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        number, item = self._items[index]
        where = f"{self._where}: conversation {number}"
        file, said = fields_of(item, where, "image", "conversations")
        path = self._root / ("coco/train2017" if "/" not in file else ".") / file
        image = read_picture(path)
        return Example(where, image, path, (_turns(said, where),), np.zeros((0, *image.shape[:2]), bool))

    def _on_coco(self, file: str) -> bool:
        return "/" not in file or file.startswith("coco/")


def _turns(said: Any, where: str) -> Turns:
    """Questions and answers in turn; the picture's mark is taken out, an answer without a question is left out."""
    if not isinstance(said, list) or not all(
        isinstance(one, dict) and isinstance(one.get("value"), str) for one in said
    ):
        raise DatasetError(f"{where}: 'conversations' must be a list of objects with 'from' and 'value'")
    said = said[1:] if said and said[0].get("from") != "human" else said
    if [one.get("from") for one in said[:2]] != ["human", "gpt"] or any(
        one.get("from") != ("human", "gpt")[place % 2] for place, one in enumerate(said)
    ):
        raise DatasetError(f"{where}: human and gpt must take turns")
    texts = [one["value"].replace(IMAGE, "").strip() for one in said]
    return tuple(zip(texts[::2], texts[1::2]))
