"""Names and classes of label maps that the tests write; and of the real one, where Open3D brings it along."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scannet_files import COLUMNS, LABEL_ROWS, write_label_map

from scannet_tools.label_map import CLASSES_20, FILE_NAME, INSTANCE_CLASSES_18, VALID_200, LabelMap, find_label_map


@pytest.fixture
def label_map(tmp_path) -> LabelMap:
    return LabelMap.read(write_label_map(tmp_path / FILE_NAME))


def test_by_raw_category(label_map):
    assert label_map.raw_categories() == tuple(row[1] for row in LABEL_ROWS)
    for number, raw, category, _, nyu40, _ in LABEL_ROWS:
        assert (label_map.tsv_id(raw), label_map.category(raw), label_map.nyu40(raw)) == (number, category, nyu40)


def test_two_rows_of_one_id(label_map):
    """In 3D the raw category decides: `id` alone would give both pipes one class."""
    assert label_map.tsv_id("pipe") == label_map.tsv_id("pipes") == 107
    assert (label_map.nyu40("pipe"), label_map.nyu40("pipes")) == (40, 38)
    assert (label_map.nyu40("shower door"), label_map.nyu40("shower doors")) == (8, 38)


@pytest.mark.parametrize("raw", ["", "Chair", "unicorn"])
def test_unknown_name(label_map, raw):
    assert (label_map.nyu40(raw), label_map.tsv_id(raw), label_map.scannet200(raw)) == (0, 0, 0)
    assert label_map.category(raw) == label_map.nyu40_class(raw) == ""


def test_by_id(label_map):
    """Only for label pictures. Of two classes the more frequent one, whatever the order of the rows."""
    assert [label_map.nyu40_of_id(number) for number in (1, 2, 107, 188, 1357)] == [1, 5, 40, 8, 40]
    assert [label_map.nyu40_of_id(number) for number in (0, 99, -1, 65535, 65536)] == [0] * 5
    picture = np.array([[0, 2], [107, 1357], [99, 65535]], np.uint16)
    mapped = label_map.nyu40_of_id(picture)
    assert mapped.dtype == np.uint16 and mapped.tolist() == [[0, 5], [40, 40], [0, 0]]


def test_by_id_in_another_order_of_rows(tmp_path):
    label_map = LabelMap.read(write_label_map(tmp_path / FILE_NAME, LABEL_ROWS[::-1]))
    assert (label_map.nyu40_of_id(107), label_map.nyu40_of_id(188)) == (40, 8)


def test_spelling(label_map):
    """Some editions of the file spell it as NYU does; the benchmark does not."""
    assert label_map.nyu40_class("refrigerator") == CLASSES_20[label_map.nyu40("refrigerator")] == "refrigerator"
    assert label_map.nyu40_class("stack of chairs") == "chair"


def test_scannet200(label_map):
    assert label_map.scannet200("stack of chairs") == 2 and label_map.category("stack of chairs") == "chair"
    assert label_map.scannet200("pipes") == 107
    assert label_map.tsv_id("kinect") == 1357 and label_map.scannet200("kinect") == 0


def test_the_sets_of_classes():
    assert len(CLASSES_20) == 20 and len(INSTANCE_CLASSES_18) == 18 and len(VALID_200) == len(set(VALID_200)) == 200
    assert (sum(VALID_200[:100]), sum(VALID_200)) == (5845, 59240)  # of the list that ScanNet publishes
    assert set(CLASSES_20) - set(INSTANCE_CLASSES_18) == {1, 2}
    assert list(CLASSES_20) == sorted(CLASSES_20) and list(VALID_200) == sorted(VALID_200)
    assert (CLASSES_20[24], CLASSES_20[28], CLASSES_20[39]) == ("refrigerator", "shower curtain", "otherfurniture")


def test_windows_lines_and_a_mark(tmp_path):
    path = write_label_map(tmp_path / FILE_NAME)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert LabelMap.read(path).nyu40("stack of chairs") == 5


def test_a_quote_is_no_quote(tmp_path):
    path = write_label_map(tmp_path / FILE_NAME, ((5, '"L" desk', "desk", 1, 14, "desk"), *LABEL_ROWS))
    label_map = LabelMap.read(path)
    assert label_map.tsv_id('"L" desk') == 5 and label_map.tsv_id("wall") == 1


def test_a_row_without_class(tmp_path):
    label_map = LabelMap.read(write_label_map(tmp_path / FILE_NAME, ((9, "thing", "thing", "", "", ""),)))
    assert (label_map.tsv_id("thing"), label_map.nyu40("thing"), label_map.nyu40_class("thing")) == (9, 0, "")


def test_the_file_of_v1_is_refused(tmp_path):
    """It is called nearly the same and has a row per category: nyuId, nyuClass ..."""
    path = tmp_path / "scannet-labels.combined.tsv"
    path.write_text(
        "category\tcount\tnyuId\tnyu40id\teigen13id\tnyuClass\tnyu40class\nwall\t7274\t21\t1\t12\twall\twall\n"
    )
    with pytest.raises(
        ValueError,
        match="scannet-labels.combined.tsv: the columns id, raw_category are missing.*of v1.*scannetv2-labels",
    ):
        LabelMap.read(path)


@pytest.mark.parametrize("text", ["", "a page of a web server\n", "\0\1\2", "\t".join(COLUMNS)])
def test_another_file(tmp_path, text):
    path = tmp_path / FILE_NAME
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{FILE_NAME}: (the columns .* are missing|no rows)"):
        LabelMap.read(path)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1\twall\twall", "cut short: count, nyu40id, nyu40class missing"),
        ("one\twall\twall\t1\t1\t12\twall\twall", "whole numbers"),
        ("0\twall\twall\t1\t1\t12\twall\twall", "out of range"),
        ("65536\twall\twall\t1\t1\t12\twall\twall", "out of range"),
        ("1\twall\twall\t1\t-1\t12\twall\twall", "out of range"),
    ],
)
def test_damaged_row(tmp_path, row, sentence):
    path = write_label_map(tmp_path / FILE_NAME)
    path.write_text(path.read_text() + row)
    with pytest.raises(ValueError, match=f"{FILE_NAME}, line {len(LABEL_ROWS) + 2}: .*{sentence}"):
        LabelMap.read(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=FILE_NAME):
        LabelMap.read(tmp_path / FILE_NAME)


def test_find(tmp_path, monkeypatch):
    """In a scene folder, beside the scenes, or beside `scans`; not farther up."""
    scene = tmp_path / "data" / "scans" / "scene0001_00"
    scene.mkdir(parents=True)
    write_label_map(tmp_path / FILE_NAME)
    assert find_label_map(scene) is None
    for folder in (scene.parents[1], scene.parents[0], scene):
        path = write_label_map(folder / FILE_NAME)
        assert find_label_map(scene) == path
    monkeypatch.chdir(scene)
    assert find_label_map(Path(".")) == scene / FILE_NAME


def test_the_real_file():
    """Open3D's machine learning part carries ScanNet's own file."""
    if find_spec("open3d") is None:
        pytest.skip("Open3D is not installed")
    folder = Path(find_spec("open3d").origin).parent / "_ml3d" / "datasets" / "_resources" / "scannet"
    if not (folder / FILE_NAME).is_file():
        pytest.skip("this build of Open3D has no label map")
    label_map = LabelMap.read(folder / FILE_NAME)
    raw = label_map.raw_categories()
    assert len(raw) == 607 and len({label_map.tsv_id(name) for name in raw}) == 549
    assert {label_map.scannet200(name) for name in raw} - {0} == set(VALID_200)
    named = {
        (label_map.nyu40(name), label_map.nyu40_class(name)) for name in raw if label_map.nyu40(name) in CLASSES_20
    }
    assert named == set(CLASSES_20.items())
    of_two = {}
    for name in raw:
        of_two.setdefault(label_map.tsv_id(name), set()).add(label_map.nyu40(name))
    assert {number for number, found in of_two.items() if len(found) > 1} == {107, 188, 385}
    assert all(label_map.nyu40_of_id(number) in found for number, found in of_two.items())
