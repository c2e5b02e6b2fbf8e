"""The language of the training split: wide, true of the catalogue, and apart from what only the test split says."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import fields
from itertools import product

import pytest

pytest.importorskip("open3d")

from scannet_tools.synthetic.kinds import BY_NAME, KINDS, USES  # noqa: E402
from scannet_tools.synthetic.questions import plural  # noqa: E402
from scannet_tools.synthetic.wordings import ASKING, UNSEEN, USUAL  # noqa: E402

STOP = frozenset(
    "a an the this that these those it its i me my you your he him his she her we us our they them their one"
    " some any anybody somebody something what which who whom whose where when how why is am are was were be"
    " been being do does did has have had will would could should shall must may might can want wants like of"
    " to in into on onto at by for from with up out off over under and or but so as than then there here not"
    " no all please let give".split()
)
TRAINED = [use for use in USES if not use.held_out]
NAMES_IN_SENTENCES: frozenset[str] = frozenset()
"""Training sentences that cannot do without a kind's name."""


def normal(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower().replace("'", "")))


def content(text: str) -> frozenset[str]:
    return frozenset(word for word in normal(text).split() if word not in STOP)


def trained(use) -> tuple[str, ...]:
    return (*use.said, *use.to)


def test_every_use_is_said_in_many_ways():
    for use in TRAINED:
        assert len({*map(normal, use.said)}) >= 80, use.to
        assert len({*map(normal, use.to)}) >= 8, use.to
    for use in USES:
        assert len({*map(normal, use.unseen)}) >= 2, use.to
        assert use.why and all(text.isascii() for text in (*trained(use), *use.unseen, use.why)), use.to
    assert len({use.absent for use in USES}) == len(USES)


def test_no_training_text_is_one_of_the_test_split():
    kept = {normal(text): use for use in USES for text in (*use.unseen, *(use.to if use.held_out else ()))}
    assert not [text for use in TRAINED for text in trained(use) if normal(text) in kept]


def test_no_training_text_is_an_unseen_one_in_another_order():
    """Nor one with words added. Against the other uses: no text with just the same words."""
    for use in TRAINED:
        assert not [(text, other) for text in use.unseen for other in trained(use) if content(text) <= content(other)]
    every = {content(text): text for use in TRAINED for text in trained(use)}
    assert not [(text, every[content(text)]) for use in USES for text in use.unseen if content(text) in every]


def test_held_out_uses_are_not_given_away():
    for kinds, words in {
        "mug": "coffee espresso cocoa", "banana": "peel peeled monkey long", "apple": "doctor cider newton",
        "pineapple": "tropical crown colada cocktail",
        "table": "eat write", "traffic cone": "wet slip", "can": "fizzy tab aluminium cola recycled",
        "toy car": "wheel wheels vehicle engine",
        "armchair": "sink grandfather alone", "sofa": "three family",
    }.items():  # fmt: skip
        texts = [text for use in TRAINED if kinds in use.kinds and len(use.kinds) <= 3 for text in trained(use)]
        assert not [text for text in texts if content(text) & set(words.split())], kinds


def test_no_training_text_names_a_kind():
    names = {normal(form) for kind in KINDS for name in (kind.name, *kind.synonyms) for form in (name, plural(name))}
    names -= {"can"}  # the verb
    pattern = re.compile(r"\b(" + "|".join(sorted(names, key=len, reverse=True)) + r")\b")
    found = {text for use in TRAINED for text in trained(use) if pattern.search(normal(text))}
    assert found == NAMES_IN_SENTENCES


def test_kinds_and_blockers_are_in_the_catalogue():
    for use in USES:
        assert use.kinds and {*use.kinds, *use.blockers} <= set(BY_NAME), use.to
        assert not set(use.kinds) & set(use.blockers), use.to


def test_no_training_text_has_two_answers_in_one_scene():
    """What serves where a text is said for another use must block this one."""
    meant = defaultdict(list)
    for use in TRAINED:
        for text in {*map(normal, trained(use))}:
            meant[text].append(use)
    for text, uses in meant.items():
        kinds = {kind for use in uses for kind in use.kinds}
        assert not [use.to for use in uses if kinds - {*use.kinds, *use.blockers}], text


def test_every_kind_has_its_uses():
    assert {name: n for name in BY_NAME if (n := sum(name in use.kinds for use in TRAINED)) < 3} == {}


def test_usual_and_unseen_wordings_share_nothing():
    common = {"openings": {""}, "closings": {""}}  # the bare request
    for field in fields(USUAL):
        usual, unseen = ({normal(text) for text in getattr(words, field.name)} for words in (USUAL, UNSEEN))
        assert usual & unseen == common.get(field.name, set()), field.name
    spoken = [normal(text) for field in fields(USUAL) for text in getattr(USUAL, field.name)]
    kept = "item|locate|outline|highlight|retrieve|spot|beside|resting on|lens|highest|massive|tiniest|tinier"
    assert not [text for text in spoken if re.search(rf"\b({kept})\b", text)]


def test_there_are_many_usual_wordings():
    counts = {"openings": 20, "verbs": 30, "closings": 12, "sentences": 30, "things": 4}
    for name, count in counts.items():
        assert len(set(getattr(USUAL, name))) >= count, name
    for name in ("left", "right", "front", "behind", "beside", "on", "leftmost", "rightmost", "near", "far"):
        assert 6 <= len(set(getattr(USUAL, name))) <= 15, name


def test_far_more_questions_can_be_composed_than_are_drawn():
    requests = {text for text in USUAL.sentences}
    for opening, verb, closing in product(USUAL.openings, USUAL.verbs, USUAL.closings):
        requests.add(f"{opening}{verb} {{the}}{closing}" + ("?" if opening.startswith(ASKING) else ""))
    sentences = {text for use in TRAINED for text in use.said}
    completions = {text for use in TRAINED for text in use.to}
    assert len(sentences) > 12_000
    assert len(completions) > 500
    assert len(sentences) + len(requests) * len(completions) > 30_000
