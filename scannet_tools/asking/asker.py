"""The questions about one scan."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scannet_tools.annotation import Annotation
from scannet_tools.asking.relations import ObjectShape, object_shapes
from scannet_tools.asking.uses import USES
from scannet_tools.asking.words import ANYTHING, BIG_THINGS, CLASS_NOUNS, STRUCTURE, is_plural, may_be_the_same, plural
from scannet_tools.label_map import LabelMap
from scannet_tools.questions import KINDS, SceneQuestion

PER_KIND = 6
"""Questions of each kind, at most."""

MIN_VERTICES = 50
"""Objects with fewer are not asked for: a chip of something, or too small to be seen in a frame."""

MIN_ANNOTATED = 0.6
"""Something is called absent only where so large a share of the scan's vertices belongs to annotated objects."""

BIG_M = 0.5
"""All that is called absent is longer than this; a shorter object of unknown sort cannot be it."""

_NAMED = ("the {}", "{}", "find the {}", "show me the {}", "please segment the {}", "I am looking for the {}")
_ALL = ("all {}", "find all {}", "show me all the {}", "please segment all {}")
_MISSING = ("the {}", "find the {}", "show me the {}", "please segment the {}", "is there a {} here?")


@dataclass(frozen=True, eq=False)
class _Thing:
    """label: as the annotator typed it. names: all that it may be called."""

    id: int
    label: str
    noun: str
    names: frozenset[str]
    shape: ObjectShape


def ask_about_scan(
    scene_name: str, vertices: np.ndarray, annotation: Annotation, label_map: LabelMap, seed: int
) -> list[SceneQuestion]:
    """The questions that `scannet_tools.questions.make_questions` promises. vertices: float32 [n,3] of the mesh."""
    shapes = object_shapes(vertices, annotation)
    structure = [item.id for item in annotation.objects if label_map.nyu40(item.label) in STRUCTURE]
    things = [
        _thing(item.id, item.label, label_map, shapes[item.id])
        for item in annotation.objects
        if item.id in shapes and item.id not in structure
    ]
    annotated = np.count_nonzero(annotation.vertex_objects) / max(len(vertices), 1)
    rng = np.random.default_rng([seed, zlib.crc32(scene_name.encode())])  # scenes differ in their wordings
    asker = _Asker(things, float(annotated), rng)
    kept: dict[str, SceneQuestion] = {}
    for kind in KINDS:
        made = {text: targets for text, targets in getattr(asker, kind)() if text not in kept}
        texts = list(made)
        for place in rng.permutation(len(texts))[:PER_KIND]:
            kept[texts[place]] = SceneQuestion(scene_name, texts[place], tuple(sorted(made[texts[place]])), kind)
    return list(kept.values())


def _thing(number: int, label: str, label_map: LabelMap, shape: ObjectShape) -> _Thing:
    noun, category = CLASS_NOUNS.get(label_map.nyu40(label), ""), label_map.category(label)
    label = label.strip().lower()
    category = category.strip().lower() or label
    if not noun or category == "doorframe":  # of the class door, but nobody who asks for doors means it
        noun = category
    return _Thing(number, label, noun, frozenset((label, category, noun)), shape)


_Made = Iterator[tuple[str, tuple[int, ...]]]
"""Questions and the ids of their targets."""


class _Asker:
    """things: all annotated objects but walls, floors and ceilings. annotated: share of the scan's vertices."""

    def __init__(self, things: Sequence[_Thing], annotated: float, rng: np.random.Generator) -> None:
        self._things, self._annotated, self._rng = things, annotated, rng
        groups: dict[str, list[_Thing]] = defaultdict(list)
        for thing in things:
            groups[thing.noun].append(thing)
        self._clear = {noun: members for noun, members in groups.items() if self._is_clear(noun, members)}
        self._single = [members[0] for members in self._clear.values() if len(members) == 1]
        self._several = {
            noun: members
            for noun, members in self._clear.items()
            if len(members) > 1 and not any(is_plural(member.label) for member in members)
        }

    def explicit(self) -> _Made:
        """By name: the only one, or all."""
        for thing in self._single:
            yield self._say(_NAMED, thing.label), (thing.id,)
        for noun, members in self._clear.items():
            if len(members) > 1:
                yield self._say(_ALL, plural(noun)), _ids(members)

    def relational(self) -> _Made:
        """Of several things with one name: by what they are on, near, or by their size."""
        for noun, members in self._several.items():
            for anchor in self._single:
                yield from self._on(noun, members, anchor)
                yield from self._near(noun, members, anchor)
            for word, sizes, least_gain in (
                ("largest", [member.shape.volume for member in members], 1.5),
                ("tallest", [member.shape.height for member in members], 1.25),
            ):
                second, first = np.argsort(sizes)[-2:]
                if sizes[first] > least_gain * sizes[second]:
                    yield self._say(_NAMED, f"{word} {noun}"), (members[first].id,)
        for thing in self._single:
            for support in self._single:
                if thing is not support and thing.shape.stands_on(support.shape):
                    yield self._say(_NAMED, f"{thing.label} on the {support.label}"), (thing.id,)

    def use(self) -> _Made:
        """By what it is for; all that serves is the target."""
        for use in USES:
            serving = [thing for thing in self._things if thing.names & use.serves]
            doubtful = [thing for thing in self._things if thing.names & use.doubtful]
            if serving and not doubtful and all(map(_is_askable, serving)):
                yield str(self._rng.choice(use.phrases)), _ids(serving)

    def absent(self) -> _Made:
        """What the scan has not: large things that annotators name, and uses that only such things serve."""
        unknown = [thing for thing in self._things if thing.names & ANYTHING and thing.shape.longest_side >= BIG_M]
        if self._annotated < MIN_ANNOTATED or unknown:
            return
        for noun in BIG_THINGS:
            if not any(may_be_the_same(frozenset((noun,)), thing.names) for thing in self._things):
                yield self._say(_MISSING, noun), ()
        for use in USES:
            if use.big and not any(thing.names & (use.serves | use.doubtful) for thing in self._things):
                yield str(self._rng.choice(use.phrases)), ()

    def _is_clear(self, noun: str, members: Sequence[_Thing]) -> bool:
        """Whether the name means these things and, for certain, nothing else in the scan."""
        if noun in ANYTHING or not all(map(_is_askable, members)):
            return False
        names = frozenset().union(*(member.names for member in members))
        return not any(may_be_the_same(names, other.names) for other in self._things if other.noun != noun)

    def _on(self, noun: str, members: Sequence[_Thing], anchor: _Thing) -> _Made:
        on = [member.shape.stands_on(anchor.shape) for member in members]
        chosen = [member for member, stands in zip(members, on) if stands]
        if chosen and len(chosen) < len(members) and None not in on:
            name = noun if len(chosen) == 1 else plural(noun)
            yield self._say(_NAMED, f"{name} on the {anchor.label}"), _ids(chosen)

    def _near(self, noun: str, members: Sequence[_Thing], anchor: _Thing) -> _Made:
        gaps = np.array([member.shape.gap(anchor.shape) for member in members])
        centers = np.array([np.linalg.norm(member.shape.center - anchor.shape.center) for member in members])
        order = np.argsort(gaps)
        first, second = order[:2]
        nearest = gaps[first] <= 1.5 and gaps[first] + 0.3 < gaps[second] and gaps[first] < 0.6 * gaps[second]
        others = np.delete(centers, first)
        if nearest and centers[first] + 0.2 < others.min():  # near by both measures, so that nobody disagrees
            yield self._say(_NAMED, f"{noun} nearest to the {anchor.label}"), (members[first].id,)
        beside, apart = gaps <= 0.3, gaps >= 0.8
        if beside.any() and apart.any() and (beside | apart).all():
            chosen = [member for member, near in zip(members, beside) if near]
            name = noun if len(chosen) == 1 else plural(noun)
            if not any(member.shape.stands_on(anchor.shape) is not False for member in chosen):
                yield self._say(_NAMED, f"{name} next to the {anchor.label}"), _ids(chosen)

    def _say(self, wordings: Sequence[str], name: str) -> str:
        return str(self._rng.choice(wordings)).format(name)


def _is_askable(thing: _Thing) -> bool:
    return len(thing.shape.points) >= MIN_VERTICES


def _ids(things: Sequence[_Thing]) -> tuple[int, ...]:
    return tuple(thing.id for thing in things)
