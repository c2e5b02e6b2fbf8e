"""Scenes of our own in ScanNet's formats: every reader opens them, and their files tell of one and the same scene."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

pytest.importorskip("open3d")

from lisa_ros.geometry import Camera  # noqa: E402
from scannet_tools.label_map import CLASSES_20, VALID_200, LabelMap, find_label_map  # noqa: E402
from scannet_tools.questions import KINDS, read_questions  # noqa: E402
from scannet_tools.scene import Scene, find_scenes  # noqa: E402
from scannet_tools.synthetic.kinds import BY_NAME, USES  # noqa: E402
from scannet_tools.synthetic.label_rows import LABEL_ROWS  # noqa: E402
from scannet_tools.synthetic.scan_mesh import LONGEST_EDGE, fine_mesh  # noqa: E402
from scannet_tools.synthetic.scannet import scene_folder, write_scene  # noqa: E402
from scannet_tools.synthetic.scene_questions import ask_about_scene  # noqa: E402
from scannet_tools.synthetic.take import FRAMES_PER_SECOND, Take, TakeSettings  # noqa: E402
from scannet_tools.synthetic.wordings import UNSEEN  # noqa: E402
from scannet_tools.truth import VertexRenderer  # noqa: E402

ROOM, TABLE = 0, 1  # even seeds are rooms
FRAMES, LOST = 36, 4
SMALL = dict(frames=FRAMES, width=164, height=122, depth_width=80, depth_height=60, lost=LOST)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scannet")
    for seed in (ROOM, TABLE):
        write_scene(folder, seed, **SMALL)
    write_scene(folder, ROOM, annotated=False, **SMALL)
    return folder


@pytest.fixture(params=[ROOM, TABLE], ids=["room", "table"], scope="module")
def scene(out, request) -> Scene:
    return Scene(scene_folder(out, request.param))


def test_a_scene_folder_is_complete_and_is_found(out):
    scenes = find_scenes(out)
    assert [item.name for item in scenes] == ["scene9000_00", "scene9001_00", "scene9500_00"]
    assert [item.annotated for item in scenes] == [True, True, False]
    endings = {path.name.removeprefix("scene9000_00") for path in scenes[0].folder.iterdir()}
    assert endings == {
        ".sens", ".txt", "_vh_clean_2.ply", "_vh_clean_2.labels.ply", ".aggregation.json",
        "_vh_clean_2.0.010000.segs.json", "_2d-label-filt.zip", "_2d-instance-filt.zip",
        "questions.jsonl", ".synthesis.json",
    }  # fmt: skip
    endings = {path.name.removeprefix("scene9500_00") for path in scenes[2].folder.iterdir()}
    assert endings == {".sens", ".txt", "_vh_clean_2.ply", ".synthesis.json"}
    assert scenes[2].axis_alignment is None and scenes[2].scene_type == ""
    assert scenes[0].scene_type and len(scenes[2].mesh()) > 10_000


def test_the_recording_has_calibrated_cameras_and_lost_poses(scene):
    with scene.open_sens() as sens:
        assert (sens.version, len(sens), sens.truncated) == (4, FRAMES, False)
        assert (sens.color_size, sens.depth_size, sens.depth_shift) == ((164, 122), (80, 60), 1000.0)
        assert (sens.color_compression, sens.depth_compression) == ("jpeg", "zlib")
        for matrix in (sens.extrinsic_color, sens.extrinsic_depth):
            np.testing.assert_array_equal(matrix, np.eye(4))
        color, depth = sens.intrinsic_color, sens.intrinsic_depth
        np.testing.assert_allclose(
            [depth[0, 0], depth[1, 1], depth[0, 2], depth[1, 2]],
            [color[0, 0] * 80 / 164, color[1, 1] * 60 / 122, color[0, 2] * 79 / 163, color[1, 2] * 59 / 121],
            rtol=1e-6,
        )
        valid = sens.pose_valid()
        assert np.count_nonzero(~valid) == LOST
        assert np.isneginf(sens.poses()[~valid]).all()
        assert (np.diff(sens.stamps_ns()) > 0).all()
        assert len(sens.imu) == int(FRAMES / FRAMES_PER_SECOND * 53)
        # gravity in the camera's frame, turned by the pose of the same time, points down in the scan
        for index in np.flatnonzero(valid)[::9]:
            reading = sens.imu[np.argmin(np.abs(sens.imu["timestamp_us"].astype(float) - sens.frame(index).color_us))]
            down = sens.poses()[index][:3, :3] @ reading["gravity"]
            assert down[2] < -0.99
        frame = sens.frame(int(np.flatnonzero(valid)[0]))
        assert frame.color().shape == (122, 164, 3) and frame.depth_units().shape == (60, 80)


def test_depth_and_poses_agree_with_the_mesh(scene):
    renderer = VertexRenderer(scene.mesh(), scene.annotation())
    errors, covered = [], []
    with scene.open_sens() as sens:
        k = sens.intrinsic_depth
        camera = Camera(*(float(k[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))), *sens.depth_size)
        for index in np.flatnonzero(sens.pose_valid()):
            frame = sens.frame(int(index))
            measured = frame.depth_units() / sens.depth_shift
            cast = renderer.depth(camera, frame.camera_to_world)
            both = (measured > 0) & (cast > 0) & np.isfinite(cast)
            covered.append(both.sum() / np.count_nonzero(measured))
            errors.append(np.median(np.abs(cast - measured)[both]))
    assert max(errors) < 0.02
    assert min(covered) > 0.9


def test_the_vertices_objects_are_those_of_the_instance_pictures(scene):
    annotation = scene.annotation()
    renderer = VertexRenderer(scene.mesh(), annotation)
    known = {item.id for item in annotation.objects}
    with scene.open_sens() as sens:
        for index, valid in enumerate(sens.pose_valid()):
            picture = scene.instance_image(index)
            assert picture.shape == (122, 164)
            if not valid:
                assert not picture.any() and not scene.label_image(index).any()
                continue
            assert set(np.unique(picture)) - {0} <= known
            projected = renderer.instances(sens.color_camera, sens.frame(index).camera_to_world)
            both = (picture > 0) & (projected > 0)
            assert (projected[both] == picture[both]).mean() > 0.97
            assert both.sum() > 0.9 * np.count_nonzero(picture)


def test_label_pictures_and_labels_ply_say_what_the_objects_are(scene):
    labels = LabelMap.read(find_label_map(scene.folder))
    mesh, annotation = scene.mesh(), scene.annotation()
    np.testing.assert_array_equal(mesh.labels, annotation.vertex_classes(labels.nyu40))
    assert 0 < np.count_nonzero(mesh.labels == 0) < 0.3 * len(mesh), "skirting boards are not annotated, all else is"
    assert scene.pictures_agree(labels) == 1.0
    for what, dtype in (("label", np.uint16), ("instance", np.uint8)):
        with ZipFile(scene.folder / f"{scene.name}_2d-{what}-filt.zip") as archive:
            assert archive.namelist() == [f"{what}-filt/{index}.png" for index in range(FRAMES)]
            stored = cv2.imdecode(np.frombuffer(archive.read(f"{what}-filt/0.png"), np.uint8), cv2.IMREAD_UNCHANGED)
            assert stored.dtype == dtype and stored.shape == (122, 164)
    named = Counter(item.label for item in annotation.objects)
    assert named["floor"] == 1 and named["wall"] >= 2


def test_the_mesh_is_stored_as_scannet_stores_it(scene):
    path = scene.folder / f"{scene.name}_vh_clean_2.ply"
    header = path.read_bytes()[:600].partition(b"end_header")[0].decode().splitlines()
    assert header[:2] == ["ply", "format binary_little_endian 1.0"]
    properties = [line.removeprefix("property ") for line in header if line.startswith("property")]
    assert properties == [
        "float x", "float y", "float z", "uchar red", "uchar green", "uchar blue", "uchar alpha",
        "list uchar int vertex_indices",
    ]  # fmt: skip
    mesh = scene.mesh()
    corners = mesh.vertices[mesh.faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    assert edges.max() <= LONGEST_EDGE + 1e-3
    assert 0.01 < np.median(edges) < 0.04
    assert len(np.unique(mesh.faces)) == len(mesh), "every vertex is in a face"
    # what the camera looks at shows it its front
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    floor = scene.annotation().vertices_of([item.id for item in scene.annotation().objects if item.label == "floor"])
    up = facing[floor[mesh.faces].all(1)][:, 2]
    assert (up > 0).mean() > 0.9 and (up < -1e-7).mean() < 0.01, "the rest is the slab's sides"
    assert mesh.colors.std() > 5


def test_segments_cut_objects_and_never_join_them(scene):
    segs = json.loads((scene.folder / f"{scene.name}_vh_clean_2.0.010000.segs.json").read_text())
    pieces, objects = np.array(segs["segIndices"]), scene.annotation().vertex_objects
    assert len(pieces) == len(scene.mesh()) and pieces.max() < len(pieces)
    assert (pieces[np.unique(pieces)] == np.unique(pieces)).all(), "a segment's number is one of its own vertices"
    owners = {int(piece): set(objects[pieces == piece].tolist()) for piece in np.unique(pieces)}
    assert all(len(owner) == 1 for owner in owners.values())
    count = Counter(next(iter(owner)) for owner in owners.values())
    listed = json.loads((scene.folder / f"{scene.name}.aggregation.json").read_text())["segGroups"]
    assert {group["objectId"] + 1 for group in listed} == set(np.unique(objects).tolist()) - {0}
    for group in listed:
        assert len(group["segments"]) == count[group["objectId"] + 1] > 1


def test_the_text_aligns_walls_and_its_cameras_are_not_to_be_used(scene):
    mesh, annotation = scene.mesh(), scene.annotation()
    aligned = mesh.vertices @ scene.axis_alignment[:3, :3].T + scene.axis_alignment[:3, 3]
    for item in annotation.objects:
        spread = np.ptp(aligned[annotation.vertices_of([item.id])], axis=0)
        if item.label == "wall":
            assert spread[:2].min() < 0.06
        if item.label == "floor":
            assert spread[2] < 0.06
    walls = annotation.vertices_of([item.id for item in annotation.objects if item.label == "wall"])
    assert np.ptp(mesh.vertices[walls], axis=0)[:2].min() > np.ptp(aligned[walls], axis=0)[:2].min() + 0.05, (
        "mesh is turned"
    )
    with scene.open_sens() as sens:
        assert float(scene.text["fx_color"]) != pytest.approx(float(sens.intrinsic_color[0, 0]), rel=1e-3)
    assert scene.text["numColorFrames"] == str(FRAMES)
    assert len(scene.text["colorToDepthExtrinsics"].split()) == 16


def test_questions_have_targets_that_are_there(scene):
    objects = {item.id: item.label for item in scene.annotation().objects}
    asked = read_questions(scene.folder / "questions.jsonl")
    assert {q.scene for q in asked} == {scene.name}
    assert {"explicit", "absent"} <= {q.kind for q in asked}
    assert len({q.question for q in asked}) == len(asked)
    for question in asked:
        assert set(question.targets) <= objects.keys()
        if question.kind == "explicit" and not any(thing in question.question for thing in UNSEEN.things):
            names = {
                name for target in question.targets for name in (objects[target], *BY_NAME[objects[target]].synonyms)
            }
            assert any(name in question.question for name in names), question


@pytest.fixture(scope="module")
def many_takes():
    return [Take(TakeSettings(seed, frames=300)) for seed in range(16)]


def asked_about(take, draw, pixels=None):
    pixels = np.full(len(take.objects) + 1, 10_000) if pixels is None else pixels
    return ask_about_scene(take.objects, pixels, take.layout.scene, (122, 164), np.random.default_rng(draw))


def anchor_of(text, words, objects):
    """The object after "on the", in whichever of the wordings, or None."""
    found = re.search(rf" (?:{'|'.join(words)}) the (.+)", text)
    named = [item for item in objects if item.color and found and re.match(rf"{item.label}\b", found.group(1))]
    return max(named, key=lambda item: len(item.label)) if named else None


def test_relations_hold_where_things_stand(many_takes):
    checked = Counter()
    for take in many_takes:
        for question in (question for draw in range(4) for question in asked_about(take, draw)):
            closest = anchor_of(question.text, ("closest to", "nearest to"), take.objects)
            on = anchor_of(question.text, UNSEEN.on, take.objects)
            if question.kind != "relational":
                assert closest is None and on is None, question
                continue
            (target,) = (item for item in take.objects if item.id in question.targets)
            if closest:
                twins = [item for item in take.objects if item.label == target.label]
                nearest = min(twins, key=lambda item: np.linalg.norm(item.middle - closest.middle))
                assert len(twins) > 1 and nearest.id == target.id
            else:
                there = [item for item in take.objects if item.supported_by == on.id and item.label == target.label]
                assert there == [target], question
                alone = sum(item.supported_by == on.id for item in take.objects) == 1
                named = any(name in question.text for name in (target.label, *BY_NAME[target.label].synonyms))
                assert alone or named, question
            checked["closest" if closest else "on"] += 1
    assert checked["on"] >= 5 and checked["closest"] >= 3


def test_no_question_about_a_scene_depends_on_where_one_stands(many_takes):
    words = UNSEEN
    places = (*words.left, *words.right, *words.front, *words.behind, *words.leftmost, *words.rightmost, *words.near)
    for take in many_takes:
        for question in (question for draw in range(6) for question in asked_about(take, draw)):
            assert not re.search(rf" (?:{'|'.join(places)})\b", question.text), question


def test_questions_about_scenes_are_of_the_kinds_of_a_questions_file(many_takes):
    kept = {text for use in USES if use.held_out for text in use.unseen}
    asked = [q for take in many_takes for draw in range(4) for q in asked_about(take, draw)]
    assert {question.kind for question in asked} == set(KINDS)
    assert "use" in {question.kind for question in asked if question.text in kept}


def test_what_is_seen_badly_is_neither_asked_for_nor_called_absent(many_takes):
    take = many_takes[0]
    pixels = np.full(len(take.objects) + 1, 10_000)
    hidden = next(item for item in take.objects if item.color)
    pixels[hidden.id] = 0
    for draw in range(10):
        for question in asked_about(take, draw, pixels):
            assert hidden.id not in question.targets
            if question.kind == "absent":
                assert f"no {hidden.color} {hidden.label} " not in question.answer


def test_a_walk_is_smooth_and_hits_nothing(many_takes):
    for take in many_takes:
        poses = np.array([take.layout_pose(index) for index in range(300)])
        eyes, turns = poses[:, :3, 3], poses[:, :3, :3]
        np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)
        assert (np.linalg.norm(np.diff(eyes, axis=0), axis=1) * FRAMES_PER_SECOND).max() < 2.5, "metres a second"
        cosines = (np.einsum("nij,nij->n", turns[:-1], turns[1:]) - 1) / 2
        assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() * FRAMES_PER_SECOND < 120
        assert ((eyes > 0) & (eyes < take.layout.room)).all()
        assert take.world.scene.compute_distance(eyes.astype(np.float32)).numpy().min() > 0.2
        looks = turns[:, :2, 2]
        if take.layout.scene == "room":
            heading = np.unwrap(np.arctan2(looks[:, 1], looks[:, 0]))
            assert np.ptp(heading) > np.radians(300), "it looks all round"


def test_the_fine_mesh_has_no_gaps_between_its_pieces():
    take = Take(TakeSettings(TABLE))
    mesh = fine_mesh(take.world)
    floor = mesh.faces[mesh.objects[mesh.faces[:, 0]] == next(o.id for o in take.objects if o.label == "floor")]
    edges = np.sort(np.concatenate([floor[:, [0, 1]], floor[:, [1, 2]], floor[:, [2, 0]]]), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert (uses == 2).all(), "a slab is closed: each edge has two faces"


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path):
    few = dict(SMALL, frames=5, lost=1)
    first, again = (write_scene(tmp_path / name, 3, **few) for name in ("a", "b"))
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
    other = write_scene(tmp_path / "a", 5, **few)
    assert (other / "scene9005_00.sens").read_bytes() != (first / "scene9003_00.sens").read_bytes()


def test_a_scene_that_is_there_is_kept_and_one_of_other_settings_is_refused(tmp_path):
    few = dict(SMALL, frames=2, lost=0)
    folder = write_scene(tmp_path, TABLE, **few)
    stale = folder.with_name(f".{folder.name}.part")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    counted = []
    assert write_scene(tmp_path, TABLE, **few, on_frames=counted.append) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before and counted == [2]
    with pytest.raises(ValueError, match="scene9001_00.*other settings"):
        write_scene(tmp_path, TABLE, **dict(few, frames=3))
    stale.mkdir()  # of a run that was killed
    (stale / "scene9003_00.sens").write_bytes(b"half")
    stale.rename(folder.with_name(".scene9003_00.part"))
    write_scene(tmp_path, 3, **few)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["scene9001_00", "scene9003_00"]


def test_another_label_table_is_not_overwritten(tmp_path):
    table = tmp_path / "scannetv2-labels.combined.tsv"
    table.write_text("id\traw_category\n1\twall\n")
    with pytest.raises(ValueError, match="another label table"):
        write_scene(tmp_path, TABLE, **dict(SMALL, frames=2, lost=0))
    assert table.read_text().startswith("id\traw_category\n1\twall")
    assert not list((tmp_path / "scans").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "at least 1"),
        ({"lost": FRAMES}, "must keep its pose"),
        ({"width": 8}, "8x122"),
        ({"seed": 500}, "0 to 499"),
    ],
)
def test_arguments_out_of_range_are_said(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_scene(tmp_path, **{"seed": ROOM, **SMALL, **change})
    assert not list(tmp_path.iterdir())


def test_the_label_table_has_scannets_columns_and_known_classes(out):
    path = find_label_map(scene_folder(out, ROOM))
    lines = path.read_text().splitlines()
    assert path.parent == out and all(len(line.split("\t")) == 17 for line in lines)
    labels = LabelMap.read(path)
    assert set(BY_NAME) | {"wall", "floor", "ceiling", "door", "window"} == set(LABEL_ROWS)
    assert len({row.id for row in LABEL_ROWS.values()}) == len(LABEL_ROWS), "a label picture's id names one kind"
    for raw, row in LABEL_ROWS.items():
        assert (labels.nyu40(raw), labels.tsv_id(raw), labels.category(raw)) == (row.nyu40, row.id, row.category)
        assert 1 <= row.nyu40 <= 40
        assert labels.scannet200(raw) == (row.id if row.id in VALID_200 else 0)
    for raw in ("chair", "sofa", "table", "bed", "cabinet", "bookshelf", "door", "window", "picture"):
        assert CLASSES_20[labels.nyu40(raw)] == raw


def test_depth_may_have_colours_size(tmp_path):
    folder = write_scene(tmp_path, TABLE, frames=1, width=64, height=48, depth_width=64, depth_height=48)
    with Scene(folder).open_sens() as sens:
        np.testing.assert_array_equal(sens.intrinsic_color, sens.intrinsic_depth)
        assert (sens.frame(0).depth_units() > 0).mean() > 0.8
