"""Models of random weights, and the stand-in for the published tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lisa_ros.engine import CheckpointError, Engine
from lisa_ros.engine.prompting import Prompter
from lisa_ros.evaluation.random_weights import NAMES, random_config, random_lisa, weight_bytes
from lisa_ros.evaluation.stand_in_tokenizer import StandInTokenizer
from lisa_ros.model.checkpoint import stage_dtype
from lisa_ros.model.published import published_config
from lisa_ros.model.tokenizer import IMAGE_ID

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_value_is_there_in_the_precision_asked_for(dtype):
    lisa, _ = random_lisa("mini", device=CPU, dtype=dtype)
    for name, tensor in lisa.state_dict().items():
        assert tensor.dtype == stage_dtype(name, dtype), name
        assert tensor.isfinite().all(), name
    assert lisa.model.layers[0].mlp.up_proj.weight.dtype == dtype
    assert not any(tensor.is_meta for tensor in lisa.buffers())
    values = sum(tensor.numel() for tensor in lisa.parameters())
    assert weight_bytes(lisa) >= values * dtype.itemsize


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_answers_run_to_their_limit_and_masks_come_from_the_question(dtype):
    lisa, tokenizer = random_lisa("mini", device=CPU, dtype=dtype)
    engine = Engine(lisa, tokenizer)
    encoded = engine.encode(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    plain, asking = engine.ask(encoded, ["the thing", "the thing [SEG]"], mode="chat", max_new_tokens=12)
    for answer, masks in ((plain, 0), (asking, 1)):
        assert len(answer.output_ids) == 12
        assert not {tokenizer.eos_id, tokenizer.seg_id} & set(answer.output_ids)
        assert answer.masks.shape == (masks, 48, 64)
    forced = engine.ask(encoded, ["the thing"], keep_logits=True)[0]  # nothing is refused
    assert forced.masks.shape == (1, 48, 64)
    assert np.isfinite(forced.mask_logits).all() and forced.mask_logits.std() > 0


def test_the_same_seed_gives_the_same_model():
    first, second, other = (random_lisa("mini", device=CPU, dtype=torch.float32, seed=s)[0] for s in (1, 1, 2))
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_fewer_layers_and_nothing_else():
    whole, one = random_config("13b"), random_config("13b", layers=1)
    assert (whole.language.num_hidden_layers, one.language.num_hidden_layers) == (40, 1)
    assert one.language.hidden_size == 5120 and one.sam == whole.sam == published_config("13b").sam
    assert "1 of 40 language layers" in one.name
    lisa, _ = random_lisa("mini", device=CPU, dtype=torch.float32, layers=2)
    assert len(lisa.model.layers) == 2


@pytest.mark.parametrize("arguments", [("8b", None), ("7b", 0), ("7b", 33), ("mini", 31)])
def test_shapes_that_do_not_exist(arguments):
    with pytest.raises(ValueError, match="choose from|layers must be 1 to"):
        random_config(*arguments)


def test_a_model_that_does_not_fit_is_refused_before_it_is_built(monkeypatch):
    monkeypatch.setattr("lisa_ros.model.memory.free_memory", lambda device: 20_000_000_000)
    with pytest.raises(CheckpointError, match="needs about .* in float32 on cpu, 20.0 GB are free"):
        random_lisa("7b", device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mini"])
def test_stand_in_prompts_are_as_long_as_published_ones(name):
    config = random_config(name)
    tokenizer = StandInTokenizer(config.language.vocab_size)
    prompter = Prompter(config, tokenizer, "llava_v1")
    prompt = prompter.prompt("Where is the thing that cuts paper?", config.query_template)
    assert prompt.ids.index(IMAGE_ID) == 35
    assert len(prompter.prefix_ids) - 1 + config.vision.patches == 35 + config.vision.patches + 1
    assert len(prompt.own) == 13 + 5  # the question with its template, and " ASSISTANT:"
    others = [number for number in prompt.ids if number != IMAGE_ID]
    assert all(0 <= number < config.language.vocab_size for number in others)
    assert tokenizer.seg_id not in others and tokenizer.eos_id not in others
    assert prompter.answer_ids(prompt, "Sure, [SEG].")[2] == tokenizer.seg_id
    assert len(prompter.answer_ids(prompt, "Sure, [SEG].")) == 5


def test_stand_in_text_and_back():
    tokenizer = StandInTokenizer(100)
    ids = tokenizer.encode("one [SEG] two two</s>")
    assert ids[0] == tokenizer.bos_id and ids[-1] == tokenizer.eos_id and ids[2] == tokenizer.seg_id
    assert ids[1] != ids[3] == ids[4]
    assert tokenizer.decode(ids, skip_special=True) == f"w{ids[1]} [SEG] w{ids[3]} w{ids[3]}"
