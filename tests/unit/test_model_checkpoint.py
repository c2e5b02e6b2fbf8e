"""Checkpoint directories: good ones load, bad ones are refused with a sentence, and nothing in a pickle runs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.model.checkpoint import load_checkpoint, save_checkpoint
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.inventory import take_inventory
from lisa_ros.model.shards import directory_headers, read_headers, read_tensors


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")


def edit_weights(path, change):
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


def split(directory, parts=2):
    """The golden weights as several shards with an index, as the 7B and 13B models have them."""
    tensors = torch.load(directory / "pytorch_model.bin", weights_only=True)
    (directory / "pytorch_model.bin").unlink()
    weight_map = {}
    for number in range(parts):
        name = f"pytorch_model-{number + 1:05}-of-{parts:05}.bin"
        held = {key: tensors[key] for key in list(tensors)[number::parts]}
        torch.save(held, directory / name)
        weight_map |= dict.fromkeys(held, name)
    write_index(directory, weight_map)
    return weight_map


def write_index(directory, weight_map):
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


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


def hostile(trap):
    """A real attack: whoever unpickles it without care runs a shell command."""

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {trap}",)

    return {"model.norm.weight": Hostile(), "lm_head.weight": torch.zeros(2)}


def write_bare_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_old_format(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [torch.save, write_old_format, write_bare_pickle])
@pytest.mark.parametrize("where", ["checkpoint", "tower"])
def test_hostile_pickle_is_refused_and_does_not_run(copy, tmp_path, write, where):
    trap, tower = tmp_path / "ran", shutil.copytree(VISION_TOWER, tmp_path / "tower")
    write(hostile(trap), (copy if where == "checkpoint" else tower) / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: refused") as caught:
        load_checkpoint(copy, vision_tower=tower)
    assert "weights_only" not in str(caught.value)  # torch recommends to switch it off; we must not
    assert not trap.exists()
    write(hostile(trap), tmp_path / "proof.bin")
    torch.load(tmp_path / "proof.bin", weights_only=False) if write is not write_bare_pickle else pickle.loads(
        (tmp_path / "proof.bin").read_bytes()
    )
    assert trap.exists(), "the attack does nothing, so this test proves nothing"


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(1)], {"lm_head.weight": [1, 2]}, {"state_dict": {"a": torch.zeros(1)}}, {3: torch.zeros(1)}],
)
def test_files_that_hold_other_things_than_tensors_are_refused(copy, content):
    torch.save(content, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: refused"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


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
    for part in (
        "unexpected model.surprise.weight",
        "missing model.norm.weight",
        "lm_head.weight has shape [1003, 10]",
    ):
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


def test_shards_load_as_one_file_does(copy):
    whole, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    split(copy, 3)
    parts, _ = load_checkpoint(copy, vision_tower=VISION_TOWER)
    assert all(torch.equal(tensor, parts.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_files_of_before_pytorch_1_6_load(copy):
    whole, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    tensors = torch.load(copy / "pytorch_model.bin", weights_only=True)
    write_old_format(tensors, copy / "pytorch_model.bin")
    old, _ = load_checkpoint(copy, vision_tower=VISION_TOWER)
    assert all(torch.equal(tensor, old.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_tensors_that_share_or_turn_their_memory_load(copy):
    whole, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)

    def share(tensors):
        pair = torch.stack([tensors["lm_head.weight"], tensors["model.embed_tokens.weight"]])
        tensors["lm_head.weight"], tensors["model.embed_tokens.weight"] = pair[0], pair[1]
        tensors["model.mm_projector.weight"] = tensors["model.mm_projector.weight"].T.contiguous().T

    edit_weights(copy / "pytorch_model.bin", share)
    shared, _ = load_checkpoint(copy, vision_tower=VISION_TOWER)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, shared.state_dict()[name]), name
    assert all(parameter.is_contiguous() for parameter in shared.parameters())


def test_missing_shard_of_an_index(copy):
    split(copy)
    (copy / "pytorch_model-00001-of-00002.bin").unlink()
    with pytest.raises(CheckpointError, match="00001-of-00002"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_an_index_that_lists_a_tensor_in_the_wrong_shard(copy):
    weight_map = split(copy)
    other = {"pytorch_model-00001-of-00002.bin": "pytorch_model-00002-of-00002.bin"}
    name = weight_map["lm_head.weight"]
    write_index(copy, {**weight_map, "lm_head.weight": other.get(name, "pytorch_model-00001-of-00002.bin")})
    with pytest.raises(CheckpointError, match="lm_head.weight"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


@pytest.mark.parametrize("weight_map", [{}, ["a"], {"a": "../elsewhere.bin"}, {"a": 3}, {"a": "run.py"}])
def test_an_index_that_is_none(copy, weight_map):
    split(copy)
    write_index(copy, weight_map)
    with pytest.raises(CheckpointError, match="pytorch_model.bin.index.json"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_a_tensor_in_two_shards(copy):
    weight_map = split(copy)
    other = next(name for name in weight_map.values() if name != weight_map["lm_head.weight"])
    edit_weights(copy / other, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(1003, 64)}))
    with pytest.raises(CheckpointError, match="twice lm_head.weight"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_rotary_tables_of_old_versions_are_not_used():
    names = [header.name for header in directory_headers(CHECKPOINT)]
    assert (
        sum(name.endswith("rotary_emb.inv_freq") for name in names) == 3
    )  # the golden checkpoint has them, as published ones do
    inventory = take_inventory(CHECKPOINT, VISION_TOWER)
    assert len(inventory.stale) == 3 and not inventory.problems


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named(copy, value):
    def spoil(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
        tensors["model.visual_model.mask_decoder.iou_token.weight"][0, 0] = value

    edit_weights(copy / "pytorch_model.bin", spoil)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(copy, vision_tower=VISION_TOWER)
    assert "model.layers.1.mlp.up_proj.weight" in str(caught.value)
    assert "model.visual_model.mask_decoder.iou_token.weight" in str(caught.value)


def test_values_too_large_for_float16_are_named_with_a_way_out(copy):
    def enlarge(tensors):
        tensors["model.norm.weight"][0] = 1e6

    edit_weights(copy / "pytorch_model.bin", enlarge)
    load_checkpoint(copy, vision_tower=VISION_TOWER)
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight.*bfloat16"):
        load_checkpoint(copy, vision_tower=VISION_TOWER, dtype=torch.float16)


def test_whole_numbers_are_no_weights(copy):
    edit_weights(
        copy / "pytorch_model.bin",
        lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int64)}),
    )
    with pytest.raises(CheckpointError, match="model.norm.weight holds int64"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "tokenizer.model"])
def test_what_git_leaves_in_place_of_large_files(copy, name):
    (copy / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:86c2b94e\nsize 9976634558\n")
    with pytest.raises(CheckpointError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_markers_that_the_tokenizer_does_not_have(copy):
    added = json.loads((copy / "added_tokens.json").read_text())
    (copy / "added_tokens.json").write_text(json.dumps({"[SEG]": added["[SEG]"]}))
    with pytest.raises(CheckpointError, match="mm_use_im_start_end"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_a_plain_language_model_is_refused(copy):
    (copy / "added_tokens.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"\[SEG\]"):
        load_checkpoint(copy, vision_tower=VISION_TOWER)


def test_unknown_quantization():
    with pytest.raises(ValueError, match="8bit"):
        load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER, quantization="2bit")


def test_layers_are_quantized_as_soon_as_they_are_whole(monkeypatch):
    """One call a layer, when its weights are there and others are not yet."""
    seen = []

    def record(layer, bits):
        assert not any(parameter.is_meta for parameter in layer.parameters())
        seen.append((bits, any(parameter.is_meta for parameter in inventories[0].lisa.parameters())))

    inventories = []

    def keep(*args, **options):
        inventories.append(take_inventory(*args, **options))
        return inventories[0]

    monkeypatch.setattr(
        "lisa_ros.model.checkpoint.require_quantization", lambda device: None
    )  # the library may not be installed
    monkeypatch.setattr("lisa_ros.model.checkpoint.quantize_layer", record)
    monkeypatch.setattr("lisa_ros.model.checkpoint.take_inventory", keep)
    load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER, quantization="4bit")
    assert seen == [(4, True)] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_reading_a_file_holds_one_tensor_of_it(tmp_path, suffix):
    from safetensors.torch import save_file

    path, tensors = tmp_path / f"model{suffix}", {f"t{i}": torch.full((1 << 20,), float(i)) for i in range(8)}
    (save_file if suffix == ".safetensors" else torch.save)(tensors, path)

    def resident() -> int:
        """Bytes of the file that lie in this process, from all of its mappings."""
        total, inside = 0, False
        with open("/proc/self/smaps") as lines:
            for line in lines:
                if "-" in line.split()[0]:
                    inside = line.rstrip().endswith(str(path))
                elif inside and line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
        return total

    most = 0
    for _, tensor in read_tensors(path):
        tensor.sum()
        most = max(most, resident())
    size = 4 << 20  # of one tensor
    assert size / 2 < most < 2 * size
    assert [header.shape for header in read_headers(path)] == [(1 << 20,)] * 8


def test_float16_keeps_sams_neck_in_float32():
    lisa, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER, dtype=torch.float16)
    assert lisa.sam.image_encoder.neck[0].weight.dtype == torch.float32
    assert lisa.lm_head.weight.dtype == torch.float16
