"""Miniature data: the same every time, of different scenes for training and validation, whole or not there at all."""

import hashlib
import json

import pytest

from lisa_ros.datasets.miniature import MARK, semantic, write_miniature
from lisa_ros.datasets.opening import TRAINING, open_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return written(tmp_path_factory.mktemp("mini") / "data")


def written(root, **settings):
    write_miniature(root, frames=4, width=96, height=72, **settings)
    return root


def digests(root):
    files = sorted(
        path for path in root.rglob("*") if path.is_file() and path.suffix != ".npz"
    )  # zip files hold a date
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_arguments_give_equal_files(data, tmp_path):
    assert digests(data) == digests(written(tmp_path / "again"))
    other = digests(written(tmp_path / "other", seed=1))
    assert other.keys() != digests(data).keys() or other != digests(data)


def test_validation_shows_other_scenes_than_training(data):
    folder = data / "reason_seg/ReasonSeg"
    pictures = {split: {one.read_bytes() for one in (folder / split).glob("*.jpg")} for split in ("train", "val")}
    assert pictures["train"] and pictures["val"] and not pictures["train"] & pictures["val"]
    instances = json.loads((data / "refer_seg/refcoco/instances.json").read_text())
    assert len({image["id"] for image in instances["images"]}) == 4 + 2


def test_other_seeds_share_no_scene(data, tmp_path):
    def pictures(root):
        return {path.read_bytes() for path in (root / "coco/train2017").iterdir()}

    assert not pictures(data) & pictures(written(tmp_path / "other", seed=1))


def test_a_miniature_that_is_there_is_not_written_again(data):
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    written(data)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_no_half_of_it_is_left_behind(monkeypatch, tmp_path):
    def full(root, pictures):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(semantic, "write", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_taken_for_a_cut_off_copy(data, caplog):
    assert (data / MARK).is_file()
    for name in TRAINING:
        open_dataset(name, data)
    assert not caplog.records
    assert len(open_dataset("cocostuff", data)) == 4
