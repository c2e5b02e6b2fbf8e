"""Runs as checkpoints: merged, published, adapter only, and what is refused."""

import json
from dataclasses import asdict

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.cli.main import main
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.inventory import stored_name
from lisa_ros.model.shards import directory_headers
from lisa_ros.training.adapter import load_adapter, save_adapter
from lisa_ros.training.merge import merged_tensors, publish
from lisa_ros.training.start import Start, start_model
from lisa_ros.training.trainable import Trainable, make_trainable, trained_parameters

START = Start(lisa=str(CHECKPOINT), vision_tower=str(VISION_TOWER))
ABOUT = {"start": asdict(START), "trainable": asdict(Trainable()), "seed": 0, "recipe": {"name": "x"}, "update": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder as a run leaves it, the model that was trained)."""
    folder = tmp_path_factory.mktemp("run")
    started = start_model(START, folder / "tokenizer")
    make_trainable(started.lisa, Trainable())
    torch.manual_seed(1)
    for parameter in trained_parameters(started.lisa).values():
        parameter.data += 0.01 * torch.randn_like(parameter)
    (folder / "best").mkdir()
    save_adapter(folder / "best", started.lisa, folder / "tokenizer", ABOUT)
    return folder / "best", started.lisa.eval()


def answers(lisa):
    x = torch.randn(1, 9, lisa.config.language.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = lisa.model(x)
        return hidden, lisa.lm_head(hidden), lisa.mask_prompt(hidden[0])


def test_merged_answers_as_the_trained_one(run, tmp_path):
    folder, trained = run
    assert main(["merge", str(folder), "--out", str(tmp_path / "merged"), "--dtype", "float32"]) == 0
    merged, _ = load_checkpoint(tmp_path / "merged", vision_tower=VISION_TOWER)
    for ours, theirs in zip(answers(merged), answers(trained)):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert "# merged" in (tmp_path / "merged" / "README.md").read_text()
    assert main(["info", "--verify", str(tmp_path / "merged")]) == 0


def test_names_and_precision_are_the_published_ones(run, tmp_path):
    folder, _ = run
    assert main(["merge", str(folder), "--out", str(tmp_path / "merged"), "--max-shard-size", "3MB"]) == 0
    ours = {header.name: header for header in directory_headers(tmp_path / "merged")}
    theirs = {header.name: header for header in directory_headers(CHECKPOINT) if "inv_freq" not in header.name}
    assert ours.keys() == theirs.keys()
    assert {n: (h.shape, h.dtype) for n, h in ours.items()} == {n: (h.shape, h.dtype) for n, h in theirs.items()}
    assert len(list((tmp_path / "merged").glob("model-*-of-*.safetensors"))) > 1


def test_merging_does_not_touch_the_model(run):
    _, trained = run
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    merged = dict(merged_tensors(trained))
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(merged[name], before[name.replace(".weight", ".base_layer.weight")])
    assert stored_name(name) == name


def test_adapter_alone(run, tmp_path):
    folder, trained = run
    assert main(["merge", str(folder), "--adapter-only", "--out", str(tmp_path / "adapter")]) == 0
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["r"] == 8
    names = [header.name for header in directory_headers_of(tmp_path / "adapter" / "adapter_model.safetensors")]
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in names
    loaded, about = load_adapter(tmp_path / "adapter", tmp_path / "work")
    assert about["update"] == 3
    for ours, theirs in zip(answers(loaded.lisa.eval()), answers(trained)):
        assert torch.equal(ours, theirs)


def directory_headers_of(file):
    from lisa_ros.model.shards import read_headers

    return read_headers(file)


def test_another_base_is_refused(run, tmp_path, capsys):
    folder, _ = run
    other, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    other.model.layers[0].self_attn.q_proj.weight.data += 1
    publish(other, folder, tmp_path / "other", dtype=torch.float32)
    assert main(["merge", str(folder), "--model", str(tmp_path / "other"), "--out", str(tmp_path / "merged")]) == 1
    assert "was not trained on" in capsys.readouterr().err and not (tmp_path / "merged").exists()


@pytest.mark.parametrize("missing", ["adapter.json", "adapter_model.safetensors", "trained.safetensors"])
def test_a_missing_file_is_named(run, tmp_path, missing):
    folder, _ = run
    for file in folder.iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match=missing):
        load_adapter(tmp_path, tmp_path / "work")


def test_not_finite_is_refused_and_leaves_nothing(run, tmp_path):
    folder, _ = run
    loaded, _ = load_adapter(folder, tmp_path / "work")
    loaded.lisa.lm_head.weight.data[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="lm_head.weight: NaN"):
        publish(loaded.lisa, folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists() and not list(tmp_path.glob(".merged*"))


def test_what_out_holds_is_kept(run, tmp_path, capsys):
    folder, _ = run
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["merge", str(folder), "--out", str(tmp_path)]) == 2
    assert "other things" in capsys.readouterr().err
