"""The refCOCO family: what its pickles may hold, which references belong to a split, and masks against pycocotools."""

import json
import pickle
import shutil

import numpy as np
import pytest
from pycocotools import mask as coco

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.miniature import write_miniature
from lisa_ros.datasets.refer_files import SPLIT_BY, read_refs
from lisa_ros.datasets.referring import NAMES, Referring, heldout_coco_images


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("referring") / "data"
    write_miniature(root, frames=6, width=160, height=120)
    return root


@pytest.fixture
def copy(data, tmp_path):
    shutil.copytree(data / "refer_seg", tmp_path / "refer_seg")
    return tmp_path


def rewrite_refs(root, name, change):
    path = root / "refer_seg" / name / f"refs({SPLIT_BY[name]}).p"
    refs = pickle.loads(path.read_bytes())
    change(refs)
    path.write_bytes(pickle.dumps(refs, protocol=2))


def rewrite_instances(root, name, change):
    path = root / "refer_seg" / name / "instances.json"
    instances = json.loads(path.read_text())
    change(instances)
    path.write_text(json.dumps(instances))


RAN = []


def run_me(*words):
    RAN.append(words)
    return []


class Calls:
    def __reduce__(self):
        return (run_me, ("called",))


class Holds:
    """Harmless by itself: a class is refused as a function is."""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("hostile", [Calls, Holds, dict.fromkeys, complex], ids=lambda one: one.__qualname__)
def test_pickles_that_name_a_function_or_class_do_not_run(copy, hostile, protocol):
    path = copy / "refer_seg/refcoco/refs(unc).p"
    refs = pickle.loads(path.read_bytes())
    value = hostile() if hostile in (Calls, Holds, complex) else hostile
    path.write_bytes(pickle.dumps([{**refs[0], "extra": value}, *refs], protocol=protocol))
    RAN.clear()
    with pytest.raises(DatasetError, match=r"refs\(unc\)\.p: refused, it names \w+\.\w+"):
        read_refs(path.parent, "refcoco")
    assert not RAN
    if hostile is Calls:  # and it would have
        pickle.loads(path.read_bytes())
        assert RAN


@pytest.mark.parametrize(
    "raw",
    [
        b"(ibuiltins\neval\n(V1\n.",  # the INST opcode of Python 1
        b"\x80\x02]q\x00\x82\x01.",  # a class by its number in copyreg
        b"\x80\x02Vx\nQ.",  # a reference to something outside
        b"",
        b"\x80\x02}q\x00.",  # a dictionary, not a list
        b"\x80\x02]q\x00K\x01a.",  # a list of numbers
    ],
    ids=["inst", "extension", "persistent", "empty", "dictionary", "numbers"],
)
def test_other_files_in_a_pickles_place(copy, raw):
    path = copy / "refer_seg/refcoco/refs(unc).p"
    path.write_bytes(raw)
    with pytest.raises(DatasetError, match=r"refs\(unc\)\.p"):
        read_refs(path.parent, "refcoco")


def test_texts_of_python_2_are_read(copy):
    """str of Python 2 are bytes: SHORT_BINSTRING, which Python's own reader refuses beyond ASCII."""
    path = copy / "refer_seg/refcoco/refs(unc).p"
    path.write_bytes(b"\x80\x02]q\x00}q\x01(U\x04sentq\x02U\x05caf\xe9 q\x03ua.")
    assert read_refs(path.parent, "refcoco") == [{"sent": "café "}]


@pytest.mark.parametrize("name", NAMES)
def test_masks_are_those_of_pycocotools(data, name):
    """Drawn here once more from the files, without our readers; of a thing in several pieces, all of them."""
    folder = data / "refer_seg" / name
    instances = json.loads((folder / "instances.json").read_text())
    by_id = {one["id"]: one for one in instances["annotations"]}
    stem = f"{'grefs' if name == 'grefcoco' else 'refs'}({SPLIT_BY[name]})"
    if name == "grefcoco":
        refs = json.loads((folder / f"{stem}.json").read_text())
    else:
        refs = pickle.loads((folder / f"{stem}.p").read_bytes())
    opened = Referring(data, name, "train")
    items = {item.name: item for item in map(opened.evaluation_item, range(len(opened)))}
    checked = 0
    for ref in refs:
        if ref["split"] != "train":
            continue
        item = items[f"{name}/{ref['image_id']}"]
        wanted = np.zeros(item.image.shape[:2], bool)
        for number in ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]:
            for piece in [] if number == -1 else by_id[number]["segmentation"]:
                if isinstance(piece, list):
                    piece = coco.frPyObjects([piece], *wanted.shape)[0]
                wanted |= coco.decode({**piece, "counts": piece["counts"]}).astype(bool)
        for sentence in ref["sentences"]:
            place = item.texts.index(sentence["sent"].lower())
            assert np.array_equal(item.targets[place] == 1, wanted)
            checked += 1
    assert checked == sum(len(item.texts) for item in items.values()) > 5


def test_an_example_asks_no_more_than_count_and_never_the_same_twice(data):
    opened = Referring(data, "refcoco", count=2)
    for n in range(40):
        one = opened.example(n % len(opened), np.random.default_rng(n))
        assert len(one.conversations) == len(one.masks) <= 2
    everything = Referring(data, "refcoco", count=1000)
    for n in range(len(everything)):
        asked = len(everything.example(n, np.random.default_rng(0)).conversations)
        assert asked == len(everything.evaluation_item(n).texts)


def test_a_reference_may_belong_to_two_tests(copy):
    """refCLEF has "testAB", "testBC"; refCOCOg only "test"."""

    def divide(refs):
        for number, ref in enumerate(refs):
            ref["split"] = ("train", "val", "testA", "testB", "testAB", "testBC")[number % 6]

    rewrite_refs(copy, "refclef", divide)
    refs = pickle.loads((copy / "refer_seg/refclef/refs(unc).p").read_bytes())

    def expressions(split):
        opened = Referring(copy, "refclef", split)
        return sum(len(opened.evaluation_item(n).texts) for n in range(len(opened)))

    def of(*splits):
        return sum(len(ref["sentences"]) for ref in refs if ref["split"] in splits)

    assert expressions("testA") == of("testA", "testAB")
    assert expressions("testB") == of("testB", "testAB", "testBC")
    assert expressions("testC") == of("testBC")
    assert expressions("test") == of("testA", "testB", "testAB", "testBC")
    assert expressions("train") == of("train") and expressions("val") == of("val")


def test_pictures_that_a_sister_evaluates_on_can_be_left_out(copy):
    """refCOCOg (umd) trains on pictures that refCOCO (unc) evaluates on."""
    opened = Referring(copy, "refcocog")
    names = [opened.evaluation_item(n).name for n in range(len(opened))]
    leaked = int(names[0].rpartition("/")[2])

    def evaluate_on_it(refs):
        for ref in refs:
            if ref["image_id"] == leaked:
                ref["split"] = "val"

    rewrite_refs(copy, "refcoco", evaluate_on_it)
    held_out = heldout_coco_images(copy)
    assert leaked in held_out
    without = Referring(copy, "refcocog", exclude_images=held_out)
    assert [without.evaluation_item(n).name for n in range(len(without))] == names[1:]
    # refCLEF's pictures are not COCO's, whatever their numbers
    clef = Referring(copy, "refclef")
    assert len(Referring(copy, "refclef", exclude_images=held_out)) == len(clef)


def test_what_is_held_out_is_not_guessed(copy):
    (copy / "refer_seg/refcocog/refs(umd).p").unlink()
    with pytest.raises(DatasetError, match=r"refcocog/refs\(umd\)\.p is missing.* data\.exclude_heldout to false"):
        heldout_coco_images(copy)


def test_references_that_their_instances_lack(copy):
    first = Referring(copy, "refcoco").evaluation_item(0).name
    image = int(first.rpartition("/")[2])
    rewrite_instances(copy, "refcoco", lambda d: d.update(images=[i for i in d["images"] if i["id"] != image]))
    with pytest.raises(DatasetError, match=rf"instances\.json: no image {image}"):
        Referring(copy, "refcoco")
    rewrite_instances(copy, "refcoco+", lambda d: d.update(annotations=d["annotations"][1:]))
    with pytest.raises(DatasetError, match=r"refcoco\+: reference 0 means annotation \d+, which instances.json lacks"):
        Referring(copy, "refcoco+")


@pytest.mark.parametrize("key", ["split", "image_id", "ann_id", "sentences"])
def test_references_that_lack_a_value(copy, key):
    rewrite_refs(copy, "refcoco", lambda refs: refs[2].pop(key))
    with pytest.raises(DatasetError, match=f"refcoco: reference 2: it has no '{key}'"):
        Referring(copy, "refcoco")


@pytest.mark.parametrize(
    ("kind", "key"), [("images", "id"), ("images", "file_name"), ("annotations", "id"), ("annotations", "segmentation")]
)
def test_instances_that_lack_a_value(copy, kind, key):
    rewrite_instances(copy, "refcoco", lambda d: d[kind][1].pop(key))
    with pytest.raises(DatasetError, match=rf"instances\.json: {kind[:-1]} 1: it has no '{key}'"):
        Referring(copy, "refcoco")


def test_a_picture_of_another_size(copy):
    rewrite_instances(copy, "refcoco", lambda d: [image.update(height=121) for image in d["images"]])
    with pytest.raises(
        DatasetError, match=r"COCO_train2014_\d+\.jpg is \[120, 160\], instances\.json says \[121, 160\]"
    ):
        Referring(copy, "refcoco").evaluation_item(0)


def test_an_empty_polygon_is_an_empty_mask(copy):
    rewrite_instances(copy, "refcoco", lambda d: [one.update(segmentation=[]) for one in d["annotations"]])
    one = Referring(copy, "refcoco").example(0, np.random.default_rng(0))
    assert len(one.masks) == len(one.conversations) and not one.masks.any()


def test_names_and_choices_that_do_not_exist(data):
    with pytest.raises(DatasetError, match='no data set "refcoco2"; there are refcoco, refcoco\\+'):
        Referring(data, "refcoco2")
    with pytest.raises(DatasetError, match='no_target "skip" is not known; choose from mask, refuse'):
        Referring(data, "grefcoco", no_target="skip")
