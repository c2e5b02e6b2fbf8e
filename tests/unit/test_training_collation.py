"""Collation: what a conversation sees in the shared sequence is what it would see alone."""

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.datasets.example import DatasetError, Example
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.losses import IGNORE
from lisa_ros.training.collation import collate
from lisa_ros.training.losses import Objective
from lisa_ros.training.trainable import Trainable, make_trainable, trained_parameters

ASKED = (("Can you segment the cup in this image?", "It is [SEG]."),)
TWO = (("The cup and the spoon?", "The cup is [SEG] and the spoon is [SEG]."),)
TALK = (("What is this?", "A table."), ("And what stands on it?", "A cup and a spoon."))


@pytest.fixture(scope="module")
def model():
    lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    make_trainable(lisa, Trainable(lora=None))
    return lisa, tokenizer


def example(*conversations, seed=0, size=(60, 80)):
    rng = np.random.default_rng(seed)
    count = sum(answer.count("[SEG]") for turns in conversations for _, answer in turns)
    image = rng.integers(0, 255, (*size, 3), np.uint8)
    return Example(f"picture {seed}", image, None, conversations, rng.random((count, *size)) > 0.5)


def losses(model, *examples, **settings):
    lisa, tokenizer = model
    lisa.zero_grad()
    found = Objective(lisa)(collate(examples, lisa.config, tokenizer, **settings))
    found["loss"].backward()
    return {k: v.item() for k, v in found.items()}, {n: p.grad.clone() for n, p in trained_parameters(lisa).items() if p.grad is not None}


def test_conversations_of_a_picture_do_not_see_each_other(model):
    """Four conversations in one sequence, and the same four in rows of their own."""
    lisa, tokenizer = model
    together = collate([example(ASKED, TALK, TWO)], lisa.config, tokenizer)
    whole = example(ASKED, TALK, TWO)
    pieces, used = [], 0
    for turns in whole.conversations:
        count = sum(answer.count("[SEG]") for _, answer in turns)
        pieces.append(Example("part", whole.image, None, (turns,), whole.masks[used : used + count]))
        used += count
    apart = collate(pieces, lisa.config, tokenizer)
    assert len(together) == 1 and len(apart) == 3
    a, b = Objective(lisa)(together), Objective(lisa)(apart)
    for name in a:
        assert a[name].item() == pytest.approx(b[name].item(), rel=1e-5), name


def test_only_answers_are_learned_in_a_talk_of_several_turns(model):
    lisa, tokenizer = model
    batch = collate([example(TALK)], lisa.config, tokenizer)
    learned = [t for t in batch.labels[0].tolist() if t != IGNORE]
    said = [tokenizer.encode(f"{answer}</s>", add_bos=False) for _, answer in TALK]
    assert learned == said[0] + said[1]
    assert learned.count(tokenizer.eos_id) == 2
    assert IGNORE in batch.labels[0, batch.labels[0].tolist().index(tokenizer.eos_id) :].tolist()


def test_a_batch_without_masks(model):
    values, gradients = losses(model, example(TALK))
    assert values["bce"] == values["dice"] == 0.0 and values["ce"] > 0
    assert not any("text_hidden_fcs" in name or "mask_decoder" in name for name in gradients)


def test_pictures_of_different_sizes_share_a_batch(model):
    one, _ = losses(model, example(ASKED))
    both, _ = losses(model, example(ASKED), example(ASKED, seed=1, size=(90, 50)))
    other, _ = losses(model, example(ASKED, seed=1, size=(90, 50)))
    assert both["bce"] == pytest.approx((one["bce"] + other["bce"]) / 2, rel=1e-5)


def test_what_is_too_long_is_cut_with_its_masks(model):
    lisa, tokenizer = model
    patches = lisa.config.vision.patches
    long = ((("Can you segment the cup in this image?", "It is a cup " * 30 + "[SEG]."),), ASKED)
    batch = collate([example(*long)], lisa.config, tokenizer, max_length=patches + 80)
    assert [len(masks) for masks in batch.masks] == [1] and len(batch.seg_places) == 1
    np.testing.assert_array_equal(batch.masks[0][0].numpy(), example(*long).masks[1])
    row, place = batch.seg_places[0].tolist()
    assert batch.after[row, place + 1] == tokenizer.seg_id
    with pytest.raises(DatasetError, match="picture 0: a question does not fit into .* data.max_length"):
        collate([example(*long)], lisa.config, tokenizer, max_length=patches + 20)


def test_masks_and_promises_must_agree():
    with pytest.raises(DatasetError, match="hold 1 .* the masks are"):
        Example("x", np.zeros((4, 5, 3), np.uint8), None, (ASKED,), np.zeros((2, 4, 5), bool))


def test_recomputing_changes_nothing(model):
    lisa, _ = model
    plain, gradients = losses(model, example(ASKED, TWO))
    lisa.model.recompute = True
    try:
        again, recomputed = losses(model, example(ASKED, TWO))
    finally:
        lisa.model.recompute = False
    assert plain == again
    assert gradients.keys() == recomputed.keys()
    assert all(torch.equal(gradients[name], recomputed[name]) for name in gradients)
