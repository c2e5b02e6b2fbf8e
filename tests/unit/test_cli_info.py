"""`lisa info` reads headers only, and says what is wrong with damaged files."""
from __future__ import annotations

import json
import pickle
import struct

import pytest

from lisa_ros.cli.checkpoint import digest, safetensors_header, tensor_headers
from lisa_ros.cli.info import part_of
from lisa_ros.cli.main import main

HEADER = {
    "__metadata__": {"format": "pt"},
    "lm_head.weight": {"dtype": "F16", "shape": [10, 4], "data_offsets": [0, 80]},
    "model.text_hidden_fcs.0.0.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [80, 144]},
}


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
    assert rows["language head"][-4:] == ["1", "40", "0.0", "F16"]
    assert rows["[SEG] projection"][-4:] == ["1", "16", "0.0", "F32"]
    assert rows["all"][1:3] == ["2", "56"]
    assert rows["sam.depth"][-1] == "2"
    assert "[10, 4]" in out


def test_info_reads_pytorch_files_without_running_them(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    folder = write_checkpoint(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": torch.zeros(3, 2, dtype=torch.bfloat16)}, folder / "pytorch_model.bin")
    assert [(t.name, t.dtype, t.shape) for t in tensor_headers(folder)] == [("lm_head.weight", "bfloat16", (3, 2))]
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return open, (str(marker), "w")

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile()))
    assert main(["info", str(folder)]) == 1
    assert "pytorch_model.bin" in capsys.readouterr().err
    assert not marker.exists()


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


def test_header_offsets_are_checked_against_the_file(tmp_path):
    folder = write_checkpoint(tmp_path / "m")
    assert [t.size for t in safetensors_header(folder / "model.safetensors")] == [40, 16]
