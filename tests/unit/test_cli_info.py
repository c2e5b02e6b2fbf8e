"""`lisa info` reads headers only, says what a checkpoint is and lacks, and what is wrong with damaged files."""

from __future__ import annotations

import json
import pickle
import shutil
import struct

import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER

from lisa_ros.cli.checkpoint import digest
from lisa_ros.cli.info import part_of
from lisa_ros.cli.main import main
from lisa_ros.model.integrity import sha256_of, sums_text
from lisa_ros.model.shards import read_headers

HEADER = {
    "__metadata__": {"format": "pt"},
    "lm_head.weight": {"dtype": "F16", "shape": [10, 4], "data_offsets": [0, 80]},
    "model.text_hidden_fcs.0.0.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [80, 144]},
}


@pytest.fixture(autouse=True)
def no_hub(tmp_path, monkeypatch):
    """The hub's cache is an empty one, and so is ours."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")


def described(capsys, *argv, status=0):
    """Rows of what `lisa info` prints, by their first cell."""
    assert main(["info", *map(str, argv)]) == status
    lines = capsys.readouterr().out.splitlines()
    return {line.split("  ")[0]: line for line in lines}


def write_checkpoint(folder, *, cut: int = 0):
    folder.mkdir(exist_ok=True)
    header = json.dumps(HEADER).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(144)
    (folder / "model.safetensors").write_bytes(data[: len(data) - cut])
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4, "sam": {"depth": 2}}))
    return folder


def test_info_counts_tensors_by_part(tmp_path, capsys):
    assert main(["info", str(write_checkpoint(tmp_path / "m")), "--tensors"]) == 0
    out = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in out.splitlines()}
    assert rows["language head"][-4:] == ["1", "40", "0.0", "float16"]
    assert rows["[SEG] projection"][-4:] == ["1", "16", "0.0", "float32"]
    assert rows["all"][1:3] == ["2", "56"]
    assert rows["sam.depth"][-1] == "2"
    assert "[10, 4]" in out
    assert "cannot be loaded: " in out  # these two tensors are no LISA


def test_info_reads_pytorch_files_without_running_them(tmp_path, capsys):
    folder = write_checkpoint(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    file = folder / "pytorch_model.bin"
    torch.save({"lm_head.weight": torch.zeros(3, 2, dtype=torch.bfloat16)}, file)
    assert [(t.name, t.dtype, t.shape) for t in read_headers(file)] == [("lm_head.weight", torch.bfloat16, (3, 2))]
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return open, (str(marker), "w")

    file.write_bytes(pickle.dumps(Hostile(), protocol=2))
    assert main(["info", str(folder)]) == 1
    assert "pytorch_model.bin" in capsys.readouterr().err
    assert not marker.exists()


def test_info_says_what_a_checkpoint_is(capsys):
    rows = described(capsys, CHECKPOINT, "--vision-tower", VISION_TOWER)
    assert "256 positions, linear projector" in rows["picture"]
    assert "[SEG] 1000, legacy true" in rows["tokenizer"]
    assert rows["prompt"].split()[1] == "290"  # the golden prefix: 33 tokens, the picture's 256, <im_end>
    assert str(VISION_TOWER) in rows["CLIP tower"]
    assert "all that are needed" in rows["weights"]
    assert "inv_freq" in rows["not used"]
    assert "4bit" in rows["memory, GB"]


def test_info_knows_the_published_layouts(monkeypatch, capsys, copy):
    from dataclasses import replace

    from lisa_ros.model import inventory, published

    config = inventory.take_inventory(copy, VISION_TOWER).config
    monkeypatch.setitem(published.PUBLISHED, "tiny", replace(config, name="LISA-tiny-v1"))
    assert "as LISA-tiny-v1" in described(capsys, copy, "--vision-tower", VISION_TOWER)["layout"]


def test_info_says_that_a_picture_may_take_fewer_positions(capsys, copy):
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "lisa_ros": {"clip_fit": "unpad"}}))
    rows = described(capsys, copy, "--vision-tower", VISION_TOWER)
    assert "up to 256 positions" in rows["picture"] and "up to 290 positions" in rows["prompt"]


def test_info_says_what_is_not_here(capsys, copy):
    (copy / "tokenizer.model").unlink()
    tensors = torch.load(copy / "pytorch_model.bin", weights_only=True)
    tensors["model.surprise.weight"] = tensors.pop("model.norm.weight")
    torch.save(tensors, copy / "pytorch_model.bin")
    assert main(["info", str(copy)]) == 0
    out = " ".join(capsys.readouterr().out.split())  # the table wraps where the path is long
    assert "tokenizer.model is missing" in out
    assert "not on this machine; config.json names 'openai/clip-vit-large-patch14'" in out
    assert "2 that do not fit" in out
    assert "missing model.norm.weight" in out and "unexpected model.surprise.weight" in out


def test_verify_tells_known_files_from_unknown_and_wrong_ones(capsys, copy):
    assert "unknown" in described(capsys, copy, "--verify")["pytorch_model.bin"]
    names = ("pytorch_model.bin", "tokenizer.model", "config.json")
    (copy / "SHA256SUMS").write_text(sums_text({name: sha256_of(copy / name) for name in names}))
    rows = described(capsys, copy, "--verify")
    assert all(" ok " in rows[name] for name in names)
    with (copy / "pytorch_model.bin").open("r+b") as stream:
        stream.seek(10_000_000)
        stream.write(b"\x01\x02\x03\x04")
    with (copy / "SHA256SUMS").open("a") as sums:
        sums.write("0" * 64 + "  gone.bin\n")
    rows = described(capsys, copy, "--verify", status=1)
    assert " wrong " in rows["pytorch_model.bin"] and "missing" in rows["gone.bin"] and " ok " in rows["config.json"]


@pytest.mark.parametrize("cut", [1, 144, 250])
def test_cut_off_files_are_named(tmp_path, capsys, cut):
    assert main(["info", str(write_checkpoint(tmp_path / "m", cut=cut))]) == 1
    assert "model.safetensors" in capsys.readouterr().err


def test_a_folder_without_config_is_no_checkpoint(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == 1
    assert "config.json is missing" in capsys.readouterr().err


def test_a_model_that_is_nowhere_is_named(capsys):
    assert main(["info", "./no-such-model"]) == 1
    assert "no-such-model: no such directory" in capsys.readouterr().err


def test_the_digest_follows_the_content(tmp_path):
    folder = write_checkpoint(tmp_path / "m")
    before = digest(folder)
    assert digest(folder) == before
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] = 1
    (folder / "model.safetensors").write_bytes(data)
    assert digest(folder) != before


def test_parts_go_by_published_names():
    assert part_of("model.visual_model.mask_decoder.iou_token.weight") == "SAM mask decoder"
    assert part_of("model.layers.3.mlp.up_proj.weight") == "language model"
    assert part_of("something.else") == "other"
