"""Questions about scans: the file's form, and what is made from an annotation, on a room whose truth is known."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from scannet_tools.annotation import AnnotatedObject, Annotation
from scannet_tools.asking.relations import ObjectShape
from scannet_tools.asking.uses import USES
from scannet_tools.asking.words import BIG_THINGS, MAY_BE_THE_SAME, is_plural, may_be_the_same, plural
from scannet_tools.label_map import FILE_NAME, LabelMap
from scannet_tools.mesh import Mesh
from scannet_tools.questions import KINDS, SceneQuestion, make_questions, read_questions, write_questions

NYU40 = {  # raw category -> (category, nyu40 id)
    "wall": ("wall", 1), "floor": ("floor", 2), "chair": ("chair", 5), "office chair": ("office chair", 5),
    "couch": ("couch", 6), "table": ("table", 7), "desk": ("desk", 14), "stool": ("stool", 40), "box": ("box", 29),
    "books": ("book", 23), "bed": ("bed", 4), "mini fridge": ("mini fridge", 24), "object": ("object", 40),
    "toilet": ("toilet", 33), "window": ("window", 9), "keyboard": ("keyboard", 40), "furniture": ("furniture", 39),
    "stove": ("stove", 38), "lamp": ("lamp", 35), "ladder": ("ladder", 39), "bottle": ("bottle", 40),
    "doorframe": ("doorframe", 8), "door": ("door", 8), "piano": ("piano", 39), "cup": ("cup", 40),
}  # fmt: skip


@pytest.fixture(scope="module")
def label_map(tmp_path_factory):
    """A table of ScanNet's form with what the rooms here hold."""
    path = tmp_path_factory.mktemp("labels") / FILE_NAME
    rows = [f"{i}\t{raw}\t{category}\t1\t{nyu}\t{raw}" for i, (raw, (category, nyu)) in enumerate(NYU40.items(), 1)]
    path.write_text("\n".join(["id\traw_category\tcategory\tcount\tnyu40id\tnyu40class", *rows]) + "\n")
    return LabelMap.read(path)


def block(low, high):
    """The vertices of a box's faces, 4 cm apart, float32 [n,3]."""
    axes = [np.linspace(a, b, max(2, round((b - a) / 0.04) + 1)) for a, b in zip(low, high)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)
    return points[((points == low) | (points == high)).any(axis=1)].astype(np.float32)


def room(*items, unannotated=0):
    """(mesh, annotation) of a floor (object 1), a wall (2), and items (label, low, high) from object 3 on."""
    pieces = [("floor", (-3, -3, -0.05), (3, 3, 0.0)), ("wall", (-3, 3, 0), (3, 3.1, 2.5)), *items]
    points = [block(low, high) for _, low, high in pieces]
    owners = np.concatenate([np.full(len(one), i, np.uint16) for i, one in enumerate(points, 1)])
    vertices = np.concatenate([*points, np.zeros((unannotated, 3), np.float32)])
    owners = np.concatenate([owners, np.zeros(unannotated, np.uint16)])
    objects = tuple(AnnotatedObject(i, label) for i, (label, *_) in enumerate(pieces, 1))
    mesh = Mesh(vertices, np.zeros(vertices.shape, np.uint8), np.zeros((0, 3), np.int32))
    return mesh, Annotation(owners, objects)


def at(label, x, y, z=0.0, size=(0.5, 0.5, 0.5)):
    """An item that stands at a place."""
    half = np.array([size[0] / 2, size[1] / 2, 0])
    low = np.array([x, y, z]) - half
    return label, tuple(low), tuple(low + np.array(size))


def table(x, y, label="table"):
    return at(label, x, y, 0.0, (1.2, 0.8, 0.72))


def small(label, x, y, z=0.72):
    return at(label, x, y, z, (0.2, 0.2, 0.2))


def asked(items, label_map, seeds=range(12), **more):
    """{kind: {(question without its wording, targets)}} over many seeds, so that the draw hides nothing."""
    mesh, annotation = room(*items, **more)
    found = {kind: set() for kind in KINDS}
    for seed in seeds:
        for question in make_questions("scene0000_00", mesh, annotation, label_map, seed):
            text = question.question
            for start in ("I am looking for ", "please segment ", "show me ", "find ", "is there a "):
                text = text.removeprefix(start)
            text = text.removesuffix(" here?").removeprefix("all ").removeprefix("the ")
            found[question.kind].add((text, question.targets))
    return found


# --- the file ---------------------------------------------------------------------------------------------------------

QUESTIONS = [
    SceneQuestion("scene0000_00", "the “chair”", (3,), "explicit"),
    SceneQuestion("scene0000_00", "something to sit on", (3, 12), "use"),
    SceneQuestion("scene0001_00", "the piano", (), "absent"),
]


def test_a_file_comes_back(tmp_path):
    write_questions(tmp_path / "q.jsonl", QUESTIONS)
    assert read_questions(tmp_path / "q.jsonl") == QUESTIONS
    first = json.loads((tmp_path / "q.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert first == {"scene": "scene0000_00", "question": "something to sit on", "targets": [3, 12], "kind": "use"}


def test_empty_lines_and_other_keys_are_left_alone(tmp_path):
    line = '{"scene": "s", "question": "the bed", "targets": [1], "kind": "explicit", "answer": "there"}'
    (tmp_path / "q.jsonl").write_bytes(b"\n" + line.encode() + b"\r\n  \n")
    assert read_questions(tmp_path / "q.jsonl") == [SceneQuestion("s", "the bed", (1,), "explicit")]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"scene": ""}, "'scene' must be a text"),
        ({"scene": 3}, "'scene' must be a text"),
        ({"question": " "}, "'question' must be a text"),
        ({"kind": "funny"}, "'kind' must be one of explicit, relational, use, absent"),
        ({"kind": None}, "'kind' must be one of"),
        ({"kind": ["use"]}, "'kind' must be one of"),
        ({"targets": 3}, "'targets' must be a list"),
        ({"targets": ["3"]}, "different object ids"),
        ({"targets": [0]}, "different object ids"),
        ({"targets": [70000]}, "different object ids"),
        ({"targets": [2.0]}, "different object ids"),
        ({"targets": [True]}, "different object ids"),
        ({"targets": [3, 3]}, "different object ids"),
        ({"targets": []}, "kind 'explicit' has no targets"),
        ({"kind": "absent"}, "kind 'absent' has targets"),
        ({"kind": ...}, "kind missing"),
        ({"scene": ..., "targets": ...}, "scene, targets missing"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path, changes, complaint):
    values = {"scene": "s", "question": "the bed", "targets": [1], "kind": "explicit"}
    good = json.dumps(values)
    values = {name: value for name, value in {**values, **changes}.items() if value is not ...}
    (tmp_path / "q.jsonl").write_text(f"{good}\n\n{json.dumps(values)}\n")
    with pytest.raises(ValueError, match=f"q.jsonl, line 3: .*{complaint}"):
        read_questions(tmp_path / "q.jsonl")


@pytest.mark.parametrize("line", [b"{", b"[]", b"3", b'{"scene": "\xff"}', b"[" * 100_000])
def test_a_line_that_is_no_json_object_is_named(tmp_path, line):
    (tmp_path / "q.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ValueError, match="q.jsonl, line 1: "):
        read_questions(tmp_path / "q.jsonl")


def test_empty_and_missing_files_are_named(tmp_path):
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="q.jsonl: no question in it"):
        read_questions(tmp_path / "q.jsonl")
    with pytest.raises(FileNotFoundError, match="none.jsonl"):
        read_questions(tmp_path / "none.jsonl")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_questions(tmp_path / "q.jsonl", QUESTIONS)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="q.jsonl.*No space left"):
        write_questions(tmp_path / "q.jsonl", QUESTIONS[:1])
    assert read_questions(tmp_path / "q.jsonl") == QUESTIONS and len(list(tmp_path.iterdir())) == 1


# --- explicit ---------------------------------------------------------------------------------------------------------


def test_the_only_one_and_all_of_several(label_map):
    found = asked([table(0, 0), at("chair", -2, 0), at("chair", 2, 0), at("toilet", 2, 2)], label_map)["explicit"]
    assert found == {("table", (3,)), ("chairs", (4, 5)), ("toilet", (6,))}


def test_what_annotators_mix_up_is_not_asked_for(label_map):
    """Somebody's desk is somebody else's table; stools and chairs; a door and its frame."""
    items = [table(0, 0), table(0, 2, "desk"), at("chair", -2, 0), at("stool", 2, 0), at("door", -2, 2)]
    assert asked([*items, at("doorframe", -2, 2)], label_map)["explicit"] == set()
    assert asked(items[:1] + items[4:], label_map)["explicit"] == {("table", (3,)), ("door", (4,))}


def test_all_of_a_class_whatever_their_sort(label_map):
    found = asked([at("chair", -2, 0), at("office chair", 2, 0)], label_map)["explicit"]
    assert found == {("chairs", (3, 4))}


def test_the_annotators_own_word_for_a_single_thing(label_map):
    found = asked([at("books", 0, 0), at("mini fridge", 2, 0)], label_map)["explicit"]
    assert found == {("books", (3,)), ("mini fridge", (4,))}


def test_structure_unknown_things_and_chips_are_not_asked_for(label_map):
    chip = ("bottle", (1.0, 1.0, 0.0), (1.04, 1.04, 0.04))  # eight vertices
    found = asked([at("object", 0, 0), chip, at("", 2, 2)], label_map)
    assert found["explicit"] == set() and found["use"] == set()


def test_labels_that_the_map_has_not_are_asked_for_as_they_stand(label_map):
    assert asked([at("Flux Capacitor", 0, 0)], label_map)["explicit"] == {("flux capacitor", (3,))}


# --- relational -------------------------------------------------------------------------------------------------------


def test_on_and_not_beside_or_below(label_map):
    items = [table(0, 0), small("box", 0.2, 0), small("box", 2, 2, 0.0), small("box", 0, 0, 0.0)]
    found = asked(items, label_map)["relational"]
    assert ("box on the table", (4,)) in found
    assert not any("on the table" in text and targets != (4,) for text, targets in found)


def test_several_on_and_what_hangs_in_between_is_not_asked(label_map):
    items = [table(0, 0), small("box", -0.3, 0), small("box", 0.3, 0), small("box", 2, 2, 0.0)]
    assert ("boxes on the table", (4, 5)) in asked(items, label_map)["relational"]
    floating = [*items, small("box", 0, 0, 0.85)]  # 13 cm above: on something that is not annotated?
    assert not any("on the table" in text for text, _ in asked(floating, label_map)["relational"])


def test_a_single_thing_on_a_single_thing(label_map):
    found = asked([table(0, 0), small("keyboard", 0, 0), small("lamp", 2, 2, 0.0)], label_map)["relational"]
    assert found == {("keyboard on the table", (4,))}


def test_nearest_needs_a_clear_winner(label_map):
    window = ("window", (-1, 2.9, 1), (1, 3, 2))
    items = [window, at("chair", 0, 2.4), at("chair", 0, -2)]
    assert ("chair nearest to the window", (4,)) in asked(items, label_map)["relational"]
    close = [window, at("chair", 0, 2.4), at("chair", 0.6, 2.2)]
    assert not any("nearest" in text for text, _ in asked(close, label_map)["relational"])
    far = [window, at("chair", 0, -1), at("chair", 0, -2.7)]
    assert not any("nearest" in text for text, _ in asked(far, label_map)["relational"])


def test_next_to_needs_the_others_to_be_away(label_map):
    chairs = [at("chair", 0.95, 0), at("chair", -0.95, 0), at("chair", 2.5, 2.5)]
    assert ("chairs next to the table", (4, 5)) in asked([table(0, 0), *chairs], label_map)["relational"]
    between = [table(0, 0), *chairs, at("chair", 1.4, 0)]  # 55 cm off: next to it, or not?
    assert not any("next to" in text for text, _ in asked(between, label_map)["relational"])


def test_largest_and_tallest_need_a_clear_winner(label_map):
    boxes = [at("box", -2, 0), at("box", 0, 0), at("box", 2, 0, size=(0.9, 0.9, 0.5))]
    found = asked(boxes, label_map)["relational"]
    assert ("largest box", (5,)) in found and not any("tallest" in text for text, _ in found)
    tall = [at("box", -2, 0), at("box", 2, 0, size=(0.4, 0.4, 0.9))]
    found = asked(tall, label_map)["relational"]
    assert ("tallest box", (4,)) in found and not any("largest" in text for text, _ in found)


def test_nothing_depends_on_the_point_of_view(label_map):
    items = [table(0, 0), *(at("chair", x, y) for x in (-2, 2) for y in (-2, 2)), small("lamp", 0, 0)]
    texts = [text for made in asked(items, label_map).values() for text, _ in made]
    assert not [text for text in texts if {"left", "right", "front", "behind", "camera"} & set(text.split())]


def test_how_things_stand():
    support = ObjectShape(block((0, 0, 0), (1, 1, 0.7)))
    assert ObjectShape(block((0.3, 0.3, 0.7), (0.5, 0.5, 0.9))).stands_on(support) is True
    assert ObjectShape(block((0.3, 0.3, 1.2), (0.5, 0.5, 1.4))).stands_on(support) is False  # hangs above
    assert ObjectShape(block((3, 3, 0.7), (3.2, 3.2, 0.9))).stands_on(support) is False
    assert ObjectShape(block((0.3, 0.3, 0.85), (0.5, 0.5, 0.95))).stands_on(support) is None
    assert ObjectShape(block((0.3, 0.3, 0.0), (0.5, 0.5, 0.2))).stands_on(support) is False  # beneath
    shelf = ObjectShape(np.concatenate([block((0, 0, z), (1, 1, z + 0.02)) for z in (0.0, 0.4, 0.8)]))
    assert ObjectShape(block((0.3, 0.3, 0.42), (0.5, 0.5, 0.6))).stands_on(shelf) is None  # on it, or in it?
    assert ObjectShape(block((0.3, 0.3, 0.82), (0.5, 0.5, 0.9))).stands_on(shelf) is True
    assert support.stands_on(ObjectShape(block((0.3, 0.3, 0.7), (0.5, 0.5, 0.9)))) is not True
    assert support.gap(ObjectShape(block((3, 0, 0), (4, 1, 0.7)))) == pytest.approx(2.0)
    turned = block((0, 0, 0), (1, 0.5, 0.2)) @ np.float32([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    assert ObjectShape(turned).volume == pytest.approx(0.1, rel=0.12)  # not of the box along the axes, 3 times as large


# --- use --------------------------------------------------------------------------------------------------------------


def uses_asked(items, label_map):
    """{a word of the use: targets} of those uses that are asked about."""
    found = {}
    for text, targets in asked(items, label_map)["use"]:
        use = next(i for i, use in enumerate(USES) if any(phrase.endswith(text) for phrase in use.phrases))
        assert found.setdefault(use, targets) == targets
    return {USES[number].phrases[0]: targets for number, targets in found.items()}


def test_all_that_serves_is_the_target(label_map):
    items = [at("chair", -2, 0), at("stool", 2, 0), at("couch", 0, 2), small("keyboard", 0, 0, 0.0)]
    found = uses_asked(items, label_map)
    assert found == {"something to sit on": (3, 4, 5), "something to type a letter with": (6,)}


def test_a_use_that_something_might_serve_is_not_asked(label_map):
    assert "something to sit on" in uses_asked([at("chair", -2, 0)], label_map)
    assert "something to sit on" not in uses_asked([at("chair", -2, 0), at("bed", 1, 1)], label_map)


# --- absent -----------------------------------------------------------------------------------------------------------


def test_absent_things_are_large_ones_that_nothing_there_could_be(label_map):
    items = [table(0, 0), at("couch", 2, 2), at("mini fridge", -2, 2), small("cup", 0, 0)]
    found = {text for text, targets in asked(items, label_map, range(60))["absent"] if targets == ()}
    nouns = found & set(BIG_THINGS)
    assert {"toilet", "bathtub", "piano", "bed", "stove"} <= nouns
    assert not nouns & {"sofa", "refrigerator", "desk"}  # the couch; the fridge; the table might be one
    phrases = found - nouns
    big = {phrase for use in USES if use.big for phrase in use.phrases}
    assert phrases <= {phrase.removeprefix("show me ").removeprefix("the ") for phrase in big}
    assert any("bath" in phrase for phrase in phrases) and not any("sit" in phrase.split() for phrase in phrases)
    assert not any("cold" in phrase for phrase in phrases)


def test_nothing_is_called_absent_where_much_is_unannotated(label_map):
    mesh, _ = room(table(0, 0))
    assert asked([table(0, 0)], label_map)["absent"]
    assert not asked([table(0, 0)], label_map, unannotated=len(mesh))["absent"]


def test_nothing_is_called_absent_beside_a_large_thing_of_unknown_sort(label_map):
    for label in ("object", "furniture", ""):
        assert not asked([at(label, 0, 0, size=(1.0, 0.6, 0.8))], label_map)["absent"]
        assert asked([small(label, 0, 0, 0.0)], label_map)["absent"]


# --- all --------------------------------------------------------------------------------------------------------------

FULL = [
    table(0, 0), small("box", 0.3, 0), small("box", 2.5, -2.5, 0.0), at("chair", -2, 0), at("chair", 0.9, 0),
    at("toilet", 2, 2), ("window", (-1, 2.9, 1), (1, 3, 2)), small("keyboard", -0.3, 0),
    at("bed", -2, -2, 0, (1, 2, 0.5)),
]  # fmt: skip


def test_the_same_seed_gives_the_same_questions(label_map):
    mesh, annotation = room(*FULL)
    made = [make_questions("scene0000_00", mesh, annotation, label_map, seed) for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    other = make_questions("scene0001_00", mesh, annotation, label_map, 0)
    assert [one.question for one in other] != [one.question for one in made[0]]
    assert {one.scene for one in other} == {"scene0001_00"}


def test_a_full_room_has_all_kinds_and_no_question_twice(label_map, tmp_path):
    mesh, annotation = room(*FULL)
    for seed in range(5):
        made = make_questions("scene0000_00", mesh, annotation, label_map, seed)
        assert [kind for kind in KINDS if any(one.kind == kind for one in made)] == list(KINDS)
        assert len({one.question for one in made}) == len(made)
        assert max(sum(one.kind == kind for one in made) for kind in KINDS) <= 6
        write_questions(tmp_path / "q.jsonl", made)
        assert read_questions(tmp_path / "q.jsonl") == made


def test_an_empty_room(label_map):
    mesh, annotation = room()
    assert {one.kind for one in make_questions("s", mesh, annotation, label_map, 0)} == {"absent"}
    nothing = Annotation(np.zeros(len(mesh), np.uint16), ())
    assert make_questions("s", mesh, nothing, label_map, 0) == []


def test_an_annotation_of_another_mesh_is_refused(label_map):
    mesh, _ = room()
    _, other = room(table(0, 0))
    with pytest.raises(ValueError, match="not the same mesh"):
        make_questions("s", mesh, other, label_map, 0)


# --- words ------------------------------------------------------------------------------------------------------------


def test_plurals():
    nouns = ("chair", "shelf", "box", "bench", "mattress", "clothes", "kitchen cabinet", "body", "tray", "person")
    assert [plural(noun) for noun in nouns] == [
        "chairs", "shelves", "boxes", "benches", "mattresses", "clothes", "kitchen cabinets", "bodies", "trays",
        "people",
    ]  # fmt: skip
    assert is_plural("books") and is_plural("paper") and not is_plural("mattress") and not is_plural("chair")


def test_names_that_may_be_the_same():
    def names(*some):
        return frozenset(some)

    assert may_be_the_same(names("desk"), names("table"))
    assert may_be_the_same(names("office chair"), names("chair"))  # the same last word
    assert may_be_the_same(names("couch", "sofa"), names("sofa chair", "chair"))
    assert not may_be_the_same(names("chair"), names("table"))
    assert not may_be_the_same(names("toilet"), names("toilet paper"))


def test_uses_do_not_contradict_themselves():
    for use in USES:
        assert use.phrases and use.serves and not use.serves & use.doubtful
        for phrase in use.phrases:
            assert not set(phrase.split()) & use.serves, f"{phrase!r} names what it asks for"
    phrases = [phrase for use in USES for phrase in use.phrases]
    assert len(set(phrases)) == len(phrases)
    assert all(len(set(group)) == len(group) > 1 for group in MAY_BE_THE_SAME)
