"""Synthetic scenes: the promises that training and evaluation rely on."""
from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

pytest.importorskip("open3d")

from scannet_tools.synthetic import KIND_NAMES, make_frame, make_sequence  # noqa: E402
from scannet_tools.synthetic.export import ExportedFrame  # noqa: E402
from scannet_tools.synthetic.kinds import BY_NAME, KINDS, USES  # noqa: E402
from scannet_tools.synthetic.layout import EXEMPLARS, Layout, _make  # noqa: E402
from scannet_tools.synthetic.palette import COLORS  # noqa: E402
from scannet_tools.synthetic.questions import AIM, MIN_SHARE, Asker, Question, View, kinds_of, views  # noqa: E402
from scannet_tools.synthetic.wordings import UNSEEN, USUAL, Wording  # noqa: E402

WIDTH, HEIGHT = 160, 120
TRAIN, TEST = 16, 12  # frames looked at


@lru_cache(maxsize=None)
def frame(seed: int, split: str = "train"):
    return make_frame(seed, split=split, width=WIDTH, height=HEIGHT)


def frames():
    return [frame(seed) for seed in range(12)]


# --- what a frame shows, measured here ------------------------------------------------------------------------------------


@dataclass
class Measured:
    """One object in view, its place measured in the id map and the true depth: pixels, median depth, and metres from the camera."""

    id: int
    kind: str
    color: str
    size: tuple[float, float, float]
    supported_by: int
    pixels: int
    u: float
    z: float
    point: np.ndarray

    @property
    def volume(self) -> float:
        x, y, z = self.size
        return x * y * z


@dataclass
class Shown:
    """A picture with questions about it, and the words they may be asked in."""

    objects: dict[int, Measured]
    questions: list[Question]
    words: Wording

    def of_kind(self, kind: str) -> list[Measured]:
        return [item for item in self.objects.values() if item.kind == kind]


def measured(made, instance, depth) -> dict[int, Measured]:
    found = {}
    for item in made.objects:
        v, u = np.nonzero(instance == item.id)
        if len(u):
            z = depth[v, u]
            camera = made.camera
            point = np.array([np.mean((u - camera.cx) / camera.fx * z), np.mean((v - camera.cy) / camera.fy * z), np.mean(z)])
            found[item.id] = Measured(item.id, item.kind, item.color, item.size, item.supported_by, len(u), u.mean(), float(np.median(z)), point)
    return found


def exported(made) -> ExportedFrame:
    seen = views(made.objects, made.instance, made.depth_true)
    return ExportedFrame(made.color, made.instance.astype(np.uint8), made.category, seen, made.questions, made.scene)


@lru_cache(maxsize=None)
def shown() -> tuple[Shown, ...]:
    """Frames of both splits with their own questions, and frames of training asked again and again, in a mirror, too."""
    found = []
    for seed in range(TRAIN):
        made = frame(seed)
        objects = measured(made, made.instance, made.depth_true)
        mirrored = measured(made, made.instance[:, ::-1], made.depth_true[:, ::-1])
        found.append(Shown(objects, made.questions, USUAL))
        for draw in range(12):
            rng = np.random.default_rng([seed, draw])
            found.append(Shown(objects, exported(made).ask(rng), USUAL))
            found.append(Shown(mirrored, exported(made).mirrored().ask(rng), USUAL))
    for seed in range(TEST):
        made = frame(seed, "test")
        objects = measured(made, made.instance, made.depth_true)
        found.append(Shown(objects, made.questions, UNSEEN))
        for draw in range(8):
            asker = Asker(exported(made).objects, made.instance.shape, kinds_of(made.scene), np.random.default_rng([seed, draw]), True)
            found.append(Shown(objects, asker.ask(), UNSEEN))
    return tuple(found)


def asked(*kinds: str) -> list[tuple[Shown, Question]]:
    return [(picture, question) for picture in shown() for question in picture.questions if question.kind in kinds]


def says(text: str, options) -> bool:
    """Whether one of the options stands in the text as whole words."""
    return any(re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text) for option in options)


def names_of(kind: str) -> tuple[str, ...]:
    return (kind, *BY_NAME[kind].synonyms)


# --- the catalogue --------------------------------------------------------------------------------------------------------


def test_the_catalogue_is_wide_enough():
    assert len(KIND_NAMES) - 1 >= 60
    assert len(set(KIND_NAMES)) == len(KIND_NAMES) < 256, "categories are exported in 8 bits"
    names = [name for kind in BY_NAME.values() for name in (kind.name, *kind.synonyms)]
    assert len(names) == len(set(names)), "one word must not mean two kinds"
    for kind in KINDS:
        assert set(kind.colors) <= set(COLORS) and kind.colors and kind.materials
        assert set(kind.places) <= {"table", "floor", "wall", "hung", "on"} and kind.places
        assert set(kind.shows) <= set(BY_NAME) - {kind.name}
    assert all(set((*use.kinds, *use.blockers)) <= set(BY_NAME) for use in USES)


def test_splits_have_exemplars_of_their_own():
    ranges = [range(*EXEMPLARS[split]) for split in ("train", "val", "test")]
    assert all(len(one) >= 40 for one in ranges)
    numbers = [number for one in ranges for number in one]
    assert len(numbers) == len(set(numbers)), "no split may have an exemplar of another's"
    for split in EXEMPLARS:
        used = [item.exemplar for seed in range(6) for item in frame(seed, split).objects]
        assert set(used) <= set(range(*EXEMPLARS[split])) and len(set(used)) > 15


SCENES = {"table": "table", "wall": "room", "hung": "room", "on": "on"}


def built(kind, number: int, place: str):
    """An exemplar as the layout makes it for a place."""
    scene = SCENES.get(place) or ("floor" if kind.name in ("lamp", "plant", "fan") else "room")
    layout = Layout("room", np.array([5.0, 5.0, 2.7]), (number, number + 1))
    item = _make(np.random.default_rng(number), layout, kind.name, scene)
    assert (item.kind, item.exemplar) == (kind, number) and item.color in kind.colors and item.pattern in kind.materials
    return item.shape


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_every_kind_has_sane_shapes_in_every_split(kind):
    made = []
    for first, end in EXEMPLARS.values():
        for place in kind.places:
            for number in (first, end - 1):
                shape = built(kind, number, place)
                low, high = shape.bounds()
                size = high - low
                assert np.isfinite(size).all() and (size > 0.003).all() and (size < 2.6).all(), (number, size)
                if place in ("table", "on"):
                    assert size.max() < (1.2 if kind.name == "television" else 0.9), (number, size)
                assert -0.01 < low[2] < 0.03, "it stands on the ground of its own frame"
                assert (np.abs((low + high)[:2] / 2) < 0.5 * size[:2] + 0.02).all(), "the origin is beneath it"
                for part in shape.parts:
                    assert np.isfinite(part.soup.points).all() and part.soup.points.shape == part.soup.normals.shape
                    assert (np.linalg.norm(part.soup.normals, axis=-1) < 1.001).all() and np.isfinite(part.soup.normals).all()
                for surface in shape.surfaces:
                    assert low[2] < surface.z <= high[2] + 0.01
                    assert low[0] - 0.01 <= surface.x[0] < surface.x[1] <= high[0] + 0.01
                    assert low[1] - 0.01 <= surface.y[0] < surface.y[1] <= high[1] + 0.01
                made.append((place, sum(float(np.abs(part.soup.points).sum()) for part in shape.parts)))
                assert np.array_equal(built(kind, number, place).bounds(), (low, high)), "a number is one shape"
    for place in kind.places:
        different = {points for where, points in made if where == place}
        assert len(different) >= (2 if kind.name == "toilet" else 4), f"{len(different)} shapes of 6 numbers"


# --- frames ---------------------------------------------------------------------------------------------------------------


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
    for made in frames():
        counts = np.bincount(made.instance.ravel(), minlength=len(made.objects) + 1)
        assert len(counts) == len(made.objects) + 1 <= 256, "ids are exported in 8 bits"
        assert (made.category[made.instance == 0] == 0).all()
        for item in made.objects:
            assert counts[item.id] == item.pixels
            assert (made.category[made.instance == item.id] == KIND_NAMES.index(item.kind)).all()


def test_views_are_what_the_picture_shows():
    for made in frames():
        seen = views(made.objects, made.instance, made.depth_true)
        for view, item in zip(seen, measured(made, made.instance, made.depth_true).values(), strict=True):
            assert (view.id, view.kind, view.color, view.pixels, view.supported_by) == (item.id, item.kind, item.color, item.pixels, item.supported_by)
            np.testing.assert_allclose((view.u, view.z, view.volume), (item.u, item.z, item.volume), rtol=1e-5)


# --- questions ------------------------------------------------------------------------------------------------------------


def test_all_kinds_of_question_are_asked_and_absent_things_in_about_a_quarter():
    for words, kinds in ((USUAL, set(AIM)), (UNSEEN, {*AIM, "held-out use"})):
        counts = Counter(question.kind for picture in shown() if picture.words is words for question in picture.questions)
        assert set(counts) == kinds
        assert 0.18 <= counts["absent"] / counts.total() <= 0.38
        for kind, most in AIM.items():
            per_picture = [sum(q.kind == kind for q in p.questions) for p in shown() if p.words is words]
            assert max(per_picture) <= most


def test_targets_are_in_view_and_answers_name_them():
    for picture, question in asked(*AIM, "held-out use"):
        assert bool(question.targets) == (question.kind != "absent")
        if not question.targets:
            assert question.answer.startswith("There is no")
            continue
        targets = [picture.objects[number] for number in question.targets]
        assert len(set(question.targets)) == len(targets)
        assert all(item.pixels >= MIN_SHARE * WIDTH * HEIGHT for item in targets)
        names = [f"the {item.color} {item.kind}" for item in targets]
        if len(names) == 1:
            assert re.fullmatch(rf"It is {names[0]}([,:] .+)?\.", question.answer)
        else:
            assert question.answer == f"These are {', '.join(names[:-1])} and {names[-1]}."


def test_answers_give_a_reason():
    reasons = {use.why for use in USES}
    for picture, question in asked("relational", "use", "held-out use"):
        if len(question.targets) == 1:
            (item,) = (picture.objects[number] for number in question.targets)
            between = ", " if question.kind == "relational" else ": "
            reason = question.answer.removeprefix(f"It is the {item.color} {item.kind}{between}").removesuffix(".")
            assert reason in (question.text if question.kind == "relational" else reasons), question


def test_what_is_named_is_there_once():
    checked = Counter()
    for picture, question in asked("explicit"):
        (target,) = (picture.objects[number] for number in question.targets)
        named, colored = says(question.text, names_of(target.kind)), says(question.text, [target.color])
        assert named or (colored and says(question.text, picture.words.things)), question
        fits = [o for o in picture.objects.values() if (o.kind == target.kind or not named) and (o.color == target.color or not colored)]
        assert fits == [target], question
        checked[named, colored] += 1
    assert len(checked) == 3 and min(checked.values()) >= 5, checked


def relation(picture: Shown, question: Question) -> tuple[str, Measured | None]:
    """(which of the words' relations, the object it is to) of a relational question, read from its answer's reason."""
    reason = question.answer.rpartition(", ")[2].removesuffix(".")
    for name in ("near", "far", "leftmost", "rightmost"):
        if reason in getattr(picture.words, name):
            return name, None
    for name in ("left", "right", "front", "behind", "beside", "on"):
        for item in picture.objects.values():
            if reason in [f"{words} the {item.kind}" for words in getattr(picture.words, name)]:
                assert len(picture.of_kind(item.kind)) == 1, f"which {item.kind}? {question}"
                return name, item
    raise AssertionError(f"no relation of these wordings: {question}")


def test_relations_are_true():
    order = {
        "near": lambda o: o.z, "far": lambda o: -o.z, "leftmost": lambda o: o.u, "rightmost": lambda o: -o.u,
        "left": lambda o: o.u, "right": lambda o: -o.u, "front": lambda o: o.z, "behind": lambda o: -o.z,
    }  # fmt: skip
    checked = Counter()
    for picture, question in asked("relational"):
        (target,) = (picture.objects[number] for number in question.targets)
        name, anchor = relation(picture, question)
        twins = [item for item in picture.of_kind(target.kind) if item is not target]
        checked[name, picture.words is USUAL] += 1
        if anchor is None:
            assert twins and all(order[name](target) < order[name](twin) for twin in twins), question
        elif name == "on":
            assert target.supported_by == anchor.id and all(twin.supported_by != anchor.id for twin in twins), question
            if not says(question.text, names_of(target.kind)):
                assert [item for item in picture.objects.values() if item.supported_by == anchor.id] == [target], question
        elif name == "beside":
            apart = [np.linalg.norm(item.point - anchor.point) for item in (target, *twins)]
            assert twins and apart[0] < min(apart[1:]), question
        else:
            assert order[name](target) < order[name](anchor), question
            assert all(order[name](anchor) < order[name](twin) for twin in twins), question
        if name != "on":
            assert says(question.text, names_of(target.kind)), question
    for name in (*order, "beside", "on"):
        assert checked[name, True] >= 3, (name, checked)
    assert sum(number for (_, usual), number in checked.items() if not usual) >= 40


def test_what_stands_on_something_stands_there():
    checked = 0
    for made in [*frames(), *(frame(seed, "test") for seed in range(6))]:
        objects = {item.id: item for item in made.objects}
        camera, pose = made.camera, made.camera_to_world
        for item in made.objects:
            v, u = np.nonzero(made.instance == item.id)
            if not item.supported_by or len(u) < 20:
                continue
            below, z = objects[item.supported_by], made.depth_true[v, u]
            points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z, np.ones_like(z)])
            x, y, height, _ = np.linalg.inv(below.pose) @ pose @ points
            assert np.percentile(height, 2) > 0.2 * below.size[2] - 0.01, (item.kind, below.kind)
            assert height.max() < below.size[2] + item.size[2] + 0.02
            assert np.median(np.abs(x)) < below.size[0] / 2 + 0.05 and np.median(np.abs(y)) < below.size[1] / 2 + 0.05
            checked += 1
    assert checked > 60


def test_comparisons_are_true():
    measure = {
        "tallest": lambda o: o.size[2], "bigger": lambda o: o.volume, "biggest": lambda o: o.volume,
        "smaller": lambda o: -o.volume, "smallest": lambda o: -o.volume,
        "near": lambda o: -o.z, "leftmost": lambda o: -o.u, "rightmost": lambda o: o.u,
    }  # fmt: skip
    checked = Counter()
    for picture, question in asked("comparison"):
        (target,) = (picture.objects[number] for number in question.targets)
        everything = list(picture.objects.values())
        # what half of all things stand on is the ground of the scene, not one of them
        carried = Counter(item.supported_by for item in everything)
        above = [item for item in everything if 2 * carried[item.id] < len(everything)]
        groups = {True: (picture.of_kind(target.kind), names_of(target.kind)), False: (above, picture.words.things)}
        found = [
            (name, named)
            for name in measure
            for word in getattr(picture.words, name)
            for named, (_, nouns) in groups.items()
            if says(question.text, [f"{noun} {word}" if name in ("near", "leftmost", "rightmost") else f"{word} {noun}" for noun in nouns])
        ]
        assert found, question
        for name, named in found:
            group, _ = groups[named]
            assert target in group and len(group) >= (2 if named else 3), question
            assert all(measure[name](target) > measure[name](other) for other in group if other is not target), (name, question)
            checked[name, named] += 1
    assert {name for name, _ in checked} == set(measure), checked
    assert min(sum(checked[name, named] for name in measure) for named in (True, False)) >= 10, checked


def test_several_targets_are_two_single_things_or_all_of_a_kind():
    checked = Counter()
    for picture, question in asked("several"):
        targets = [picture.objects[number] for number in question.targets]
        kinds = {item.kind for item in targets}
        checked[len(kinds)] += 1
        assert len(targets) >= 2 and len(targets) == sum(len(picture.of_kind(kind)) for kind in kinds), question
        if len(kinds) > 1:
            assert len(kinds) == len(targets) == 2
            assert all(says(question.text, names_of(kind)) for kind in kinds), question
    assert min(checked[1], checked[2]) >= 5, checked


def uses_of(text: str) -> list:
    """Uses that a text may ask for."""
    whole = [use for use in USES if text in (*use.said, *use.unseen)]
    return whole or [use for use in USES if says(text, use.to)]


def test_all_that_serves_is_meant_and_nothing_doubtful_is_in_view():
    for picture, question in asked("use", "held-out use"):
        seen = {item.kind for item in picture.objects.values()}
        fitting = [
            use
            for use in uses_of(question.text)
            if not seen & set(use.blockers) and {o.id for o in picture.objects.values() if o.kind in use.kinds} == set(question.targets)
        ]
        assert fitting, question
        assert (question.kind == "held-out use") == all(use.held_out for use in fitting), question


def test_absent_targets_have_no_pixel():
    uses = {use.absent: use for use in USES}
    checked = Counter()
    for picture, question in asked("absent"):
        seen = list(picture.objects.values())
        if question.answer in uses:
            use = uses[question.answer]
            assert not {item.kind for item in seen} & {*use.kinds, *use.blockers}, question
            checked["use"] += 1
            continue
        thing, only = re.fullmatch(r"There is no (.+?) here(?:, only a (.+) one)?\.", question.answer).groups()
        color = next((color for color in COLORS if thing.startswith(f"{color} ")), None)
        noun = thing.removeprefix(f"{color} ")
        if noun in picture.words.things:
            assert color and all(item.color != color for item in seen), question
            checked["color of any"] += 1
            continue
        assert not [item for item in seen if item.kind == noun and color in (None, item.color)], question
        assert color is None or says(question.text, [color]), question
        of_kind = [item.color for item in seen if item.kind == noun]
        if only or of_kind:
            assert of_kind == [only] if only else len(of_kind) > 1, question
        else:
            assert not [item.kind for item in seen if noun in BY_NAME[item.kind].shows], f"there is one in view: {question}"
        checked["color" if of_kind else "kind"] += 1
    assert len(checked) == 4 and min(checked.values()) >= 5, checked


def matches(words: Wording, text: str) -> bool:
    """Whether a text is a request of these wordings, whatever is asked for."""
    parts = ["|".join(map(re.escape, part)) for part in (words.openings, words.verbs, words.closings)]
    whole = ["(?:{})(?:{}) .+?(?:{})\\??".format(*parts)]
    whole += [re.escape(sentence).replace(r"\{the\}", ".+").replace(r"\{x\}", ".+") for sentence in words.sentences]
    return any(re.fullmatch(pattern, text) for pattern in whole)


def test_wordings_and_uses_kept_for_the_test_split_are_not_trained_on():
    kept = {text for use in USES for text in use.unseen}
    held_out = {text for use in USES if use.held_out for text in (*use.to, *use.said)}
    for picture in shown():
        for question in picture.questions:
            by_use = question.kind in ("use", "held-out use") or question.answer in {use.absent for use in USES}
            if picture.words is UNSEEN:
                assert question.text in kept if by_use else matches(UNSEEN, question.text), question
            else:
                assert question.kind != "held-out use"
                assert question.text not in kept and not says(question.text, held_out), question
                assert by_use or not matches(UNSEEN, question.text), question


# --- frames as they are exported ------------------------------------------------------------------------------------------


def test_a_frame_can_be_asked_anew_in_wordings_of_training():
    made = exported(frame(1, "test"))
    first, again, other = (made.ask(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert {question.text for question in first} != {question.text for question in made.questions}
    kept = {text for use in USES for text in use.unseen}
    for question in (question for seed in range(20) for question in made.ask(np.random.default_rng(seed))):
        assert question.text not in kept and question.kind in AIM
    assert len({q.text for seed in range(20) for q in made.ask(np.random.default_rng(seed))}) > 60


def test_a_mirror_swaps_left_and_right():
    for made in map(exported, frames()):
        mirror = made.mirrored()
        for name in ("color", "instance", "category"):
            np.testing.assert_array_equal(getattr(mirror, name), getattr(made, name)[:, ::-1])
        for view, before in zip(mirror.objects, made.objects, strict=True):
            assert view.u == pytest.approx(np.nonzero(mirror.instance == view.id)[1].mean(), abs=1e-6)
            assert view == View(**{**vars(before), "u": view.u})
        assert mirror.questions == [] and mirror.scene == made.scene
        twice = mirror.mirrored()
        np.testing.assert_array_equal(twice.color, made.color)
        assert [view.u for view in twice.objects] == pytest.approx([view.u for view in made.objects])


def test_a_part_of_a_frame_shows_what_lies_in_it():
    for number, made in enumerate(map(exported, frames())):
        part = made.cropped(0.7, number % 3 / 2, number % 2)
        height, width = part.instance.shape
        assert abs(width / WIDTH - 0.7) < 0.03 and width * HEIGHT == height * WIDTH
        v, u = int(number % 2 * (HEIGHT - height)), int(number % 3 / 2 * (WIDTH - width))
        for name in ("color", "instance", "category"):
            np.testing.assert_array_equal(getattr(part, name), getattr(made, name)[v : v + height, u : u + width])
        assert {view.id for view in part.objects} == set(np.unique(part.instance)) - {0}
        for view in part.objects:
            rows, columns = np.nonzero(part.instance == view.id)
            assert (view.pixels, view.v, view.u) == (len(rows), pytest.approx(rows.mean()), pytest.approx(columns.mean()))
        for question in part.ask(np.random.default_rng(number)):
            assert set(question.targets) <= {view.id for view in part.objects}


# --- depth and sequences --------------------------------------------------------------------------------------------------


def test_depth_noise_is_small_inside_surfaces_and_holes_are_few():
    errors, depths, holes, total = [], [], 0, 0
    for made in frames():
        true = made.depth_true
        padded = np.pad(true, 2, mode="edge")
        window = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
        calm = (window.max((2, 3)) - window.min((2, 3)) < 0.06 * true) & (true > 0.4) & (true < 6)
        valid = calm & (made.depth > 0)
        holes, total = holes + int((calm & ~valid).sum()), total + int(calm.sum())
        errors.append((made.depth - true)[valid])
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
