"""A tiny LISA and the tokenizer that was written for it: fixtures for what is learned from text."""

import pytest
import torch
from tiny_model import MODEL

from lisa_ros.model.lisa import Lisa
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training.mini.recipe import Recipe
from lisa_ros.training.mini.vocabulary import write_tokenizer

TINY = Recipe(name="tiny", seed=0, vocabulary=700, stages=(), model=MODEL)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory, TINY.vocabulary)
    return LisaTokenizer.from_directory(directory)


@pytest.fixture(scope="module")
def lisa(tokenizer):
    torch.manual_seed(0)
    return Lisa(TINY.config(tokenizer.vocab_size)).eval()
