"""Weights cut over two processes by FSDP 2 (config/accelerate/fsdp.yaml), of which one draws a batch without masks."""

from pathlib import Path

import pytest
import torch
from sharded_step import model_and_examples
from two_processes import run_in_two

from lisa_ros.training.adapter import load_adapter
from lisa_ros.training.collation import collate
from lisa_ros.training.losses import Objective
from lisa_ros.training.trainable import trained_parameters


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """What two processes leave: gradients.pt, adapter/."""
    out = tmp_path_factory.mktemp("sharded")
    done = run_in_two(str(Path(__file__).with_name("sharded_step.py")), str(out))
    assert done.returncode == 0, done.stderr
    return out


def test_gradients_are_the_mean_of_both(step):
    lisa, tokenizer, examples = model_and_examples()
    for example in examples:
        (Objective(lisa)(collate([example], lisa.config, tokenizer))["loss"] / 2).backward()
    alone = {name: p.grad for name, p in trained_parameters(lisa).items() if p.grad is not None}
    sharded = torch.load(step / "gradients.pt", weights_only=True)
    assert sharded.keys() == alone.keys() and any("text_hidden_fcs" in name for name in alone)
    for name, gradient in alone.items():
        assert (sharded[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6, name


def test_what_was_learned_is_saved_by_one_process(step, tmp_path):
    loaded, _ = load_adapter(step / "adapter", tmp_path)
    lisa, _, _ = model_and_examples()
    before = trained_parameters(lisa)
    after = trained_parameters(loaded.lisa)
    assert before.keys() == after.keys() and all(torch.equal(value, after[name]) for name, value in before.items())
