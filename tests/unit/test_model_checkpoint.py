"""Checkpoint directories: good ones load, bad ones are refused with a sentence, and nothing in a pickle runs."""

import json
import os
import pickle
import shutil

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.model.checkpoint import load_checkpoint, save_checkpoint
from lisa_ros.model.config import CheckpointError


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")


def test_written_checkpoint_holds_the_same_weights(tmp_path):
    lisa, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    save_checkpoint(lisa, CHECKPOINT, tmp_path / "out")
    again, tokenizer = load_checkpoint(tmp_path / "out")  # the CLIP tower travels with it
    assert tokenizer.seg_id == 1000
    assert again.config.sam == lisa.config.sam and again.config.vision == lisa.config.vision
    for name, tensor in lisa.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_nothing_is_left_on_the_meta_device():
    lisa, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    assert not any(t.is_meta for t in (*lisa.parameters(), *lisa.buffers()))


def test_missing_vision_tower_is_named():
    with pytest.raises(CheckpointError, match="--vision-tower"):
        load_checkpoint(CHECKPOINT)


def test_hostile_pickle_is_refused_and_does_not_run(copy, tmp_path):
    trap = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {trap}",)

    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"model.norm.weight": Hostile()}))
    with pytest.raises(CheckpointError, match="pytorch_model.bin"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)
    torch.save({"model.norm.weight": Hostile()}, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pytorch_model.bin"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)
    assert not trap.exists()


@pytest.mark.parametrize("keep", [0, 100, 500_000])
def test_truncated_weights(copy, keep):
    path = copy / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="pytorch_model.bin"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_missing_unexpected_and_misshapen_tensors_are_listed(copy):
    tensors = torch.load(copy / "pytorch_model.bin", weights_only=True)
    tensors["model.surprise.weight"] = tensors.pop("model.norm.weight")
    tensors["lm_head.weight"] = tensors["lm_head.weight"][:, :10].clone()
    torch.save(tensors, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(copy, vision_tower=VISION_TOWER)
    for part in ("unexpected model.surprise.weight", "missing model.norm.weight", "lm_head.weight has shape [1003, 10]"):
        assert part in str(caught.value)


def test_vocabulary_that_contradicts_the_tokenizer(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "vocab_size": 1000}))
    with pytest.raises(CheckpointError, match="vocab_size 1000"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.model", "pytorch_model.bin"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_missing_shard_of_an_index(copy):
    (copy / "pytorch_model.bin").unlink()
    index = {"weight_map": {"lm_head.weight": "pytorch_model-00001-of-00002.bin"}}
    (copy / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="00001-of-00002"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_float16_keeps_sams_neck_in_float32():
    lisa, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER, dtype=torch.float16)
    assert lisa.sam.image_encoder.neck[0].weight.dtype == torch.float32
    assert lisa.lm_head.weight.dtype == torch.float16
