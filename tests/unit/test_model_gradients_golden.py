"""One training step against the reference's: losses, masks and gradients through our own LLaMA, heads and mask
decoder."""

import json

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, GOLDEN, VISION_TOWER, embedded

from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.losses import BCE_WEIGHT, CE_WEIGHT, DICE_WEIGHT, IGNORE, answer_loss, bce_loss, dice_loss
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.model.tokenizer import IMAGE_ID

TRAINED = ("model.text_hidden_fcs.", "model.visual_model.mask_decoder.", "lm_head.", "model.embed_tokens.")


@pytest.fixture(scope="module", params=["train_seg", "train_llama2", "train_vqa_mix"])
def step(request):
    """The recorded step, and ours: losses by name, prompts and masks of every picture, and the model with its
    gradients."""
    about = json.loads((GOLDEN / f"{request.param}.json").read_text(encoding="utf-8"))
    with np.load(GOLDEN / f"{request.param}.npz") as arrays:
        arrays = dict(arrays)
    lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    for name, parameter in lisa.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED))
    ids, labels = (torch.from_numpy(arrays[f"batch/{name}"]) for name in ("input_ids", "labels"))
    pictures = [np.load(GOLDEN / f"image_{path.removesuffix('.jpg')}.npz") for path in about["image_paths"]]
    of_row = np.repeat(np.arange(len(pictures)), np.diff(about["offset"]))
    with torch.no_grad():
        patches = [lisa.look(torch.from_numpy(p["clip_pixel_values"])[None]) for p in pictures]
    hidden = torch.cat([lisa.read(embedded(lisa, row[None], patches[i])) for row, i in zip(ids, of_row)])
    assert IMAGE_ID in ids
    shift = patches[0].shape[1] - 1  # how far the picture's patches push what follows it
    expanded = torch.stack([_expand(row, label, shift) for row, label in zip(ids, labels)])
    losses = {"ce_loss": CE_WEIGHT * answer_loss(lisa.lm_head(hidden[:, :-1]), expanded[:, 1:])}
    seg_rows, seg_places = (ids == tokenizer.seg_id).nonzero().unbind(1)
    prompts = lisa.mask_prompt(hidden[seg_rows, seg_places + shift - 1])
    of_seg = torch.from_numpy(of_row)[seg_rows]
    low_res, bce, dice, count = [], torch.zeros(()), torch.zeros(()), 0
    for i, picture in enumerate(pictures):
        with torch.no_grad():
            sam = lisa.sam.image_encoder(lisa.sam.normalise(torch.from_numpy(picture["sam_resized_u8"])[None]))
        low_res.append(lisa.sam.masks(sam, prompts[of_seg == i]))
        n, height, width = about["mask_shapes"][i]
        if n == 0:
            continue
        bits = np.unpackbits(arrays[f"batch/masks_{i}"], axis=-1)[:, : height * width]
        truth = torch.from_numpy(bits.reshape(n, height, width)).float()
        logits = upscale_masks(low_res[-1], 1024, tuple(picture["resize"].tolist()), (height, width))
        bce, dice, count = bce + n * bce_loss(logits, truth), dice + n * dice_loss(logits, truth), count + n
    losses["mask_bce_loss"] = BCE_WEIGHT * bce / (count + 1e-8)
    losses["mask_dice_loss"] = DICE_WEIGHT * dice / (count + 1e-8)
    losses["loss"] = losses["ce_loss"] + losses["mask_bce_loss"] + losses["mask_dice_loss"]
    losses["loss"].backward()
    return about, arrays, losses, [prompts[of_seg == i] for i in range(len(pictures))], low_res, lisa


def _expand(ids: torch.Tensor, labels: torch.Tensor, shift: int) -> torch.Tensor:
    """Labels with room for the picture's patches, which are never predicted."""
    place = int((ids == IMAGE_ID).nonzero()[0])
    return torch.cat([labels[:place], torch.full((shift + 1,), IGNORE), labels[place + 1 :]])


def test_losses(step):
    about, _, losses, *_ = step
    for name, value in losses.items():
        assert value.item() == pytest.approx(about["losses"][name], abs=1e-5), name


def test_prompts_and_masks(step):
    _, arrays, _, prompts, low_res, _ = step
    for i, (got, masks) in enumerate(zip(prompts, low_res)):
        np.testing.assert_allclose(got.detach(), arrays[f"seg_embeddings_{i}"], atol=1e-4)
        np.testing.assert_allclose(masks.detach(), arrays[f"low_res_{i}"][:, 0], atol=1e-3)


def test_gradients(step):
    about, arrays, *_, lisa = step
    gradients = {name: parameter.grad for name, parameter in lisa.named_parameters() if parameter.grad is not None}
    # the reference computes all four masks and drops three: zeros for parameters that get nothing here
    norms = {name: norm for name, norm in about["param_grad_norms"].items() if norm > 0 or name in gradients}
    assert gradients.keys() == norms.keys()
    for name, norm in norms.items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-3, abs=1e-5), name
    for key, recorded in arrays.items():
        if key.startswith("grad/"):
            got = gradients[key.removeprefix("grad/")].numpy()
            assert np.linalg.norm(got - recorded) <= 1e-4 * np.linalg.norm(recorded), key
