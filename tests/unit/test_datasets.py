"""Data sets of LISA in their official layouts: what they give, and what they say about files that are missing or damaged."""

import json
import shutil

import cv2
import numpy as np
import pytest

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.files import coco_image_id
from lisa_ros.datasets.miniature import write_miniature
from lisa_ros.datasets.mixture import Group, Mixture
from lisa_ros.datasets.opening import EVALUATION, TRAINING, open_dataset, open_evaluation_set
from lisa_ros.datasets.parts import _names
from lisa_ros.datasets.referring import Referring, heldout_coco_images
from lisa_ros.datasets.semantic import class_names

REASON = "reason_seg/ReasonSeg"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets") / "data"
    write_miniature(root, frames=12, width=160, height=120)
    return root


@pytest.fixture
def copy(data, tmp_path):
    return shutil.copytree(data, tmp_path / "data")


def examples(data, name, count=12, **settings):
    opened = open_dataset(name, data, **settings)
    return [opened.example(n % len(opened), np.random.default_rng(n)) for n in range(count)]


@pytest.mark.parametrize("name", TRAINING)
def test_every_set_gives_examples(data, name):
    for one in examples(data, name):
        assert one.image.shape == (120, 160, 3) and one.image.dtype == np.uint8
        assert 1 <= len(one.conversations) <= 3
        assert all(mask.any() for mask in one.masks) or name == "grefcoco"
        assert not any("<image>" in text for turns in one.conversations for turn in turns for text in turn)


@pytest.mark.parametrize("name", TRAINING)
def test_equal_seeds_give_equal_examples(data, name):
    for one, other in zip(examples(data, name, 3), examples(data, name, 3)):
        assert one.conversations == other.conversations and np.array_equal(one.masks, other.masks)


@pytest.mark.parametrize("name", EVALUATION)
def test_every_evaluation_set_gives_questions(data, name):
    opened = open_evaluation_set(name, data, "val")
    assert len(opened) > 0
    item = opened.evaluation_item(0)
    assert item.targets.shape == (len(item.texts), 120, 160) and len(item.kinds) == len(item.sentences) == len(
        item.texts
    )
    assert set(np.unique(item.targets)) <= {0, 1, 255}


def test_names_of_classes():
    assert (
        len(class_names("ade20k")) == 150 and class_names("ade20k")[0] == "wall" and class_names("ade20k")[-1] == "flag"
    )
    assert len(class_names("cocostuff")) == 182 and class_names("cocostuff")[0] == "person"


def test_classes_with_a_dash_and_other_objects_are_never_asked_for(data):
    """In the miniature, walls are COCO-Stuff's "wall-other" and ADE20K's 0."""
    asked = {
        turns[0][0]
        for name in ("ade20k", "cocostuff")
        for one in examples(data, name, 30)
        for turns in one.conversations
    }
    assert asked and not any("wall" in text for text in asked)


def test_parts_are_spoken_of_in_two_ways(data):
    assert _names("mug_(cup):handle_(part)") == ("mug", "handle") and _names("mug_(cup)") == ("mug", None)
    texts = " ".join(turns[0][0] for one in examples(data, "paco_lvis", 40) for turns in one.conversations)
    assert "the top of the" in texts and "_(" not in texts


def test_each_annotation_is_a_mask_of_its_own(data):
    path = data / "vlpart/pascal_part/train.json"
    annotations = json.loads(path.read_text())["annotations"]
    assert any(isinstance(a["segmentation"], dict) for a in annotations) and any(
        isinstance(a["segmentation"], list) for a in annotations
    )
    one = examples(data, "pascal_part", 1)[0]
    assert len(one.masks) == len(one.conversations)


def test_held_out_pictures_are_left_out(data):
    ids = {coco_image_id(path.name) for path in (data / "coco/train2017").iterdir()}
    some = frozenset(sorted(ids)[:4])
    for name in ("cocostuff", "paco_lvis", "llava_instruct_150k", "llava_v1_5_mix665k"):
        assert len(open_dataset(name, data, exclude_images=some)) == len(open_dataset(name, data)) - 4, name
    held_out = heldout_coco_images(data)
    assert held_out and all(number > 100_000 for number in held_out) and not held_out & ids


def test_expressions_and_their_masks(data):
    opened = Referring(data, "refcoco", "val")
    item = opened.evaluation_item(0)
    assert all(text == text.lower() for text in item.texts) and all(target.any() for target in item.targets)
    with pytest.raises(DatasetError, match='no reference of the split "dev"; there are testA, testB, train, val'):
        Referring(data, "refcoco", "dev")


def test_several_targets_and_none(data):
    opened = Referring(data, "grefcoco")
    kinds = [kind for n in range(len(opened)) for kind in opened.evaluation_item(n).kinds]
    assert {"no-target", "train"} == set(kinds)
    for n in range(len(opened)):
        item = opened.evaluation_item(n)
        assert all(target.any() == (kind != "no-target") for target, kind in zip(item.targets, item.kinds))
    empty = [
        mask
        for n in range(30)
        for mask in opened.example(n % len(opened), np.random.default_rng(n)).masks
        if not mask.any()
    ]
    assert empty, "the reference learns an empty mask for what is not there"
    refusing = Referring(data, "grefcoco", no_target="refuse")
    found = [refusing.example(n % len(refusing), np.random.default_rng(n)) for n in range(30)]
    assert all(mask.any() for one in found for mask in one.masks)
    assert any("There is no" in turns[0][1] for one in found for turns in one.conversations)


def test_conversations_without_a_picture_are_left_out(data):
    items = json.loads((data / "llava_dataset/llava_v1_5_mix665k.json").read_text())
    assert len(open_dataset("llava_v1_5_mix665k", data)) == len(items) - 1
    (one,) = examples(data, "llava_instruct_150k", 1)
    assert len(one.conversations[0]) == 2 and one.masks.shape == (0, 120, 160)


def test_wordings_and_explanations(data):
    explained = {
        item["image"]: item["outputs"] for item in json.loads((data / REASON / "explanatory/train.json").read_text())
    }
    opened = open_dataset("reasonseg", data, explanatory=0.5)
    styles = set()
    for n in range(120):
        one = opened.example(n % len(opened), np.random.default_rng(n))
        text = explained.get(one.name.rpartition("/")[2].replace(".json", ".jpg"))
        for ((_, answer),) in one.conversations:
            if text is None:
                assert "[SEG]" in answer
            else:
                styles.add(("[SEG]" in answer, text in answer))
    assert styles == {(True, False), (True, True), (False, True)}
    firsts = {json.loads(_text(path))["text"][0] for path in (data / REASON / "train").glob("*.json")}
    plain = examples(data, "reasonseg", 20, rephrased=False, explanatory=0)
    assert all(len(one.conversations) == 1 for one in plain)
    assert all(
        any(first.lower() in turns[0][0].lower() for first in firsts) for one in plain for turns in one.conversations
    )


def _text(path):
    raw = path.read_bytes()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252")


def test_ignored_regions_are_background_in_training_and_ignored_in_evaluation(data):
    opened = open_dataset("reasonseg", data, explanatory=0)
    seen = [np.unique(opened.evaluation_item(n).targets).tolist() for n in range(len(opened))]
    assert any(255 in values for values in seen)
    n = next(n for n, values in enumerate(seen) if 255 in values)
    target = opened.evaluation_item(n).targets[0]
    assert np.array_equal(opened.example(n, np.random.default_rng(0)).masks[0], target == 1)


def test_the_mixture_keeps_its_rates(data):
    names = {"ade20k": 9, "refcoco": 3, "llava_instruct_150k": 3, "reasonseg": 1}
    opened = {name: open_dataset(name, data) for name in names}
    drawn = []
    for name, dataset in opened.items():
        dataset.example = lambda index, rng, name=name: drawn.append(name)
    mixture = Mixture([Group(rate, [opened[name]]) for name, rate in names.items()], seed=1, length=4000)
    for n in range(4000):
        mixture[n]
    for name, rate in names.items():
        assert drawn.count(name) / 4000 == pytest.approx(rate / 16, abs=0.03)


def test_the_mixture_is_the_same_in_any_order(data):
    mixture = Mixture([Group(1, [open_dataset("ade20k", data), open_dataset("refcoco", data)])], seed=1, length=20)
    forwards = [mixture[n].conversations for n in range(20)]
    assert forwards == [mixture[n].conversations for n in reversed(range(20))][::-1]
    other = Mixture([Group(1, [open_dataset("ade20k", data), open_dataset("refcoco", data)])], seed=2, length=20)
    assert forwards != [other[n].conversations for n in range(20)]
    with pytest.raises(IndexError):
        mixture[20]


MISSING = [
    ("ade20k", "ade20k/images/training", "images/training: no \\*.jpg there"),
    ("cocostuff", "cocostuff/train2017", "cocostuff/train2017: no \\*.png there"),
    ("mapillary", "mapillary/config_v2.0.json", "config_v2.0.json is missing"),
    ("paco_lvis", "vlpart/paco", "paco_lvis_v1_train.json is missing"),
    ("pascal_part", "vlpart/pascal_part/train.json", "train.json is missing"),
    ("refcoco", "refer_seg/refcoco/instances.json", "instances.json is missing"),
    ("refcoco", "refer_seg/refcoco/refs(unc).p", r"refs\(unc\)\.p is missing"),
    ("grefcoco", "refer_seg/grefcoco/grefs(unc).json", r"grefs\(unc\)\.json is missing"),
    ("llava_instruct_150k", "llava_dataset", "llava_instruct_150k.json is missing"),
    ("reasonseg", f"{REASON}/train", "train: no \\*.json there"),
    ("reasonseg", f"{REASON}/explanatory", "explanatory to 0"),
    ("synthetic", "synthetic/train", "no frames_\\*.npz there"),
]


@pytest.mark.parametrize(("name", "what", "said"), MISSING)
def test_missing_files_are_named(copy, name, what, said):
    path = copy / what
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DatasetError, match=said):
        open_dataset(name, copy)


DAMAGED_INDEX = [
    ("mapillary", "mapillary/config_v2.0.json"),
    ("paco_lvis", "vlpart/paco/annotations/paco_lvis_v1_train.json"),
    ("refcoco", "refer_seg/refcoco/instances.json"),
    ("refcoco", "refer_seg/refcoco/refs(unc).p"),
    ("llava_instruct_150k", "llava_dataset/llava_instruct_150k.json"),
]


@pytest.mark.parametrize(("name", "what"), DAMAGED_INDEX)
def test_files_cut_short_are_named(copy, name, what):
    path = copy / what
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=path.name.replace("(", r"\(").replace(")", r"\)")):
        open_dataset(name, copy)


def all_of(name, root, **settings):
    opened = open_dataset(name, root, **settings)
    return [opened.example(n, np.random.default_rng(n)) for n in range(len(opened))]


def first(root, pattern):
    return sorted(root.glob(pattern))[0]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("ade20k", "ade20k/images/training/*"),
        ("cocostuff", "coco/train2017/*"),
        ("mapillary", "mapillary/training/v2.0/labels/*"),
        ("paco_lvis", "coco/train2017/*"),
        ("refclef", "refer_seg/images/saiapr_tc-12/*/images/*"),
        ("llava_instruct_150k", "coco/train2017/*"),
        ("reasonseg", f"{REASON}/train/*.jpg"),
    ],
)
def test_pictures_that_are_missing_or_cut_short_are_named(copy, name, pattern):
    path = first(copy, pattern)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=path.name):
        all_of(name, copy)
    path.unlink()
    if name not in ("ade20k", "mapillary"):  # there the folder is the list
        with pytest.raises(DatasetError, match=path.stem):
            all_of(name, copy)


def test_masks_of_another_size(copy):
    path = first(copy, "cocostuff/train2017/*")
    cv2.imwrite(str(path), np.zeros((10, 10), np.uint8))
    with pytest.raises(DatasetError, match=rf"{path.name} is \[10, 10\], its picture \[120, 160\]"):
        all_of("cocostuff", copy)


def test_class_lists_that_disagree(copy):
    path = first(copy, "ade20k/annotations/training/*")
    cv2.imwrite(str(path), np.full((120, 160), 200, np.uint8))
    with pytest.raises(DatasetError, match=rf"{path.name}: it has label 199, ade20k has 150 classes"):
        all_of("ade20k", copy)


def test_pictures_without_a_class_are_passed_over_and_a_set_without_any_is_refused(copy):
    labels = sorted((copy / "ade20k/annotations/training").iterdir())
    cv2.imwrite(str(labels[0]), np.zeros((120, 160), np.uint8))
    assert all(one.masks.any() for one in all_of("ade20k", copy))
    for path in labels:
        cv2.imwrite(str(path), np.zeros((120, 160), np.uint8))
    with pytest.raises(DatasetError, match="have no class"):
        all_of("ade20k", copy)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [([], None), ([[1.0, 2.0]], None), ([[]], None), ("x", "neither polygons"), ([["a", "b", "c", "d", "e", "f"]], "polygon"),
     ({"size": [10, 10], "counts": "PPYo1"}, "another|belong|size|\\[10, 10\\]|polygon")],
)  # fmt: skip
def test_odd_polygons(copy, segmentation, said):
    path = copy / "vlpart/pascal_part/train.json"
    data = json.loads(path.read_text())
    for annotation in data["annotations"]:
        annotation["segmentation"] = segmentation
    path.write_text(json.dumps(data))
    if said is None:
        assert not any(
            one.masks.any() for one in all_of("pascal_part", copy)
        )  # drawn as nothing, as the reference does
    else:
        with pytest.raises(DatasetError, match=said):
            all_of("pascal_part", copy)


def test_names_and_settings_that_do_not_exist(data):
    with pytest.raises(DatasetError, match='no data set "coco"; there are ade20k'):
        open_dataset("coco", data)
    with pytest.raises(DatasetError, match="ade20k has no setting split"):
        open_dataset("ade20k", data, split="val")


def test_a_miniature_is_kept_and_other_data_is_not_touched(data, tmp_path):
    write_miniature(data, frames=12, width=160, height=120)
    with pytest.raises(DatasetError, match="holds 12 synthetic pictures"):
        write_miniature(data, frames=11, width=160, height=120)
    (tmp_path / "mine").mkdir()
    with pytest.raises(DatasetError, match="holds other data"):
        write_miniature(tmp_path / "mine", frames=2)
