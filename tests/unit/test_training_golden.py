"""One training step against the reference's, from examples to gradients: collation, losses, heads, decoder, LoRA."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, GOLDEN, VISION_TOWER
from PIL import Image

from lisa_ros.datasets.example import Example
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.losses import IGNORE
from lisa_ros.model.prompt import PICTURE
from lisa_ros.training.collation import collate, tokenize
from lisa_ros.training.losses import Objective
from lisa_ros.training.trainable import Lora, Trainable, make_trainable, trained_parameters

TURN = {
    "llava_v1": r"USER: (.*?) ASSISTANT: (.*?)</s>",
    "llava_llama_2": r"\[INST\] (?:<<SYS>>.*?<</SYS>>\n\n)?(.*?) \[/INST\] (.*?) </s>",
}
PEFT = "base_model.model."  # what peft puts before every name when it wraps a model


class Step:
    """A recorded step, the same one computed here, and what passed between its parts."""

    def __init__(self, name: str) -> None:
        self.about = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            self.arrays = dict(arrays)
        self.lisa, self.tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
        conversation = "llava_llama_2" if "llama2" in name else "llava_v1"
        self.lisa.config = replace(self.lisa.config, conversation=conversation)
        turn = re.compile(TURN[conversation], re.S)
        self.conversations = [
            tuple((asked.replace(f"{PICTURE}\n", ""), said) for asked, said in turn.findall(text))
            for text in self.about["conversations"]
        ]
        make_trainable(self.lisa, Trainable(lora=Lora(dropout=0.0) if self.about["lora"] else None))
        for key, value in self.arrays.items():
            if key.startswith("lora/"):
                self.lisa.get_parameter(key.removeprefix(f"lora/{PEFT}")).data = torch.from_numpy(value)
        examples = [self._example(i) for i in range(len(self.about["image_paths"]))]
        self.batch = collate(examples, self.lisa.config, self.tokenizer)
        seen = {}
        self.lisa.model.text_hidden_fcs[0].register_forward_hook(lambda _, __, out: seen.update(prompts=out.detach()))
        self.lisa.sam.mask_decoder.register_forward_hook(lambda _, __, out: seen.update(low_res=out.detach()))
        self.losses = Objective(self.lisa)(self.batch)
        self.losses["loss"].backward()
        self.prompts, self.low_res = seen["prompts"], seen["low_res"]

    def _example(self, number: int) -> Example:
        picture = self.about["image_paths"][number]
        image = np.asarray(Image.open(GOLDEN / picture.replace(".jpg", ".png")).convert("RGB"))
        count, height, width = self.about["mask_shapes"][number]
        bits = np.unpackbits(self.arrays[f"batch/masks_{number}"], axis=-1)[:, : height * width]
        first, last = self.about["offset"][number : number + 2]
        masks = bits.reshape(count, height, width).astype(bool)
        return Example(picture, image, None, tuple(self.conversations[first:last]), masks)


@pytest.fixture(scope="module", params=["train_seg", "train_llama2", "train_vqa_mix", "train_seg_lora"])
def step(request):
    return Step(request.param)


def test_ids_and_labels(step):
    for turns, ids, labels in zip(step.conversations, step.arrays["batch/input_ids"], step.arrays["batch/labels"]):
        tokens = tokenize(turns, step.lisa.config, step.tokenizer, 512)
        assert tokens.ids == ids[: len(tokens.ids)].tolist()
        ours = np.full(len(ids), IGNORE)
        for start, stop in tokens.answers:
            ours[start:stop] = tokens.ids[start:stop]
        np.testing.assert_array_equal(ours, labels)


def test_losses(step):
    names = {"loss": "loss", "ce": "ce_loss", "bce": "mask_bce_loss", "dice": "mask_dice_loss"}
    for ours, recorded in names.items():
        assert step.losses[ours].item() == pytest.approx(step.about["losses"][recorded], abs=1e-5), ours


def test_prompts_and_masks(step):
    rows = step.batch.seg_places[:, 0]
    for picture in range(len(step.batch)):
        prompts, low_res = step.arrays[f"seg_embeddings_{picture}"], step.arrays[f"low_res_{picture}"][:, 0]
        np.testing.assert_allclose(step.prompts[rows == picture], prompts, atol=1e-4)
        np.testing.assert_allclose(step.low_res[rows == picture], low_res, atol=1e-3)


def test_gradients(step):
    gradients = {name: p.grad for name, p in trained_parameters(step.lisa).items() if p.grad is not None}
    recorded = {name.removeprefix(PEFT): norm for name, norm in step.about["param_grad_norms"].items()}
    # the reference computes all four masks and drops three: zeros for parameters that get nothing here
    norms = {name: norm for name, norm in recorded.items() if norm > 0 or name in gradients}
    assert gradients.keys() == norms.keys()
    for name, norm in norms.items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-5), name
    for key, whole in step.arrays.items():
        if key.startswith("grad/"):
            got = gradients[key.removeprefix("grad/").removeprefix(PEFT)].numpy()
            assert np.linalg.norm(got - whole) <= 1e-4 * np.linalg.norm(whole), key


def test_what_gets_no_gradient_is_what_the_reference_names(step):
    without = {name for name, parameter in trained_parameters(step.lisa).items() if parameter.grad is None}
    named = {name.removeprefix(PEFT) for name in step.about["trainable_without_grad"]}
    assert named <= without and all("iou_prediction_head" in name or "output_hypernetworks" in name for name in without)
