"""A CLIP-type tower that sees larger pictures."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lisa_ros.model.config import CheckpointError, VisionConfig
from lisa_ros.training.mini.enlarge import POSITIONS, enlarge, interpolated, main

VISION = {"hidden_size": 2, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 16, "patch_size": 4}


@pytest.fixture
def folder(tmp_path):
    """Positions of 4 x 4 patches that say their row and column."""
    made = tmp_path / "towers"
    made.mkdir()
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    positions = torch.cat([torch.tensor([[7.0, -7.0]]), torch.stack([rows.flatten(), columns.flatten()], 1)])
    save_file({POSITIONS: positions.half(), "other": torch.ones(3)}, made / "model.safetensors")
    (made / "config.json").write_text(json.dumps({"vocab_size": 3, "lisa_ros": {"name": "x", "vision": VISION}}))
    (made / "SHA256SUMS").write_text("0" * 64 + "  model.safetensors\n")
    return made


def test_more_patches_stand_where_the_fewer_stood(folder, tmp_path):
    out = enlarge(folder, tmp_path / "larger", 32)
    config, tensors = json.loads((out / "config.json").read_text()), load_file(out / "model.safetensors")
    assert config == {"vocab_size": 3, "lisa_ros": {"name": "x", "vision": VISION | {"image_size": 32}}}
    positions = tensors[POSITIONS]
    assert positions.dtype == torch.float16 and positions.shape == (65, 2) and positions[0].tolist() == [7.0, -7.0]
    grid = positions[1:].reshape(8, 8, 2)
    inside = (torch.arange(8) + 0.5)[2:6] / 2 - 0.5  # middles of the small patches, in the large ones' numbers
    torch.testing.assert_close(grid[2:6, 2:6, 0].float(), inside[:, None].expand(4, 4), atol=0.1, rtol=0)
    torch.testing.assert_close(grid[2:6, 2:6, 1].float(), inside[None].expand(4, 4), atol=0.1, rtol=0)
    assert torch.equal(tensors["other"], torch.ones(3)) and not (out / "SHA256SUMS").exists()


def test_the_same_size_changes_nothing(folder):
    positions = load_file(folder / "model.safetensors")[POSITIONS]
    assert torch.equal(interpolated(positions, VisionConfig(**VISION)), positions)


def test_a_picture_that_patches_do_not_fill_is_refused(folder, tmp_path, capsys):
    assert main([str(folder), "--image-size", "30", "--out", str(tmp_path / "larger")]) == 1
    assert "--image-size 30: must be a multiple of the patches' 4 pixels" in capsys.readouterr().err
    assert not (tmp_path / "larger").exists()


@pytest.mark.parametrize("left", [None, b'{"lisa_ros": '])
@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_a_folder_without_a_whole_tower_is_refused(broken, left, folder, tmp_path):
    (folder / broken).unlink()
    if left:
        (folder / broken).write_bytes(left)
    with pytest.raises(CheckpointError, match="not a folder of lisa train or ship with a CLIP tower"):
        enlarge(folder, tmp_path / "larger", 32)
    assert not (tmp_path / "larger").exists()
