"""The flags that load a model: each reaches Engine.load under its name, and only when it was given."""
from __future__ import annotations

import argparse

import pytest

from lisa_ros.cli.errors import CommandError
from lisa_ros.cli.model import add_model_flags, load_engine
from lisa_ros.engine import CheckpointError, Engine
from lisa_ros.model.prompt import CONVERSATIONS


def parsed(*argv):
    parser = argparse.ArgumentParser()
    add_model_flags(parser)
    return parser.parse_args(argv)


@pytest.fixture
def loaded(monkeypatch):
    """(model, options) of every call of Engine.load."""
    calls = []
    monkeypatch.setattr(Engine, "load", lambda model, **options: calls.append((model, options)))
    return calls


def test_what_is_not_given_is_left_to_the_engine(loaded):
    load_engine(parsed())
    assert loaded == [("lisa-mini", {"device": "auto", "dtype": "auto"})]


def test_every_flag_reaches_the_engine(loaded):
    flags = ["--model", "here", "--device", "cuda:1", "--dtype", "float16", "--vision-tower", "clip", "--compile"]
    load_engine(parsed(*flags, "--conversation", "llava_llama_2", "--quantization", "4bit", "--clip-fit", "pad"))
    options = {"device": "cuda:1", "dtype": "float16", "vision_tower": "clip", "conversation": "llava_llama_2"}
    assert loaded == [("here", {**options, "quantization": "4bit", "clip_fit": "pad", "compile": True})]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_conversation_can_be_chosen(name):
    assert parsed("--conversation", name).conversation == name


@pytest.mark.parametrize("flags", [["--quantization", "2bit"], ["--clip-fit", "stretch"], ["--conversation", "vicuna"]])
def test_other_words_are_refused(flags, capsys):
    with pytest.raises(SystemExit):
        parsed(*flags)
    assert f"argument {flags[0]}: invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("error", [CheckpointError("x: no such directory"), ValueError('device "tpu" is not known')])
def test_a_model_that_cannot_be_had_is_a_sentence(monkeypatch, error):
    def fail(model, **options):
        raise error

    monkeypatch.setattr(Engine, "load", fail)
    with pytest.raises(CommandError, match=f"^--model lisa-mini: {error}$"):
        load_engine(parsed())
