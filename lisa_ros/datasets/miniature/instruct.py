"""LLaVA's instruction data in small: a talk of two turns about what is to be seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lisa_ros.datasets.instruct import FILES
from lisa_ros.datasets.miniature.pictures import Picture


def write(root: Path, pictures: Sequence[Picture]) -> None:
    """Both files; the mix of v1.5 names pictures from the root, and has talks without one."""
    folder = root / "llava_dataset"
    folder.mkdir(parents=True)
    talks = [(picture, _talk(picture)) for picture in pictures]
    plain = [{"id": f"{p.id:012}", "image": f"{p.id:012}.jpg", "conversations": talk} for p, talk in talks]
    mixed = [{**item, "image": f"coco/train2017/{item['image']}"} for item in plain]
    mixed.append(
        {"id": "text", "conversations": [_said("human", "What is a room?"), _said("gpt", "A part of a house.")]}
    )
    for name, items in zip(FILES, (plain, mixed)):
        (folder / f"{name}.json").write_text(json.dumps(items), encoding="utf-8")


def _talk(picture: Picture) -> list[dict[str, str]]:
    things = [f"{item.color} {item.kind}" for item in sorted(picture.objects, key=lambda item: -item.pixels)[:3]]
    largest = things[0] if things else "wall"
    place = "a room" if picture.frame.scene == "room" else "a table top"
    return [
        _said("human", "What is the largest thing here?\n<image>"),
        _said("gpt", f"It is the {largest}."),
        _said("human", "Where is it?"),
        _said("gpt", f"On {place}." if place == "a table top" else f"In {place}."),
    ]


def _said(who: str, text: str) -> dict[str, str]:
    return {"from": who, "value": text}
