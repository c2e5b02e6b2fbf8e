"""A scene folder: its text file, mesh with labels, annotation, truth pictures; and finding scenes."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scannet_files import (
    CHAIR,
    NAME,
    NYU40,
    VERTICES,
    WALL,
    change_json,
    ply_bytes,
    png,
    write_label_map,
    write_pictures,
    write_scene,
    write_test_scene,
)

from scannet_tools.label_map import FILE_NAME, LabelMap
from scannet_tools.scene import Scene, find_scenes


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_scene(tmp_path / "scans")


# ---- text


def test_text(folder):
    scene = Scene(folder)
    assert scene.name == NAME and scene.sens_path == folder / f"{NAME}.sens"
    assert scene.text["colorWidth"] == "1296" and scene.text["fx_color"] == "1170.187988"
    assert scene.scene_type == "Apartment"
    # from the mesh's frame to the aligned one: a quarter turn and a shift
    assert scene.axis_alignment.dtype == np.float64
    assert (scene.axis_alignment @ [1, 2, 3, 1]).tolist() == [2 - 1.5, -1 + 2, 3 - 0.1, 1]


def test_text_as_windows_leaves_it(folder):
    (folder / f"{NAME}.txt").write_bytes(
        b"\xef\xbb\xbfsceneType = Bedroom / Hotel\r\n\r\nno pair\r\nnote = a = b\r\n"
        b"empty = \r\nx=1\r\nnumColorFrames = 12\r\n\xff = y"
    )
    scene = Scene(folder)
    assert scene.scene_type == "Bedroom / Hotel"
    assert scene.text | {"x": "1"} == scene.text
    assert (scene.text["note"], scene.text["empty"], scene.text["numColorFrames"]) == ("a = b", "", "12")
    assert "no pair" not in scene.text and scene.axis_alignment is None


def test_no_text_file(folder):
    (folder / f"{NAME}.txt").unlink()
    scene = Scene(folder)
    assert scene.text == {} and scene.scene_type == "" and scene.axis_alignment is None


@pytest.mark.parametrize("value", ["", "1 2 3", "1 " * 15 + "x", "nan " * 16, "1 " * 17])
def test_damaged_alignment(folder, value):
    (folder / f"{NAME}.txt").write_text(f"axisAlignment = {value}\n")
    with pytest.raises(ValueError, match=rf"{NAME}.txt: axisAlignment must be 16 numbers"):
        _ = Scene(folder).axis_alignment


def test_the_alignment_changes_nothing_but_itself(folder):
    """It is for showing: vertices come as they are stored."""
    assert Scene(folder).axis_alignment is not None
    assert np.array_equal(Scene(folder).mesh().vertices, VERTICES)


# ---- mesh


def test_mesh_with_labels(folder):
    mesh = Scene(folder).mesh()
    assert mesh.labels.dtype == np.uint16 and np.array_equal(mesh.labels, NYU40)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("scene0270_00", 50, 39),
        ("scene0270_02", 50, 39),
        ("scene0384_00", 149, 39),
        ("scene0270_01", 50, 50),
        ("scene0384_00", 50, 50),
    ],
)
def test_labels_of_another_table(tmp_path, name, wrong, right):
    """Three released files hold ids of another table; only those are put right."""
    folder = write_scene(tmp_path, name)
    labels = np.where(NYU40 == 5, np.uint16(wrong), NYU40)
    (folder / f"{name}_vh_clean_2.labels.ply").write_bytes(ply_bytes(labels))
    mesh = Scene(folder).mesh()
    assert np.array_equal(mesh.labels, np.where(NYU40 == 5, right, NYU40)) and mesh.labels.dtype == np.uint16


def test_labels_of_another_mesh(folder):
    fewer = ply_bytes(NYU40[:-1], VERTICES[:-1], np.zeros((0, 3), int))
    (folder / f"{NAME}_vh_clean_2.labels.ply").write_bytes(fewer)
    with pytest.raises(
        ValueError, match=rf"labels.ply: {len(VERTICES) - 1} vertices, and {NAME}_vh_clean_2.ply has {len(VERTICES)}"
    ):
        Scene(folder).mesh()


def test_labels_file_without_labels(folder):
    (folder / f"{NAME}_vh_clean_2.labels.ply").write_bytes(ply_bytes())
    with pytest.raises(ValueError, match="labels.ply: .*no property 'label'"):
        Scene(folder).mesh()


def test_no_mesh(folder):
    (folder / f"{NAME}_vh_clean_2.ply").unlink()
    with pytest.raises(FileNotFoundError, match=f"{NAME}_vh_clean_2.ply"):
        Scene(folder).mesh()


# ---- annotation


def test_annotation(folder):
    scene = Scene(folder)
    assert scene.annotated
    annotation = scene.annotation(len(scene.mesh()))
    assert [item.id for item in annotation.objects] == [WALL, CHAIR]
    # two ways to the same classes
    label_map = LabelMap.read(write_label_map(folder / FILE_NAME))
    assert np.array_equal(annotation.vertex_classes(label_map.nyu40), scene.mesh().labels)


def test_annotation_of_another_mesh(folder):
    with pytest.raises(ValueError, match="segs.json: segments of"):
        Scene(folder).annotation(len(VERTICES) + 1)


def test_a_scan_of_the_test_set(tmp_path):
    scene = Scene(write_test_scene(tmp_path / "scans_test"))
    assert not scene.annotated and scene.axis_alignment is None and scene.scene_type == ""
    assert scene.mesh().labels is None and len(scene.mesh()) == len(VERTICES)
    assert scene.label_image(0) is None and scene.instance_image(0) is None
    with pytest.raises(FileNotFoundError, match="aggregation.json: no such file.*test set has no annotation"):
        scene.annotation()


@pytest.mark.parametrize("lacking", [".aggregation.json", "_vh_clean_2.0.010000.segs.json"])
def test_only_the_full_resolution_is_annotated(folder, lacking):
    (folder / f"{NAME}{lacking}").unlink()
    scene = Scene(folder)
    assert not scene.annotated
    with pytest.raises(FileNotFoundError, match=f"{NAME}{lacking}: no such file.*for the mesh of full resolution"):
        scene.annotation()


def test_the_wrong_file_under_the_right_name(folder):
    """A common mix-up: without the check, every object would get arbitrary vertices, or none."""
    shutil.copy(folder / f"{NAME}_vh_clean.aggregation.json", folder / f"{NAME}.aggregation.json")
    with pytest.raises(ValueError, match=f"{NAME}.aggregation.json: made for scannet.{NAME}_vh_clean.segs.json"):
        Scene(folder).annotation()


# ---- pictures

OBJECTS = np.zeros((12, 16), np.uint8)
OBJECTS[:, :8], OBJECTS[4:8, 6:10] = WALL, CHAIR
LABELS = np.array([0, 1, 2], np.uint16)[OBJECTS]  # the label map's ids: wall 1, chair 2
LARGE_ID = np.where(LABELS == 2, np.uint16(1357), LABELS)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("bits", [np.uint8, np.uint16])
def test_pictures(folder, zipped, bits):
    """Of 8 and of 16 bits; frames without a picture; sizes."""
    write_pictures(folder, "instance", {0: OBJECTS.astype(bits), 10: np.zeros_like(OBJECTS, bits)}, zipped=zipped)
    write_pictures(folder, "label", {0: LABELS.astype(bits), 2: LARGE_ID}, zipped=zipped)
    scene = Scene(folder)
    for picture, expected in (
        (scene.instance_image(0), OBJECTS),
        (scene.instance_image(10), np.zeros_like(OBJECTS)),
        (scene.label_image(0), LABELS),
        (scene.label_image(2), LARGE_ID),
    ):
        assert picture.dtype == np.uint16 and np.array_equal(picture, expected)
    for number in (1, 11, 10_000, -1):
        assert scene.instance_image(number) is None and scene.label_image(number) is None


def test_names_in_archives(folder):
    """Padded numbers, a folder around, and what other systems add."""
    path = folder / f"{NAME}_2d-label-filt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{NAME}/label-filt/000003.png", png(LABELS))
        archive.writestr(f"__MACOSX/{NAME}/label-filt/._000003.png", b"junk")
        archive.writestr("label-filt/readme.txt", b"junk")
        archive.writestr("instance-filt/4.png", png(LABELS))
        archive.writestr("old-label-filt/4.png", png(LABELS))
    scene = Scene(folder)
    assert np.array_equal(scene.label_image(3), LABELS) and scene.label_image(4) is None


def test_unpacked_into_a_folder_called_after_the_archive(folder):
    write_pictures(folder, "label", {3: LABELS}, zipped=False)
    (folder / f"{NAME}_2d-label-filt").mkdir()
    (folder / "label-filt").rename(folder / f"{NAME}_2d-label-filt" / "label-filt")
    assert np.array_equal(Scene(folder).label_image(3), LABELS)


def test_pictures_without_filter_are_not_taken(folder):
    write_pictures(folder, "label", {0: LABELS})
    (folder / f"{NAME}_2d-label-filt.zip").rename(folder / f"{NAME}_2d-label.zip")
    assert Scene(folder).label_image(0) is None


def test_sizes(folder):
    write_pictures(folder, "label", {0: LABELS})
    scene = Scene(folder)
    assert np.array_equal(scene.label_image(0, (16, 12)), LABELS)
    # three times as large: each pixel thrice; ids are never mixed
    assert np.array_equal(scene.label_image(0, (48, 36)), LABELS.repeat(3, 0).repeat(3, 1))
    assert np.array_equal(scene.label_image(0, (16, 12)), LABELS)
    smaller = scene.label_image(0, (8, 6))
    assert smaller.shape == (6, 8) and set(np.unique(smaller)) <= set(np.unique(LABELS))
    with pytest.raises(
        ValueError, match="label-filt.zip: the picture of frame 0 has 16x12 pixels.*other proportions than 16x16"
    ):
        scene.label_image(0, (16, 16))


def test_the_two_kinds_of_size_of_scannet(folder):
    """1296x968 and 640x480 are not quite of the same proportions, and are the same view."""
    write_pictures(folder, "label", {0: np.ones((968, 1296), np.uint16)})
    assert Scene(folder).label_image(0, (640, 480)).shape == (480, 640)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (png(LABELS)[:40], "damaged: not a PNG picture"),
        (b"", "damaged: not a PNG picture"),
        (png(np.zeros((12, 16, 3), np.uint8)), "a picture for looking at"),
    ],
)
def test_damaged_picture(folder, data, sentence, zipped):
    if zipped:
        with zipfile.ZipFile(folder / f"{NAME}_2d-label-filt.zip", "w") as archive:
            archive.writestr("label-filt/0.png", data)
    else:
        (folder / "label-filt").mkdir()
        (folder / "label-filt" / "0.png").write_bytes(data)
    with pytest.raises(ValueError, match=f"label-filt.*0.png: .*{sentence}"):
        Scene(folder).label_image(0)


def test_archive_cut_short(folder):
    path = write_pictures(folder, "label", {0: LABELS})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="label-filt.zip: cut short, or not an archive"):
        Scene(folder).label_image(0)


@pytest.mark.parametrize(("local", "central"), [(4, 6), (6, 8)], ids=["version", "locked"])
def test_archive_that_python_cannot_open(folder, local, central):
    """Bytes of the entry of 0.png, which stands twice in an archive."""
    path = write_pictures(folder, "label", {0: LABELS})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\3\4") + local] |= 0xA1
    data[data.rindex(b"PK\1\2") + central] |= 0xA1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="label-filt.zip: .*download"):
        Scene(folder).label_image(0)


def test_archive_with_a_wrong_byte(folder):
    path = write_pictures(folder, "label", {0: LABELS})
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match="label-filt.zip: label-filt/0.png: damaged.*download"):
        Scene(folder).label_image(0)


# ---- do the instance pictures count the objects of this annotation?


def test_pictures_agree(folder):
    frames = {number: OBJECTS for number in range(40)}
    write_pictures(folder, "instance", frames)
    write_pictures(folder, "label", {number: LABELS for number in frames})
    label_map = LabelMap.read(write_label_map(folder.parent / FILE_NAME))
    scene = Scene(folder)
    assert scene.pictures_agree(label_map) == 1.0
    assert np.array_equal(scene.instance_image(39), OBJECTS)


def test_pictures_agree_but_for_edges(folder):
    noisy = LABELS.copy()
    noisy[:, 0] = 2
    write_pictures(folder, "instance", {0: OBJECTS})
    write_pictures(folder, "label", {0: noisy})
    label_map = LabelMap.read(write_label_map(folder.parent / FILE_NAME))
    scene = Scene(folder)
    assert scene.pictures_agree(label_map) == pytest.approx(1 - 12 / np.count_nonzero(OBJECTS))
    assert np.array_equal(scene.instance_image(0), OBJECTS)


def test_pictures_of_another_aggregation_file_are_refused(folder):
    swapped = np.array([0, CHAIR, WALL], np.uint8)[OBJECTS]
    write_pictures(folder, "instance", {0: swapped})
    write_pictures(folder, "label", {0: LABELS})
    scene = Scene(folder)
    assert scene.instance_image(0) is not None  # without a label map, nobody can tell
    label_map = LabelMap.read(write_label_map(folder.parent / FILE_NAME))
    assert scene.pictures_agree(label_map) == 0.0
    with pytest.raises(
        ValueError, match=rf"instance-filt.zip: only 0% of its pixels .* than {NAME}.aggregation.json; render the truth"
    ):
        Scene(folder).instance_image(0)


def test_numbers_that_no_object_has_do_not_agree(folder):
    write_pictures(folder, "instance", {0: np.where(OBJECTS > 0, np.uint8(77), OBJECTS)})
    write_pictures(folder, "label", {0: np.zeros_like(LABELS)})
    label_map = LabelMap.read(write_label_map(folder.parent / FILE_NAME))
    assert Scene(folder).pictures_agree(label_map) == 0.0


def test_nothing_to_compare(folder):
    """Only one kind of picture, or empty ones: they are taken as they are."""
    label_map = LabelMap.read(write_label_map(folder.parent / FILE_NAME))
    write_pictures(folder, "instance", {0: OBJECTS})
    assert np.isnan(Scene(folder).pictures_agree(label_map))
    assert np.array_equal(Scene(folder).instance_image(0), OBJECTS)
    write_pictures(folder, "instance", {0: OBJECTS * 0})
    write_pictures(folder, "label", {0: LABELS})
    assert np.isnan(Scene(folder).pictures_agree(label_map))


def test_pictures_of_different_sizes(folder):
    write_pictures(folder, "instance", {0: OBJECTS})
    write_pictures(folder, "label", {0: LABELS[:, :8]})
    label_map = LabelMap.read(write_label_map(folder.parent / FILE_NAME))
    with pytest.raises(ValueError, match="frame 0 have different sizes"):
        Scene(folder).pictures_agree(label_map)


def test_picture_of_an_object_listed_twice(folder):
    """scene0217_00: pictures may name the second listing; the mesh only knows the first."""

    def double(values: dict) -> None:
        values["segGroups"] += [
            {**group, "id": group["id"] + 31, "objectId": group["objectId"] + 31} for group in values["segGroups"]
        ]

    change_json(folder / f"{NAME}.aggregation.json", double)
    write_pictures(folder, "instance", {0: np.where(OBJECTS == CHAIR, np.uint8(CHAIR + 31), OBJECTS)})
    assert np.array_equal(Scene(folder).instance_image(0), OBJECTS)


def test_picture_numbers_are_the_groups_ids(folder):
    change_json(
        folder / f"{NAME}.aggregation.json",
        lambda values: [group.update(id=group["id"] + 5) for group in values["segGroups"]],
    )
    write_pictures(folder, "instance", {0: np.where(OBJECTS > 0, OBJECTS + 5, 0).astype(np.uint8)})
    assert np.array_equal(Scene(folder).instance_image(0), OBJECTS)


# ---- recording


def test_open_sens(folder):
    from scannet_tools.sens import SensHeader, SensWriter

    intrinsic = np.diag([100.0, 100.0, 1.0, 1.0]).astype(np.float32)
    with SensWriter(Scene(folder).sens_path, SensHeader((16, 12), (8, 6), intrinsic, intrinsic)) as sens:
        sens.add(np.zeros((12, 16, 3), np.uint8), np.full((6, 8), 1500, np.uint16), np.eye(4))
    with Scene(folder).open_sens() as sens:
        assert sens.path == folder / f"{NAME}.sens" and len(sens) == 1
        assert (sens.frame(0).depth_units() == 1500).all()


def test_no_recording(folder):
    with pytest.raises(FileNotFoundError, match=f"{NAME}.sens"):
        Scene(folder).open_sens()


# ---- finding scenes


def names(scenes: list[Scene]) -> list[str]:
    return [scene.name for scene in scenes]


def test_find_scenes(tmp_path, monkeypatch):
    write_scene(tmp_path / "scans", "scene0002_00")
    write_scene(tmp_path / "scans", "scene0000_01")
    write_test_scene(tmp_path / "scans_test", "scene0707_00")
    only_sens = tmp_path / "scans" / "scene0000_00"
    only_sens.mkdir()
    (only_sens / "scene0000_00.sens").write_bytes(b"")
    (tmp_path / "scans" / "notes").mkdir()
    (tmp_path / "scans" / "notes" / "read.txt").write_text("")
    (tmp_path / "scans" / FILE_NAME).write_text("")
    assert names(find_scenes(tmp_path)) == ["scene0000_00", "scene0000_01", "scene0002_00", "scene0707_00"]
    assert names(find_scenes(str(tmp_path / "scans"))) == ["scene0000_00", "scene0000_01", "scene0002_00"]
    assert names(find_scenes(tmp_path / "scans_test")) == ["scene0707_00"]
    assert names(find_scenes(only_sens)) == ["scene0000_00"]
    monkeypatch.chdir(only_sens)
    (scene,) = find_scenes(".")
    assert scene.name == "scene0000_00" and scene.sens_path.is_file()


def test_no_scenes(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        find_scenes(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no scene in it: a scene is a folder whose files are called after it"):
        find_scenes(tmp_path)
    (tmp_path / "renamed").mkdir()
    (tmp_path / "renamed" / "scene0000_00.sens").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no scene in it"):
        find_scenes(tmp_path)
