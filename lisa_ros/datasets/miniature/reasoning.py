"""ReasonSeg in small: questions by use and relation with polygons, some of them to be ignored, and explanations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lisa_ros.datasets.miniature.pictures import Picture, outline, write_jpeg
from lisa_ros.datasets.reasoning import FOLDER
from scannet_tools.synthetic.questions import Question


def write(root: Path, train: Sequence[Picture], validation: Sequence[Picture]) -> None:
    """Splits train, val and test (of the same held-out pictures as val: enough for what a miniature is for)."""
    explained = []
    for split, pictures in (("train", train), ("val", validation), ("test", validation)):
        folder = root / FOLDER / split
        folder.mkdir(parents=True)
        for picture in pictures:
            question = _question(picture)
            if question is None:
                continue
            stem = f"{picture.id}_{picture.frame.scene}"
            write_jpeg(folder / f"{stem}.jpg", picture)
            text = json.dumps(_annotation(picture, question), ensure_ascii=False)
            # one in five as some of the published files: not UTF-8
            (folder / f"{stem}.json").write_text(text, encoding="cp1252" if picture.id % 5 == 0 else "utf-8")
            if split == "train" and picture.id % 3 == 0:
                explained.append({"image": f"{stem}.jpg", "query": question.text, "outputs": question.answer})
    (root / FOLDER / "explanatory").mkdir()
    (root / FOLDER / "explanatory" / "train.json").write_text(json.dumps(explained), encoding="utf-8")


def _question(picture: Picture) -> Question | None:
    """By use, else relational, else explicit: the first whose target is large enough."""
    large = {item.id for item in picture.objects}
    for kind in ("use", "relational", "explicit"):
        for question in picture.frame.questions:
            if question.kind == kind and question.targets and set(question.targets) <= large:
                return question
    return None


def _annotation(picture: Picture, question: Question) -> dict[str, Any]:
    sentence = " " in question.text and question.kind == "use"
    texts = [question.text, *(_other_wordings(question.text) if sentence else [])]
    shapes = [_shape("target", points) for number in question.targets for points in outline(picture.mask(number))]
    others = [item.id for item in picture.objects if item.id not in question.targets]
    if others and picture.id % 3 == 1:
        shapes += [_shape("ignore", points) for points in outline(picture.mask(others[0]))]
    shapes.append(_shape("flag", [0.0, 0.0, 4.0, 4.0]))
    height, width = picture.frame.instance.shape
    return {"text": texts, "is_sentence": sentence, "shapes": shapes, "imageHeight": height, "imageWidth": width}


def _other_wordings(text: str) -> list[str]:
    """As the rephrased sentences of the training split, with the dash of cp1252 in one."""
    return [f"Look at the picture – {text}", f"Please answer: {text}"]


def _shape(label: str, points: list[float]) -> dict[str, Any]:
    return {
        "label": label,
        "labels": [label],
        "shape_type": "polygon",
        "points": [list(pair) for pair in zip(points[::2], points[1::2])],
    }
