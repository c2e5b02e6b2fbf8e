"""Objects of a mesh's vertices: the two json files put together, and what is wrong with them in some scans."""

from __future__ import annotations

import numpy as np
import pytest
from scannet_files import (
    CHAIR,
    GROUPS,
    NAME,
    SEGMENTS,
    SURFACES,
    VERTICES,
    WALL,
    aggregation,
    change_json,
    segs,
    write_json,
    write_scene,
)

from scannet_tools.annotation import AnnotatedObject, Annotation, read_annotation

TRUTH = np.zeros(len(VERTICES), np.uint16)
TRUTH[SURFACES["wall"]], TRUTH[SURFACES["chair"]] = WALL, CHAIR
OBJECTS = (AnnotatedObject(WALL, "wall"), AnnotatedObject(CHAIR, "stack of chairs"))


@pytest.fixture
def files(tmp_path):
    folder = write_scene(tmp_path)
    return folder / f"{NAME}.aggregation.json", folder / f"{NAME}_vh_clean_2.0.010000.segs.json"


def groups_of(annotation: Annotation) -> dict[int, str]:
    return {item.id: item.label for item in annotation.objects}


def test_objects_and_vertices(files):
    annotation = read_annotation(*files, len(VERTICES))
    assert annotation.objects == OBJECTS
    assert annotation.vertex_objects.dtype == np.uint16 and np.array_equal(annotation.vertex_objects, TRUTH)
    assert dict(annotation.picture_objects) == {1: WALL, 2: CHAIR}


def test_vertices_of(files):
    annotation = read_annotation(*files)
    assert np.array_equal(annotation.vertices_of([CHAIR]), TRUTH == CHAIR)
    assert np.array_equal(annotation.vertices_of({WALL, CHAIR}), TRUTH > 0)
    # 0 is no object, and neither are ids that there are not
    for ids in ([], [0], [3, 65535, 70000, -1]):
        assert not annotation.vertices_of(ids).any()


def test_classes(files):
    annotation = read_annotation(*files)
    classes = {"wall": 1, "stack of chairs": 5}
    assert np.array_equal(annotation.vertex_classes(classes.__getitem__), np.array([0, 1, 5])[TRUTH])
    assert annotation.vertex_classes(classes.__getitem__).dtype == np.uint16
    pictured = np.array([[0, CHAIR], [WALL, 999]])
    assert annotation.object_classes(classes.__getitem__)[pictured].tolist() == [[0, 5], [1, 0]]


@pytest.mark.parametrize("empty", ["null", "absent"])
@pytest.mark.parametrize("lacking", ["id", "objectId", "both"])
def test_numbers_as_text_or_null(files, lacking, empty):
    """The reference takes all three; an object without a number takes the other one, or the next that is free."""

    def change(values: dict) -> None:
        for place, group in enumerate(values["segGroups"]):
            for name in ("id", "objectId"):
                if place == 1 and lacking in (name, "both"):
                    group[name] = None
                    if empty == "absent":
                        del group[name]
                else:
                    group[name] = str(group[name])
            group["segments"] = [str(number) for number in group["segments"]] + [None]

    change_json(files[0], change)
    change_json(files[1], lambda values: values.update(segIndices=[str(number) for number in values["segIndices"]]))
    annotation = read_annotation(*files, len(VERTICES))
    assert annotation.objects == OBJECTS and np.array_equal(annotation.vertex_objects, TRUTH)
    assert dict(annotation.picture_objects) == {1: WALL, 2: CHAIR}


def test_the_id_stands_in_for_a_missing_object_id(files):
    change_json(files[0], lambda values: values["segGroups"][1].update(objectId=None, id="40"))
    annotation = read_annotation(*files)
    assert groups_of(annotation) == {WALL: "wall", 41: "stack of chairs"} and annotation.picture_objects[41] == 41


def test_a_number_is_never_given_twice(files):
    change_json(files[0], lambda values: values["segGroups"][0].update(objectId=None, id=None))
    assert groups_of(read_annotation(*files)) == {2: "stack of chairs", 3: "wall"}


def test_numbers_text_and_gaps_mixed_in_segs(files):
    change_json(files[1], lambda values: values["segIndices"].__setitem__(0, "0"))
    assert np.array_equal(read_annotation(*files).vertex_objects, TRUTH)


def test_objects_listed_twice(files):
    """scene0217_00: the second half repeats the first under new numbers, and the pictures may hold either."""

    def double(values: dict) -> None:
        again = [{**group, "id": group["id"] + 31, "objectId": group["objectId"] + 31} for group in values["segGroups"]]
        again[0]["segments"] = again[0]["segments"][::-1]  # the order says nothing
        values["segGroups"] += again

    change_json(files[0], double)
    annotation = read_annotation(*files, len(VERTICES))
    assert annotation.objects == OBJECTS and np.array_equal(annotation.vertex_objects, TRUTH)
    assert dict(annotation.picture_objects) == {1: WALL, 2: CHAIR, 32: WALL, 33: CHAIR}


def test_segments_that_the_mesh_lost(files):
    change_json(files[0], lambda values: values["segGroups"][0]["segments"].append(123456))
    assert np.array_equal(read_annotation(*files).vertex_objects, TRUTH)


def test_an_object_without_vertices_is_left_out(files):
    empty = [
        {"id": 7, "objectId": 7, "segments": [], "label": "ghost"},
        {"id": 8, "objectId": 8, "segments": [999999], "label": "ghost"},
    ]
    change_json(files[0], lambda values: values["segGroups"].extend(empty))
    annotation = read_annotation(*files)
    assert annotation.objects == OBJECTS
    assert set(annotation.picture_objects) == {1, 2}


def test_a_shared_segment_is_the_later_ones(files):
    change_json(
        files[0], lambda values: values["segGroups"].append({"id": 5, "objectId": 5, "segments": [8], "label": "board"})
    )
    annotation = read_annotation(*files)
    assert groups_of(annotation) == {WALL: "wall", CHAIR: "stack of chairs", 6: "board"}
    assert np.array_equal(annotation.vertices_of([6]), SEGMENTS == 8)
    assert np.array_equal(annotation.vertices_of([WALL]), SEGMENTS == 0)


def test_objects_of_one_class_stay_apart(files):
    """The reference's script lets the first object of a class collect the segments of all later ones."""
    split = [{**GROUPS[0], "segments": [0]}, {**GROUPS[0], "id": 4, "objectId": 4, "segments": [8]}]
    change_json(files[0], lambda values: values.update(segGroups=split))
    annotation = read_annotation(*files)
    assert np.array_equal(annotation.vertices_of([1]), SEGMENTS == 0)
    assert np.array_equal(annotation.vertices_of([5]), SEGMENTS == 8)


@pytest.mark.parametrize("label", [None, "absent"])
def test_an_object_without_a_name(files, label):
    change_json(
        files[0],
        lambda values: values["segGroups"][0].pop("label") if label else values["segGroups"][0].update(label=None),
    )
    assert groups_of(read_annotation(*files)) == {WALL: "", CHAIR: "stack of chairs"}


def test_the_id_may_differ_from_the_object_id(files):
    """Pictures count by `id`, meshes by `objectId`."""
    change_json(files[0], lambda values: [group.update(id=1 - group["id"]) for group in values["segGroups"]])
    annotation = read_annotation(*files)
    assert annotation.objects == OBJECTS
    assert dict(annotation.picture_objects) == {2: WALL, 1: CHAIR}


def test_the_file_of_the_full_resolution_is_refused(files):
    """It says for which segs file it was made."""
    wrong = files[0].with_name(f"{NAME}_vh_clean.aggregation.json")
    with pytest.raises(
        ValueError, match=rf"{wrong.name}: made for scannet.{NAME}_vh_clean.segs.json, not for .*another mesh or scene"
    ):
        read_annotation(wrong, files[1], len(VERTICES))


def test_the_file_of_the_full_resolution_is_known_by_its_segments(files):
    """Also where a copy under the right name does not say what it was made for."""
    values = aggregation(
        groups=[{**group, "segments": [number + 100_000 for number in group["segments"]]} for group in GROUPS]
    )
    for silent in (None, "", "absent"):
        values["segmentsFile"] = silent
        if silent == "absent":
            del values["segmentsFile"]
        write_json(files[0], values)
        with pytest.raises(ValueError, match=rf"{files[0].name}: of the 3 segments .* only 0 are in .*full resolution"):
            read_annotation(*files, len(VERTICES))


def test_the_segs_of_the_full_resolution_are_known_by_their_length(files):
    fine = files[1].with_name(f"{NAME}_vh_clean.segs.json")
    with pytest.raises(ValueError, match="made for"):
        read_annotation(files[0], fine, len(VERTICES))
    change_json(files[0], lambda values: values.pop("segmentsFile"))
    with pytest.raises(
        ValueError, match=rf"{fine.name}: segments of {3 * len(VERTICES)} vertices, and the mesh has {len(VERTICES)}"
    ):
        read_annotation(files[0], fine, len(VERTICES))


def test_another_scenes_file_is_refused(files):
    write_json(files[0], aggregation("scene0002_00"))
    with pytest.raises(ValueError, match="made for scannet.scene0002_00_vh_clean_2.0.010000.segs.json, not for"):
        read_annotation(*files)


@pytest.mark.parametrize("prefix", ["", "scannet.", "some/folder/", "C:\\scans\\scannet."])
def test_the_name_of_the_right_file_may_be_written_in_other_ways(files, prefix):
    change_json(files[0], lambda values: values.update(segmentsFile=f"{prefix}{NAME}_vh_clean_2.0.010000.segs.json"))
    assert np.array_equal(read_annotation(*files).vertex_objects, TRUTH)


def test_nothing_annotated_yet(files):
    write_json(files[0], aggregation(groups=[]))
    annotation = read_annotation(*files)
    assert annotation.objects == () and not annotation.vertex_objects.any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda values: values.pop("segGroups"), "no list 'segGroups'"),
        (lambda values: values.update(segGroups=["x"]), "no list 'segGroups'"),
        (lambda values: values["segGroups"][0].update(segments="0 8"), "'segments' are no list"),
        (lambda values: values["segGroups"][0].update(segments=["eight"]), "segments 'eight' is no whole number"),
        (lambda values: values["segGroups"][0].update(segments=[[8]]), "segments .8. is no whole number"),
        (lambda values: values["segGroups"][0].update(objectId=0.5), "objectId 0.5 is no whole number"),
        (lambda values: values["segGroups"][0].update(objectId=True), "objectId True is no whole number"),
        (lambda values: values["segGroups"][0].update(objectId=-1), "objectId -1: it must be from 0 to 65534"),
        (lambda values: values["segGroups"][0].update(objectId="65535"), "objectId 65535: it must be"),
        (lambda values: values["segGroups"][0].update(id="first"), "id 'first' is no whole number"),
    ],
)
def test_damaged_aggregation(files, change, sentence):
    change_json(files[0], change)
    with pytest.raises(ValueError, match=f"{files[0].name}: .*{sentence}"):
        read_annotation(*files)


@pytest.mark.parametrize("values", [None, [], "0 1", [0, None], [0, 0.5], [[0], [1]], [0, "x"], [0, [1]], [True]])
def test_damaged_segs(files, values):
    change_json(files[1], lambda held: held.update(segIndices=values))
    with pytest.raises(ValueError, match=f"{files[1].name}: .*segIndices"):
        read_annotation(*files)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "wrong", ["", "{", "[]", "\0\0", '{"segGroups": [{"id": 0, "objectId": 0, "segm', "[" * 100_000]
)
def test_not_json_or_cut_short(files, place, wrong):
    files[place].write_text(wrong)
    with pytest.raises(ValueError, match=f"{files[place].name}: (not JSON, or cut short|expected a JSON object)"):
        read_annotation(*files)


def test_missing_file(files):
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match=files[1].name):
        read_annotation(*files)


def test_equal_to_the_plain_way_on_a_large_scan(tmp_path):
    """150 000 vertices in 4000 segments, 60 objects: the same as a loop over objects and segments."""
    rng = np.random.default_rng(3)
    roots = np.sort(rng.choice(150_000, 4000, replace=False))
    segments = roots[rng.integers(0, 4000, 150_000)]
    shared = rng.integers(0, 80, 4000)  # objects 60 and above: nobody's
    groups = [
        {"id": k, "objectId": k, "label": "thing", "segments": [int(root) for root in roots[shared == k]]}
        for k in range(60)
    ]
    write_json(tmp_path / "a.json", aggregation(groups=groups))
    write_json(tmp_path / f"{NAME}_vh_clean_2.0.010000.segs.json", segs(segments=segments))
    annotation = read_annotation(tmp_path / "a.json", tmp_path / f"{NAME}_vh_clean_2.0.010000.segs.json", 150_000)
    expected = np.zeros(150_000, int)
    for group in groups:
        expected[np.isin(segments, group["segments"])] = group["objectId"] + 1
    assert np.array_equal(annotation.vertex_objects, expected)
