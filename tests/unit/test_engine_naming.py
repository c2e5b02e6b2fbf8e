"""Mask mode of a model that names: what is said, which states masks come from, how likely the target is; guesses change nothing."""

from types import SimpleNamespace

import pytest
import torch

from lisa_ros.engine.clock import StageClock
from lisa_ros.engine.naming import NAMES_ROOM, Grammar, name
from lisa_ros.engine.reading import States

WORDS = ["a", ".", "<end>", "[SEG]", "in", "and", "the", "mug", "book", "tea", "pot", "red", "blue"]
SEG = WORDS.index("[SEG]")
CPU = torch.device("cpu")


class Words:
    """A tokenizer of whole words."""

    seg_id, eos_id = SEG, WORDS.index("<end>")

    def encode_word(self, word):
        return [WORDS.index(word)]

    def encode(self, text, add_bos=True):
        return [WORDS.index(letter) for letter in text]


class ScriptedReader:
    """A language model that answers by heart. A state holds, beside its scores, the row and how many tokens of the answer it has read.

    Args:
        scripts: of each row, what comes next: a word, or {word: probability}.
    """

    device = CPU

    def __init__(self, *scripts):
        self.scripts, self.passes = scripts, 0
        self.read = [[] for _ in scripts]

    def question(self, prefix, rows, room):
        assert room >= NAMES_ROOM
        self.lengths = [len(row) for row in rows]
        hidden = torch.zeros(len(rows), max(self.lengths), len(WORDS) + 2)
        for row, length in enumerate(self.lengths):
            hidden[row, length - 1] = self.state(row, 0)
        return States(torch.zeros(1, len(WORDS) + 2), hidden), None

    def tokens(self, tokens, positions, cache):
        self.passes += 1
        out = torch.zeros(*tokens.shape, len(WORDS) + 2)
        for row, (some, places) in enumerate(zip(tokens.tolist(), positions.tolist())):
            for token, place in zip(some, places):
                index = place - PREFIX - self.lengths[row]
                self.read[row] = [*self.read[row][:index], token]
                out[row, place - places[0]] = self.state(row, index + 1)
        return out

    def state(self, row, index):
        """After ``index`` tokens. Something else when they are not those of the script."""
        script = self.scripts[row]
        told = [max(step, key=step.get) if isinstance(step, dict) else step for step in script]
        right = [WORDS[token] for token in self.read[row][:index]] == [word for word in told[:index]]
        step = script[index] if right and index < len(script) else "pot"
        shares = torch.full((len(WORDS),), 1e-9)
        for word, share in (step if isinstance(step, dict) else {step: 1.0}).items():
            shares[WORDS.index(word)] = share
        return torch.cat([shares.log(), torch.tensor([float(row), float(index)])])

    def scores(self, states):
        return states[:, : len(WORDS)]


PREFIX = 5


def ask(*scripts, stop=lambda: None):
    reader = ScriptedReader(*scripts)
    prompts = [SimpleNamespace(own=[0] * (2 + row)) for row in range(len(scripts))]
    prefix = SimpleNamespace(cache=SimpleNamespace(length=PREFIX))
    readings = name(reader, Grammar(Words()), prefix, prompts, StageClock(CPU), stop)
    return readings, reader


def said(readings, row=0):
    return " ".join(WORDS[token] for token in readings.output_ids[row])


def test_a_name_is_said_and_its_last_state_makes_the_mask():
    readings, reader = ask(["mug", "in", "red", {"[SEG]": 0.8, ".": 0.2}, "."])
    assert said(readings) == "mug in red [SEG]" and readings.counts == [1]
    assert readings.hidden[:, -2:].tolist() == [[0.0, 3.0]]  # the state that has read three tokens
    assert readings.probability.tolist() == pytest.approx([0.8])
    assert reader.passes == 2  # "in" and [SEG] are guessed


def test_a_guess_that_is_wrong_changes_nothing():
    readings, reader = ask(["tea", "pot", "in", "blue", "[SEG]", "."])
    assert said(readings) == "tea pot in blue [SEG]" and readings.hidden[0, -1] == 4.0 and reader.passes == 3


def test_every_thing_has_its_own_mask():
    readings, _ = ask(["mug", "in", "red", "[SEG]", "and", "the", "book", "in", "blue", "[SEG]", "."])
    assert said(readings) == "mug in red [SEG] and the book in blue [SEG]"
    assert readings.hidden[:, -1].tolist() == [3.0, 9.0] and readings.counts == [2]


def test_what_is_nearly_denied_is_named_all_the_same_and_improbable():
    readings, _ = ask([{"mug": 0.9, ".": 0.1}, {".": 0.75, "in": 0.25}, "red", {"[SEG]": 0.6, ".": 0.4}, "."])
    assert said(readings) != "" and readings.probability.tolist() == pytest.approx([0.0], abs=1e-6)  # the script goes on behind "."
    readings, _ = ask(["mug", {"in": 0.6, ".": 0.4}, "red", {"[SEG]": 0.5, "<end>": 0.3, "and": 0.2}, "."])
    assert said(readings) == "mug in red [SEG]" and readings.probability.tolist() == pytest.approx([0.6 * 0.5])


def test_a_name_without_an_end_ends():
    readings, _ = ask(["pot"] * 100)
    assert said(readings) == " ".join(["pot"] * NAMES_ROOM) + " [SEG]" and readings.counts == [1]
    assert readings.probability.item() < 1e-6


def test_queries_of_a_batch_are_answered_as_each_alone():
    scripts = [
        ["mug", "in", "red", {"[SEG]": 0.7, ".": 0.3}, "."],
        ["tea", "pot", "in", "blue", "[SEG]", "and", "the", "mug", "in", "red", "[SEG]", "."],
        ["[SEG]", "."],
    ]
    together, _ = ask(*scripts)
    for row, script in enumerate(scripts):
        alone, _ = ask(script)
        assert said(together, row) == said(alone) and together.counts[row] == alone.counts[0]
        assert together.probability[row].item() == pytest.approx(alone.probability.item())
    rows = [row for row, count in enumerate(together.counts) for _ in range(count)]
    assert together.hidden[:, -2].tolist() == rows


def test_a_stop_is_heard_between_passes():
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(["pot"] * 100, stop=stop)
