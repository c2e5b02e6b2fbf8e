"""Collation: what a conversation sees in the shared sequence is what it would see alone."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import CHECKPOINT, VISION_TOWER
from torch import nn

from lisa_ros.datasets.example import DatasetError, Example
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.losses import IGNORE
from lisa_ros.training.collation import collate
from lisa_ros.training.losses import Objective
from lisa_ros.training.trainable import SAM_TARGETS, Lora, Trainable, make_trainable, trained_parameters

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
    gradients = {name: p.grad.clone() for name, p in trained_parameters(lisa).items() if p.grad is not None}
    return {name: value.item() for name, value in found.items()}, gradients


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


def test_a_batch_without_masks_moves_no_head_but_has_the_gradients_of_any_other(model):
    """Else processes that drew batches of either kind could not reduce their gradients together."""
    values, gradients = losses(model, example(TALK))
    assert values["bce"] == values["dice"] == 0.0 and values["loss"] == values["ce"] > 0
    of_masks = {name: grad for name, grad in gradients.items() if "text_hidden_fcs" in name or "mask_decoder" in name}
    assert of_masks and not any(grad.any() for grad in of_masks.values())
    assert gradients.keys() == losses(model, example(ASKED))[1].keys()


def test_a_batch_without_masks_and_a_trained_encoder():
    lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    make_trainable(lisa, Trainable(lora=None, sam_lora=Lora(targets=SAM_TARGETS)))
    with_masks, without = (losses((lisa, tokenizer), example(turns))[1] for turns in (ASKED, TALK))
    assert with_masks.keys() == without.keys()
    adapters = [name for name in without if ".lora_" in name]
    assert adapters and not any(without[name].any() for name in adapters)
    assert any(with_masks[name].any() for name in adapters)


def test_pictures_of_different_sizes_share_a_batch(model):
    one, _ = losses(model, example(ASKED))
    both, _ = losses(model, example(ASKED), example(ASKED, seed=1, size=(90, 50)))
    other, _ = losses(model, example(ASKED, seed=1, size=(90, 50)))
    assert both["bce"] == pytest.approx((one["bce"] + other["bce"]) / 2, rel=1e-5)


@torch.no_grad()
def test_without_bars_pictures_of_any_shape_share_a_batch(model):
    """Patches of the bars stay in the sequence, and nothing sees them: the same as leaving them out."""
    lisa, tokenizer = model
    config = dataclasses.replace(lisa.config, clip_fit="unpad")
    wide, tall = example(ASKED, size=(30, 90)), example(ASKED, TALK, seed=1, size=(90, 40))
    batch = collate([wide, tall], config, tokenizer)
    objective = Objective(lisa)
    bias = torch.zeros(batch.mask.shape).masked_fill_(~batch.mask, float("-inf"))
    patches = objective._patches(batch)
    hidden = lisa.read(lisa.embed(batch.before, patches, batch.after), None, batch.positions, bias)
    unpadded = Lisa.without_bars(SimpleNamespace(config=config), patches[:1], 30, 90)
    assert unpadded.shape[1] < patches.shape[1] / 2
    alone = lisa.read(lisa.embed(batch.before[:1], unpadded, batch.after[:1]))
    length = int((batch.labels[0] >= 0).nonzero()[-1]) + 1
    ends = [states[-batch.after.shape[1] :][:length] for states in (hidden[0], alone[0])]
    torch.testing.assert_close(*ends, atol=1e-4, rtol=1e-4)
    ce = objective(batch)["ce"].item()
    apart = [(objective(one)["ce"].item(), int((one.labels >= 0).sum())) for one in (collate([x], config, tokenizer) for x in (wide, tall))]
    assert ce == pytest.approx(sum(value * count for value, count in apart) / sum(count for _, count in apart), rel=1e-5)


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


def test_a_seg_in_a_question_promises_no_mask(model):
    lisa, tokenizer = model
    asks_back = (("What is [SEG] in your answers?", "A mask."), ("Then the cup.", "It is [SEG]."))
    batch = collate([example(asks_back)], lisa.config, tokenizer)
    (place,) = batch.seg_places[:, 1].tolist()
    assert batch.labels[0, place] == tokenizer.seg_id and (batch.after == tokenizer.seg_id).sum() == 2
    assert [len(masks) for masks in batch.masks] == [1]


def test_a_second_picture_in_a_text_is_refused(model):
    lisa, tokenizer = model
    with pytest.raises(DatasetError, match="picture 0: <image> is written in its text"):
        collate([example((("What does <image> mean?", "A picture."),))], lisa.config, tokenizer)


def test_masks_and_promises_must_agree():
    with pytest.raises(DatasetError, match="hold 1 .* the masks are"):
        Example("x", np.zeros((4, 5, 3), np.uint8), None, (ASKED,), np.zeros((2, 4, 5), bool))


@pytest.mark.parametrize("settings", [Trainable(lora=None), Trainable(lora=None, image_encoder=True)])
def test_recomputing_changes_nothing(settings):
    found = []
    for recompute in (False, True):
        lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
        make_trainable(lisa, settings, recompute=recompute)
        assert lisa.train().sam.image_encoder.recompute == (recompute and settings.image_encoder)
        found.append(losses((lisa, tokenizer), example(ASKED, TWO)))
    (plain, gradients), (again, recomputed) = found
    assert plain == pytest.approx(again, rel=1e-5)
    assert gradients.keys() == recomputed.keys()
    for name, gradient in gradients.items():  # sums over threads: not to the bit on every machine
        assert (gradient - recomputed[name]).norm() <= 1e-5 * gradient.norm() + 1e-9, name


def test_frozen_towers_keep_nothing_for_a_backward_pass(model):
    lisa, tokenizer = model
    seen = {}
    hooks = [
        lisa.sam.image_encoder.register_forward_hook(lambda _, __, out: seen.update(sam=out)),
        lisa.vision_tower.register_forward_hook(lambda _, __, out: seen.update(clip=out)),
    ]
    losses(model, example(ASKED))
    for hook in hooks:
        hook.remove()
    assert seen.keys() == {"sam", "clip"} and not any(out.requires_grad for out in seen.values())


class SmallBackbone(nn.Module):
    """Nothing of SAM: what ``Backbone`` asks of another model in its place, and no more."""

    def __init__(self, side: int, dim: int, grid: int) -> None:
        super().__init__()
        self.side = side
        self.image_encoder = nn.Conv2d(3, dim, side // grid, stride=side // grid)
        self.mask_decoder = nn.Linear(dim, dim)

    def normalise(self, pixels):
        height, width = pixels.shape[1:3]
        return F.pad(pixels.permute(0, 3, 1, 2) / 255 - 0.5, (0, self.side - width, 0, self.side - height))

    def masks(self, image_embedding, text_embeddings):
        return torch.einsum("nchw,nc->nhw", image_embedding, self.mask_decoder(text_embeddings))


def test_another_backbone_in_the_place_of_sam():
    lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    sizes = lisa.config.sam
    lisa.model.visual_model = SmallBackbone(sizes.image_size, sizes.prompt_dim, sizes.grid)
    counts = make_trainable(lisa, Trainable(lora=None), recompute=True)
    assert counts["mask_decoder"] == sizes.prompt_dim * (sizes.prompt_dim + 1)
    values, gradients = losses((lisa, tokenizer), example(ASKED, TWO))
    assert values["bce"] > 0 and gradients["model.visual_model.mask_decoder.weight"].any()
    assert gradients["model.text_hidden_fcs.0.0.weight"].any()
    assert "model.visual_model.image_encoder.weight" not in gradients
    assert losses((lisa, tokenizer), example(TALK))[1].keys() == gradients.keys()
