"""The mixture across processes, its refusals, and the warning about sets that are not of the published size."""

import logging
import multiprocessing

import numpy as np
import pytest

from lisa_ros.datasets import opening
from lisa_ros.datasets.example import DatasetError, Example, conversation
from lisa_ros.datasets.mixture import Group, Mixture


class Numbers:
    """Items that say which they are and what was drawn for them."""

    def __init__(self, name, length=50):
        self.name, self._length = name, length

    def __len__(self):
        return self._length

    def example(self, index, rng):
        said = conversation(f"{self.name} {index}", f"{rng.integers(1 << 30)}")
        return Example(f"{self.name}/{index}", np.zeros((2, 2, 3), np.uint8), None, (said,), np.zeros((0, 2, 2), bool))


class Damaged(Numbers):
    def example(self, index, rng):
        raise DatasetError(f"{self.name}/{index}.jpg is missing")


def mixture(seed=3, length=400):
    groups = [Group(9, [Numbers("a"), Numbers("b")]), Group(3, [Numbers("c")]), Group(1, [Numbers("d")])]
    return Mixture(groups, seed=seed, length=length)


def talk(index):
    return mixture()[index].conversations


def test_processes_draw_what_one_draws():
    alone = [talk(index) for index in range(120)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(talk, range(120), chunksize=7) == alone
    assert len(set(alone)) == 120


def test_a_longer_run_begins_like_a_shorter_one():
    assert [mixture(length=20)[n].conversations for n in range(20)] == [
        mixture(length=400)[n].conversations for n in range(20)
    ]


def test_sets_of_a_group_are_drawn_alike_and_all_their_items():
    drawn = [one.name.split("/") for one in map(mixture(length=4000).__getitem__, range(4000))]
    counts = {name: sum(one == name for one, _ in drawn) / 4000 for name in "abcd"}
    assert counts == pytest.approx({"a": 4.5 / 13, "b": 4.5 / 13, "c": 3 / 13, "d": 1 / 13}, abs=0.03)
    assert {int(item) for name, item in drawn if name == "a"} == set(range(50))


@pytest.mark.parametrize("index", [-1, 400])
def test_its_ends(index):
    with pytest.raises(IndexError):
        mixture()[index]


@pytest.mark.parametrize(
    ("groups", "named"), [([], "no data set"), ([Group(1, [])], "no data set"), ([Group(1, [Numbers("x", 0)])], "x")]
)
def test_nothing_to_draw_from(groups, named):
    with pytest.raises(DatasetError, match=f"nothing to draw from: {named} is empty"):
        Mixture(groups, seed=0, length=10)


def test_a_damaged_item_is_named():
    with pytest.raises(DatasetError, match=r"broken/\d+\.jpg is missing"):
        Mixture([Group(1, [Damaged("broken")])], seed=0, length=10)[0]


@pytest.mark.parametrize(
    ("split", "found", "excluded", "warns"),
    [
        ("train", 16_994, 0, False),
        ("train", 16_993, 0, True),
        ("train", 16_995, 0, True),
        ("train", 16_000, 994, False),
        ("train", 15_999, 994, True),
        ("val", 7, 0, False),
    ],
)
def test_a_set_of_another_size_than_published_is_a_warning(
    monkeypatch, caplog, tmp_path, split, found, excluded, warns
):
    """Names without a published size, such as splits for evaluation, are not compared."""

    class Cut(Numbers):
        def __init__(self, root, split="train", *, exclude_images=frozenset()):
            super().__init__("refcoco", found)

    monkeypatch.setitem(opening.TRAINING, "refcoco", (Cut, {}))
    with caplog.at_level(logging.WARNING):
        dataset = opening.open_dataset("refcoco", tmp_path, split=split, exclude_images=frozenset(range(excluded)))
    assert len(dataset) == found
    said = [record.getMessage() for record in caplog.records]
    assert said == ([f"refcoco train: {found} items, 16994 as published; is the copy whole?"] if warns else [])
