"""Synthetic scenes: the promises that training and evaluation rely on."""
from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pytest

pytest.importorskip("open3d")

from scannet_tools.synthetic import KIND_NAMES, make_frame, make_sequence  # noqa: E402
from scannet_tools.synthetic.kinds import BY_NAME, USES  # noqa: E402
from scannet_tools.synthetic.questions import EXPLICIT, EXPLICIT_UNSEEN, MIN_SHARE  # noqa: E402

WIDTH, HEIGHT = 160, 120


@lru_cache(maxsize=None)
def frame(seed: int, split: str = "train"):
    return make_frame(seed, split=split, width=WIDTH, height=HEIGHT)


def frames():
    return [frame(seed) for seed in range(12)]


def test_the_catalogue_is_wide_enough():
    assert len(KIND_NAMES) - 1 >= 30
    assert len(set(KIND_NAMES)) == len(KIND_NAMES)
    names = [name for kind in BY_NAME.values() for name in (kind.name, *kind.synonyms)]
    assert len(names) == len(set(names)), "one word must not mean two kinds"


def test_equal_arguments_give_equal_frames():
    again = make_frame(3, split="train", width=WIDTH, height=HEIGHT)
    for name in ("color", "depth", "depth_true", "instance", "category", "camera_to_world"):
        np.testing.assert_array_equal(getattr(frame(3), name), getattr(again, name))
    assert frame(3).questions == again.questions


def test_splits_are_different_scenes():
    poses = [frame(3, split).camera_to_world for split in ("train", "val", "test")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(poses[a], poses[b])
    with pytest.raises(ValueError, match="holiday"):
        make_frame(0, split="holiday", width=WIDTH, height=HEIGHT)


def test_id_maps_agree_with_the_objects():
    for shown in frames():
        counts = np.bincount(shown.instance.ravel(), minlength=len(shown.objects) + 1)
        assert len(counts) == len(shown.objects) + 1
        assert (shown.category[shown.instance == 0] == 0).all()
        for item in shown.objects:
            assert counts[item.id] == item.pixels
            assert (shown.category[shown.instance == item.id] == KIND_NAMES.index(item.kind)).all()


def test_targets_are_in_view_and_answers_name_them():
    for shown in frames():
        objects = {item.id: item for item in shown.objects}
        for question in shown.questions:
            for number in question.targets:
                item = objects[number]
                assert item.pixels >= MIN_SHARE * WIDTH * HEIGHT
                assert f"the {item.color} {item.kind}" in question.answer
            assert bool(question.targets) == (question.kind != "absent")
            assert question.answer.startswith("It is " if question.targets else "There is no")


def test_absent_targets_have_no_pixel():
    uses = {use.absent: use for use in USES}
    checked = 0
    for shown in frames():
        seen = [item for item in shown.objects if item.pixels]
        for question in (q for q in shown.questions if q.kind == "absent"):
            checked += 1
            if question.answer in uses:
                assert not {item.kind for item in seen} & set(uses[question.answer].kinds)
                continue
            thing = re.fullmatch(r"There is no (.+) here\.", question.answer).group(1)
            assert thing not in {name for item in seen for name in (item.kind, f"{item.color} {item.kind}")}, question
    assert checked >= 12


def test_about_a_quarter_of_the_questions_is_about_absent_things():
    kinds = [question.kind for shown in frames() for question in shown.questions]
    assert 0.18 <= kinds.count("absent") / len(kinds) <= 0.38
    assert {"explicit", "relational", "use", "absent"} == set(kinds)


def test_wordings_kept_for_the_test_split_are_not_trained_on():
    def patterns(templates):
        return [re.compile(re.escape(text).replace(r"\{x\}", ".+")) for text in templates]

    assert not set(EXPLICIT) & set(EXPLICIT_UNSEEN)
    kept = {text for use in USES for text in use.unseen}
    assert not kept & {text for use in USES for text in use.phrases}

    def is_kept(text):
        return text in kept or any(p.fullmatch(text) for p in patterns(EXPLICIT_UNSEEN))

    assert not [q.text for shown in frames() for q in shown.questions if is_kept(q.text)]
    assert [q.text for seed in range(8) for q in frame(seed, "test").questions if is_kept(q.text)]


def test_depth_noise_is_small_inside_surfaces_and_holes_are_few():
    errors, depths, holes, total = [], [], 0, 0
    for shown in frames():
        true = shown.depth_true
        padded = np.pad(true, 2, mode="edge")
        window = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
        calm = (window.max((2, 3)) - window.min((2, 3)) < 0.06 * true) & (true > 0.4) & (true < 6)
        valid = calm & (shown.depth > 0)
        holes, total = holes + int((calm & ~valid).sum()), total + int(calm.sum())
        errors.append((shown.depth - true)[valid])
        depths.append(true[valid])
    error, z = np.concatenate(errors), np.concatenate(depths)
    assert abs(np.median(error)) < 0.003
    near, far = np.abs(error[z < 1.2]), np.abs(error[z > 2.5])
    assert 0.0005 < np.median(near) < 0.012
    assert np.median(far) > 1.5 * np.median(near), "noise must grow with distance"
    assert 0 < holes / total < 0.15


def test_a_point_seen_in_two_frames_of_a_sequence_is_the_same_point():
    first, *_, last = make_sequence(5, 3, split="train", width=WIDTH, height=HEIGHT)
    np.testing.assert_array_equal(first.depth_true, frame(5).depth_true)
    camera, v, u = first.camera, *np.mgrid[8 : HEIGHT - 8 : 4, 8 : WIDTH - 8 : 4].reshape(2, -1)
    z = first.depth_true[v, u]
    points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z, np.ones_like(z)])
    for pose in (first.camera_to_world, last.camera_to_world):
        np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-6)
        assert np.linalg.det(pose[:3, :3]) > 0
        assert pose[2, 1] < 0, "the image's y axis points down, the world's z up"
    x, y, far, _ = np.linalg.inv(last.camera_to_world) @ first.camera_to_world @ points
    uu, vv = np.round(camera.fx * x / far + camera.cx), np.round(camera.fy * y / far + camera.cy)
    inside = (far > 0.1) & (uu >= 0) & (uu < WIDTH) & (vv >= 0) & (vv < HEIGHT)
    assert inside.mean() > 0.3
    there = (vv[inside].astype(int), uu[inside].astype(int))
    assert not np.allclose(first.camera_to_world, last.camera_to_world)
    agrees = np.abs(last.depth_true[there] - far[inside]) < 0.03 * far[inside]
    assert agrees.mean() > 0.7  # the rest is hidden from one of the views, or lies on an edge
    same = last.instance[there] == first.instance[v[inside], u[inside]]
    assert same[agrees].mean() > 0.97
