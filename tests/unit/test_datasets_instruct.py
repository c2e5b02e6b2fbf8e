"""LLaVA's conversations: turns, the picture's mark, pictures of other collections, files that are not as published."""

import json

import cv2
import numpy as np
import pytest

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.instruct import LlavaInstruct


def said(*texts, first="human"):
    who = ("human", "gpt") if first == "human" else ("gpt", "human")
    return [{"from": who[place % 2], "value": text} for place, text in enumerate(texts)]


def opened(root, items, file="llava_instruct_150k", **settings):
    (root / "llava_dataset").mkdir(exist_ok=True)
    (root / f"llava_dataset/{file}.json").write_text(json.dumps(items))
    for item in items:
        if item.get("image"):
            path = root / ("" if "/" in item["image"] else "coco/train2017") / item["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.zeros((6, 8, 3), np.uint8))
    return LlavaInstruct(root, file, **settings)


def only(dataset):
    return dataset.example(0, np.random.default_rng(0))


@pytest.mark.parametrize("question", ["<image>\nWhat is it?", "What is it?\n<image>", "What is it?"])
def test_all_turns_without_the_pictures_mark(tmp_path, question):
    item = {"image": "000000000009.jpg", "conversations": said(question, "A mug.", "Whose?", "Mine.")}
    one = only(opened(tmp_path, [item]))
    assert one.conversations == ((("What is it?", "A mug."), ("Whose?", "Mine.")),)
    assert one.masks.shape == (0, 6, 8) and one.image_path == tmp_path / "coco/train2017/000000000009.jpg"


def test_an_answer_before_the_first_question_is_left_out(tmp_path):
    item = {"image": "000000000009.jpg", "conversations": said("Hello.", "What is it?", "A mug.", first="gpt")}
    assert only(opened(tmp_path, [item])).conversations == ((("What is it?", "A mug."),),)


def test_pictures_of_the_mix_are_named_from_the_root(tmp_path):
    talk = said("<image>\nWhat?", "This.")
    files = ["coco/train2017/000000000009.jpg", "vg/VG_100K/9.jpg", "gqa/images/9.jpg"]
    items = [*({"image": file, "conversations": talk} for file in files), {"conversations": said("2 + 2?", "4")}]
    mix = opened(tmp_path, items, "llava_v1_5_mix665k")
    assert [mix.example(n, np.random.default_rng(0)).image_path for n in range(len(mix))] == [
        tmp_path / f for f in files
    ]
    # Visual Genome's 9 is another picture than COCO's
    without = LlavaInstruct(tmp_path, "llava_v1_5_mix665k", exclude_images=frozenset({9}))
    assert [without.example(n, np.random.default_rng(0)).image_path for n in range(len(without))] == [
        tmp_path / f for f in files[1:]
    ]


@pytest.mark.parametrize(
    "talk",
    [
        [],
        "text",
        said("Only a question?"),
        said("a", "b") + said("c", "d", first="gpt"),
        [{"from": "human", "value": 3}, {"from": "gpt", "value": "x"}],
        [{"from": "system", "value": "a"}, {"from": "user", "value": "x"}],
    ],
)
def test_conversations_that_are_none_are_named(tmp_path, talk):
    good = {"image": "000000000001.jpg", "conversations": said("a", "b")}
    dataset = opened(tmp_path, [good, {"image": "000000000009.jpg", "conversations": talk}])
    with pytest.raises(DatasetError, match=r"llava_instruct_150k\.json: conversation 1: "):
        dataset.example(1, np.random.default_rng(0))


def test_a_file_that_is_no_list(tmp_path):
    (tmp_path / "llava_dataset").mkdir()
    (tmp_path / "llava_dataset/llava_instruct_150k.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"llava_instruct_150k\.json: expected a list"):
        LlavaInstruct(tmp_path)
