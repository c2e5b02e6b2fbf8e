"""Runs as checkpoints: merged, published, adapter only, and what is refused."""

import json
import resource
import shutil
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER
from peft import PeftModel

from lisa_ros.cli.main import main
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.inventory import stored_name
from lisa_ros.model.shards import directory_headers, read_headers
from lisa_ros.training import merge
from lisa_ros.training.adapter import load_adapter, save_adapter
from lisa_ros.training.merge import merged_tensors, publish
from lisa_ros.training.start import Start, start_model
from lisa_ros.training.trainable import SAM_TARGETS, Lora, Trainable, make_trainable, trained_parameters

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
    names = [header.name for header in read_headers(tmp_path / "adapter" / "adapter_model.safetensors")]
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in names
    loaded, about = load_adapter(tmp_path / "adapter", tmp_path / "work")
    assert about["update"] == 3
    for ours, theirs in zip(answers(loaded.lisa.eval()), answers(trained)):
        assert torch.equal(ours, theirs)


def test_peft_reads_the_adapter(run):
    """Outside this repository, onto a model of peft's own making."""
    folder, trained = run
    base, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    theirs = PeftModel.from_pretrained(base, str(folder)).base_model.model.eval()
    x = torch.randn(1, 9, trained.config.language.hidden_size)
    for ours, layer in zip(trained.model.layers, theirs.model.layers):
        assert torch.equal(ours.self_attn.q_proj(x), layer.self_attn.q_proj(x))
        assert torch.equal(ours.self_attn.v_proj(x), layer.self_attn.v_proj(x))


def test_lora_on_sam_is_kept_and_merged(tmp_path):
    """Table 3's "SAM w/ LoRA" beside LoRA on the language model."""
    trainable = Trainable(sam_lora=Lora(targets=SAM_TARGETS))
    started = start_model(START, tmp_path / "tokenizer")
    make_trainable(started.lisa, trainable)
    for parameter in trained_parameters(started.lisa).values():
        parameter.data += 0.01 * torch.randn_like(parameter)
    trained = started.lisa.eval()
    about = ABOUT | {"trainable": asdict(trainable)}
    (tmp_path / "best").mkdir()
    save_adapter(tmp_path / "best", trained, tmp_path / "tokenizer", about)
    loaded, _ = load_adapter(tmp_path / "best", tmp_path / "work")
    assert main(["merge", str(tmp_path / "best"), "--out", str(tmp_path / "merged"), "--dtype", "float32"]) == 0
    merged, _ = load_checkpoint(tmp_path / "merged", vision_tower=VISION_TOWER)
    side = trained.config.sam.image_size
    picture = torch.randn(1, 3, side, side)
    with torch.no_grad():
        before = trained.sam.image_encoder(picture)
        assert torch.equal(loaded.lisa.eval().sam.image_encoder(picture), before)
        torch.testing.assert_close(merged.sam.image_encoder(picture), before, atol=1e-5, rtol=0)
    for ours, theirs in zip(answers(merged), answers(trained)):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "part",
    ["model.layers.2.self_attn.v_proj", "model.mm_projector", "model.visual_model.image_encoder.blocks.0.attn.qkv"],
)
def test_another_base_is_refused(run, tmp_path, capsys, part):
    folder, _ = run
    other, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    other.get_submodule(part).weight.data += 1
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


def test_the_base_is_known_in_any_precision(run, tmp_path):
    folder, trained = run
    loaded, _ = load_adapter(folder, tmp_path / "work", dtype=torch.bfloat16)
    assert loaded.lisa.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    learned = trained_parameters(trained)
    assert all(torch.equal(value, learned[name]) for name, value in trained_parameters(loaded.lisa).items())


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "trained.safetensors", "tokenizer.model"])
def test_an_adapter_is_copied_whole_or_not_at_all(run, tmp_path, missing, capsys):
    folder, _ = run
    (tmp_path / "part").mkdir()
    for file in folder.iterdir():
        if file.name != missing:
            (tmp_path / "part" / file.name).write_bytes(file.read_bytes())
    assert main(["merge", str(tmp_path / "part"), "--adapter-only", "--out", str(tmp_path / "adapter")]) == 1
    assert f"{missing} is missing" in capsys.readouterr().err and not (tmp_path / "adapter").exists()


def test_a_folder_above_the_runs_is_told_where_to_look(run, tmp_path, capsys):
    folder, _ = run
    assert main(["merge", str(folder.parent), "--out", str(tmp_path / "merged")]) == 1
    assert "such as runs/NAME/best" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["adapter.json", "adapter_model.safetensors", "trained.safetensors"])
def test_a_damaged_file_is_named(run, tmp_path, file):
    folder, _ = run
    shutil.copytree(folder, tmp_path / "cut")
    whole = (tmp_path / "cut" / file).read_bytes()
    (tmp_path / "cut" / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=file):
        load_adapter(tmp_path / "cut", tmp_path / "work")


@pytest.mark.parametrize("kind", [[], ["--adapter-only"]])
def test_a_full_disk_leaves_nothing(run, tmp_path, capsys, kind):
    """The system refuses to write files of more than 100 kB, in the middle of one."""
    folder, _ = run
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        done = main(["merge", str(folder), "--out", str(tmp_path / "merged"), *kind])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done == 1 and "cannot be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_said_before_anything_is_written(run, tmp_path, capsys, monkeypatch):
    folder, _ = run
    monkeypatch.setattr(merge.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert main(["merge", str(folder), "--out", str(tmp_path / "merged")]) == 1
    assert "not free there" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


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
