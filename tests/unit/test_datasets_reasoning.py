"""ReasonSeg: which wordings are asked, how they are answered and how often, and splits that are not whole."""

import json

import cv2
import numpy as np
import pytest

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.reasoning import FOLDER, ReasonSeg
from lisa_ros.datasets.templates import EXPLANATORY

SQUARE = [[10, 5], [30, 5], [30, 25], [10, 25]]
CORNER = [[0, 0], [8, 0], [8, 8], [0, 8]]
SENTENCES = ["Where would one sit – or sleep?", "What is soft here?", "What would a cat choose?", "What is to rest on?"]
BECAUSE = "Because it is soft."


@pytest.fixture
def root(tmp_path):
    """Train: a sentence in four wordings (cp1252, explained) and a phrase; val: a sentence, with a region to ignore."""
    write(tmp_path, "train", "1_bed", SENTENCES, True, encoding="cp1252")
    write(tmp_path, "train", "2_lamp", ["The Lamp"], False)
    write(tmp_path, "val", "3_chair", SENTENCES, True)
    folder = tmp_path / FOLDER / "explanatory"
    folder.mkdir()
    explained = [{"image": "1_bed.jpg", "query": SENTENCES[0], "outputs": BECAUSE}]
    (folder / "train.json").write_text(json.dumps(explained))
    return tmp_path


def write(root, split, stem, texts, is_sentence, encoding="utf-8"):
    folder = root / FOLDER / split
    folder.mkdir(parents=True, exist_ok=True)
    shapes = [{"label": "target", "points": SQUARE}, {"label": "Ignored region", "points": CORNER}]
    annotation = {"text": texts, "is_sentence": is_sentence, "shapes": shapes}
    (folder / f"{stem}.json").write_bytes(json.dumps(annotation, ensure_ascii=False).encode(encoding))
    cv2.imwrite(str(folder / f"{stem}.jpg"), np.full((40, 50, 3), 90, np.uint8))


def truth():
    mask = np.zeros((40, 50), bool)
    mask[5:26, 10:31] = True
    return mask


def drawn(root, index, times, **settings):
    opened = ReasonSeg(root, **settings)
    return [opened.example(index, np.random.default_rng(seed)) for seed in range(times)]


def questions(one):
    return [turns[0][0] for turns in one.conversations]


def test_wordings_are_drawn_without_repeating_and_share_a_mask(root):
    asked = set()
    for one in drawn(root, 0, 60, explanatory=0):
        texts = [next(text for text in SENTENCES if question.startswith(text)) for question in questions(one)]
        assert len(set(texts)) == 3
        assert one.masks.shape == (3, 40, 50) and all(np.array_equal(mask, truth()) for mask in one.masks)
        asked |= set(texts)
    assert asked == set(SENTENCES)


def test_without_rephrasing_only_the_first_is_asked(root):
    for one in drawn(root, 0, 20, explanatory=0, rephrased=False):
        (question,) = questions(one)
        assert question.startswith(SENTENCES[0])


def test_phrases_are_asked_for_in_lower_case_and_sentences_as_they_are(root):
    for one in drawn(root, 1, 20):
        (question,) = questions(one)
        assert "the lamp in this image" in question
    for one in drawn(root, 0, 5, explanatory=0, rephrased=False):
        assert questions(one)[0].removeprefix(SENTENCES[0]) in (
            " Please respond with segmentation mask.",
            " Please output segmentation mask.",
        )


def test_explanations_come_as_often_as_said(root):
    """Alone with probability 0.1; else half [SEG], half [SEG] and the explanation. All wordings of a picture alike."""
    counts = {"alone": 0, "both": 0, "plain": 0}
    for one in drawn(root, 0, 1000):
        styles = set()
        for ((question, answer),) in one.conversations:
            if "[SEG]" not in answer:
                assert answer == BECAUSE and question in SENTENCES
                styles.add("alone")
            elif answer.endswith(BECAUSE):
                assert question.endswith(EXPLANATORY) and question.startswith(tuple(SENTENCES))
                styles.add("both")
            else:
                assert BECAUSE not in answer
                styles.add("plain")
        (style,) = styles
        counts[style] += 1
        assert one.masks.shape == (0 if style == "alone" else 3, 40, 50)
    assert counts["alone"] == pytest.approx(100, abs=35)
    assert counts["both"] == pytest.approx(450, abs=60)


def test_explanations_can_be_switched_off_and_then_need_no_file(root):
    (root / FOLDER / "explanatory/train.json").unlink()
    assert all("[SEG]" in turns[0][1] for one in drawn(root, 0, 50, explanatory=0) for turns in one.conversations)
    with pytest.raises(DatasetError, match=r"explanatory/train\.json is missing.* explanatory to 0"):
        ReasonSeg(root)


def test_evaluation_asks_the_first_wording_and_keeps_what_is_ignored(root):
    item = ReasonSeg(root, "val", explanatory=0).evaluation_item(0)
    assert item.texts == (SENTENCES[0],) and item.sentences == (True,) and item.kinds == ("long",)
    wanted = truth().astype(np.uint8)
    wanted[:9, :9] = 255
    assert np.array_equal(item.targets, wanted[None])
    phrase = ReasonSeg(root, "train").evaluation_item(1)
    assert phrase.texts == ("The Lamp",) and phrase.sentences == (False,) and phrase.kinds == ("short",)


@pytest.mark.parametrize("split", ["train+val", "train|val", "train_val"])
def test_several_splits(root, split):
    assert len(ReasonSeg(root, split)) == 3


def test_pictures_without_an_annotation_are_named(root):
    """The test split was first published so."""
    (root / FOLDER / "train/2_lamp.json").unlink()
    with pytest.raises(DatasetError, match=r"train/2_lamp\.json is missing"):
        ReasonSeg(root)
    with pytest.raises(DatasetError, match=r"ReasonSeg/test: no \*\.json there"):
        ReasonSeg(root, "test")


def test_damaged_annotations_are_named(root):
    (root / FOLDER / "train/1_bed.json").write_text('{"text": ["a"], "is_sentence"')
    with pytest.raises(DatasetError, match=r"1_bed\.json: not JSON, or cut short"):
        ReasonSeg(root).example(0, np.random.default_rng(0))
    (root / FOLDER / "explanatory/train.json").write_text('[{"image": "1_bed.jpg", "query": "?"}]')
    with pytest.raises(DatasetError, match=r"explanatory/train\.json: item 0: it has no 'outputs'"):
        ReasonSeg(root)
