"""`lisa convert`: the same weights in sharded safetensors, whole or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER, read_case
from safetensors.torch import load_file

from lisa_ros.cli.convert import parse_size
from lisa_ros.cli.errors import UsageError
from lisa_ros.cli.main import main
from lisa_ros.engine import Engine
from lisa_ros.model import convert
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import CheckpointError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")


def run(*argv) -> int:
    return main(["convert", *map(str, argv)])


def stored(directory: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor for file in sorted(directory.glob("*.safetensors")) for name, tensor in load_file(file).items()
    }


def test_every_tensor_is_kept_bit_for_bit(tmp_path):
    assert run("--model", CHECKPOINT, "--out", tmp_path / "out", "--max-shard-size", "5MB") == 0
    source = torch.load(CHECKPOINT / "pytorch_model.bin", weights_only=True)
    held = stored(tmp_path / "out")
    assert held.keys() == {name for name in source if not name.endswith("inv_freq")}
    for name, tensor in held.items():
        assert tensor.dtype == source[name].dtype and torch.equal(tensor, source[name]), name


def test_the_directory_is_as_others_expect_it(tmp_path):
    out = tmp_path / "out"
    assert run("--model", CHECKPOINT, "--out", out, "--max-shard-size", "5MB") == 0
    shards = sorted(path.name for path in out.glob("*.safetensors"))
    assert len(shards) > 3 and shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    assert all(path.stat().st_size < 5_100_000 for path in out.glob("*.safetensors"))
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: file for file in shards for name in load_file(out / file)}
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in stored(out).values())
    assert json.loads((out / "config.json").read_text()) == json.loads((CHECKPOINT / "config.json").read_text())
    for name in ("tokenizer.model", "tokenizer_config.json", "added_tokens.json"):
        assert (out / name).read_bytes() == (CHECKPOINT / name).read_bytes()
    assert subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=out).returncode == 0
    assert (
        len((out / "SHA256SUMS").read_text().splitlines()) == len(list(out.iterdir())) - 2
    )  # all but itself and config.json
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {"out"}
    assert main(["info", "--verify", str(out)]) == 0


def test_a_converted_checkpoint_gives_the_same_masks(tmp_path):
    out = tmp_path / "out"
    assert run("--model", CHECKPOINT, "--vision-tower", VISION_TOWER, "--out", out, "--max-shard-size", "3MB") == 0
    before, _ = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    after, _ = load_checkpoint(out)  # the CLIP tower travels with it
    assert after.config.vision == before.config.vision and after.config.name == "ckpt"
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, after.state_dict()[name]), name
    case = read_case("p0")
    answers = []
    for engine in (Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, device="cpu"), Engine.load(out, device="cpu")):
        answers.append(engine.ask(engine.encode(case.image), ["the red thing"], keep_logits=True)[0])
    assert np.array_equal(answers[0].mask_logits, answers[1].mask_logits) and len(answers[0].mask_logits) == 1


def test_another_precision(tmp_path):
    assert run("--model", CHECKPOINT, "--out", tmp_path / "out", "--dtype", "float16") == 0
    assert {tensor.dtype for tensor in stored(tmp_path / "out").values()} == {torch.float16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "float16"


def test_the_embedded_model_converts(tmp_path):
    assert run("--model", "lisa-mini", "--out", tmp_path / "out") == 0
    mini, copied = Engine.load("lisa-mini", device="cpu"), Engine.load(tmp_path / "out", device="cpu")
    assert copied.name == "lisa-mini" and copied.min_target_probability == mini.min_target_probability


def test_existing_directories(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    assert run("--model", CHECKPOINT, "--out", out, "--force") == 2  # not even then: this is no checkpoint
    assert (out / "thesis.txt").exists()
    (out / "thesis.txt").unlink()
    assert run("--model", CHECKPOINT, "--out", out) == 0  # an empty one is fine
    assert run("--model", CHECKPOINT, "--out", out) == 2
    assert "--force" in capsys.readouterr().err
    (out / "old.txt").write_text("")
    assert run("--model", CHECKPOINT, "--out", out, "--force") == 0 and not (out / "old.txt").exists()
    assert run("--model", out, "--out", out, "--force") == 2
    assert "is the checkpoint itself" in capsys.readouterr().err


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path, copy, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run("--model", CHECKPOINT, "--out", out) == 0
    before = sorted(path.name for path in tmp_path.rglob("*"))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "sums_text", full)
    assert run("--model", copy, "--out", out, "--force") == 1
    assert "No space left" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    load_checkpoint(out, vision_tower=VISION_TOWER)


def test_a_checkpoint_that_would_not_load_is_not_converted(tmp_path, copy, capsys):
    tensors = torch.load(copy / "pytorch_model.bin", weights_only=True)
    tensors["model.norm.weight"][0] = float("nan")
    torch.save(tensors, copy / "pytorch_model.bin")
    assert run("--model", copy, "--out", tmp_path / "out") == 1
    assert "NaN or infinite values in model.norm.weight" in capsys.readouterr().err
    del tensors["model.norm.weight"]
    torch.save(tensors, copy / "pytorch_model.bin")
    assert run("--model", copy, "--out", tmp_path / "out") == 1
    assert "missing model.norm.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_seen_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(CheckpointError, match="is not free there"):
        convert.convert_checkpoint(CHECKPOINT, tmp_path / "out")


def test_sizes():
    assert [parse_size(text) for text in ("4GB", "500 mb", "2GiB", "1.5kB", "77")] == [
        4 * 10**9,
        5 * 10**8,
        2**31,
        1500,
        77,
    ]
    for text in ("", "GB", "-1GB", "0", "4TB"):
        with pytest.raises(UsageError):
            parse_size(text)
