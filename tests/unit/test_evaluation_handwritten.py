"""The hand-written list of questions: what it holds, that the pictures bear it out, how a broken one is refused."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from lisa_ros.evaluation.handwritten import KINDS, LIST, QuestionListError, questions
from scannet_tools.synthetic.questions import MIN_SHARE

GOOD = {"seed": 5, "text": "the cup", "kind": "explicit", "targets": [2], "named": ["red mug"]}


def test_the_list_is_long_varied_and_has_enough_about_absent_things():
    asked = [question for of_frame in questions().values() for question in of_frame]
    assert len(asked) >= 200
    assert len({" ".join(question.text.lower().split()) for question in asked}) == len(asked)
    kinds = Counter(question.kind for question in asked)
    assert set(kinds) == set(KINDS)
    assert 0.15 <= kinds["absent"] / len(asked) <= 0.25


def test_answers_name_the_targets():
    rows = [json.loads(line) for line in LIST.read_text(encoding="utf-8").splitlines()]
    asked = {(seed, question.text): question for seed, of_frame in questions().items() for question in of_frame}
    assert len(asked) == len(rows)
    for row in rows:
        question = asked[row["seed"], row["text"]]
        assert question.targets == tuple(row["targets"])
        assert all(f"the {name}" in question.answer for name in row["named"])
        assert bool(question.answer) == bool(row["targets"])


@pytest.mark.parametrize("seed", (90000, 90011, 90024))
def test_the_list_is_true_of_the_pictures(seed):
    pytest.importorskip("open3d")
    from scannet_tools.synthetic import make_frame

    frame = make_frame(seed, split="test")
    pixels = np.bincount(frame.instance.ravel())
    names = {item.id: f"{item.color} {item.kind}" for item in frame.objects}
    rows = [json.loads(line) for line in LIST.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["seed"] == seed]
    assert rows
    for row in rows:
        assert [names.get(target) for target in row["targets"]] == row["named"], row["text"]
        assert all(pixels[target] >= MIN_SHARE * frame.instance.size for target in row["targets"]), row["text"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('{"seed": 5', "delimiter"),
        ("[]", "keys"),
        (json.dumps({**GOOD, "hint": 1}), "keys"),
        (json.dumps({**GOOD, "seed": "5"}), "seed"),
        (json.dumps({**GOOD, "text": " "}), "text"),
        (json.dumps({**GOOD, "kind": "riddle"}), "riddle"),
        (json.dumps({**GOOD, "targets": [0]}), "targets"),
        (json.dumps({**GOOD, "targets": [2, 2], "named": ["red mug"] * 2}), "twice"),
        (json.dumps({**GOOD, "named": [1]}), "named"),
        (json.dumps({**GOOD, "targets": [2, 3]}), "2 targets but 1 named"),
        (json.dumps({**GOOD, "kind": "absent"}), "absent"),
        (json.dumps({**GOOD, "targets": [], "named": []}), "explicit"),
    ],
)
def test_a_broken_list_is_refused_by_file_and_line(tmp_path, broken, said):
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{broken}\n", encoding="utf-8")
    with pytest.raises(QuestionListError, match=rf"mine\.jsonl, line 2: .*{said}"):
        questions(path)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(QuestionListError, match="nowhere.jsonl"):
        questions(tmp_path / "nowhere.jsonl")
