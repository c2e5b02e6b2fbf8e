"""Towers that see larger pictures."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lisa_ros.model.config import SAM_PREFIX, CheckpointError, VisionConfig
from lisa_ros.model.integrity import check_files
from lisa_ros.model.sam import Sam, SamConfig
from lisa_ros.training.mini.enlarge import POSITIONS, SAM_POSITIONS, enlarge, interpolated, main, stretched

VISION = {"hidden_size": 2, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 16, "patch_size": 4}
SAM = {"image_size": 32, "patch_size": 8, "width": 8, "depth": 2, "heads": 2, "window_size": 2, "global_attention": [1], "prompt_dim": 8, "decoder_heads": 2}


def sam_of(size):
    return Sam(SamConfig.from_json(SAM | {"image_size": size}))


@pytest.fixture
def folder(tmp_path):
    """Positions of 4 x 4 patches that say their row and column, and a SAM of as many."""
    made = tmp_path / "towers"
    made.mkdir()
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    positions = torch.cat([torch.tensor([[7.0, -7.0]]), torch.stack([rows.flatten(), columns.flatten()], 1)])
    sam = {SAM_PREFIX + name: torch.randn_like(value).half() for name, value in sam_of(32).state_dict().items()}
    save_file({POSITIONS: positions.half(), "other": torch.ones(3), **sam}, made / "model.safetensors")
    (made / "config.json").write_text(json.dumps({"vocab_size": 3, "lisa_ros": {"name": "x", "vision": VISION, "sam": SAM}}))
    (made / "README.md").write_text("# x\n")
    (made / "SHA256SUMS").write_text("0" * 64 + "  model.safetensors\n")
    return made


def test_more_patches_stand_where_the_fewer_stood(folder, tmp_path):
    out = enlarge(folder, tmp_path / "larger", 32)
    config, tensors = json.loads((out / "config.json").read_text()), load_file(out / "model.safetensors")
    assert config == {"vocab_size": 3, "lisa_ros": {"name": "x", "vision": VISION | {"image_size": 32}, "sam": SAM}}
    positions = tensors[POSITIONS]
    assert positions.dtype == torch.float16 and positions.shape == (65, 2) and positions[0].tolist() == [7.0, -7.0]
    grid = positions[1:].reshape(8, 8, 2)
    inside = (torch.arange(8) + 0.5)[2:6] / 2 - 0.5  # middles of the small patches, in the large ones' numbers
    torch.testing.assert_close(grid[2:6, 2:6, 0].float(), inside[:, None].expand(4, 4), atol=0.1, rtol=0)
    torch.testing.assert_close(grid[2:6, 2:6, 1].float(), inside[None].expand(4, 4), atol=0.1, rtol=0)
    assert torch.equal(tensors["other"], torch.ones(3))
    assert (out / "README.md").read_text() == "# x\n"
    assert [check.state for check in check_files([out / "model.safetensors", out / "config.json"])] == ["ok", "unknown"]


def test_the_same_size_changes_nothing(folder):
    positions = load_file(folder / "model.safetensors")[POSITIONS]
    assert torch.equal(interpolated(positions, VisionConfig(**VISION)), positions)


def test_a_larger_sam_is_whole_and_looks_as_far(folder, tmp_path):
    out = enlarge(folder, tmp_path / "larger", sam_image_size=48)
    before, after = (load_file(path / "model.safetensors") for path in (folder, out))
    sam = sam_of(48)
    sam.load_state_dict({name.removeprefix(SAM_PREFIX): value.float() for name, value in after.items() if name.startswith(SAM_PREFIX)})
    assert SamConfig.from_shapes({name: tuple(value.shape) for name, value in sam.state_dict().items()}).image_size == 48
    assert json.loads((out / "config.json").read_text())["lisa_ros"] == {"name": "x", "vision": VISION, "sam": SAM | {"image_size": 48}}
    changed = {name for name in before if before[name].shape != after[name].shape or not torch.equal(before[name], after[name])}
    assert changed == {SAM_POSITIONS, *(f"{SAM_PREFIX}image_encoder.blocks.1.attn.rel_pos_{axis}" for axis in "hw")}, "windows stay as they are"
    assert all(after[name].dtype == torch.float16 for name in changed)


def test_steps_to_both_sides_are_stretched_about_no_step():
    steps = torch.arange(-3.0, 4)[:, None]
    assert torch.allclose(stretched(steps, 11)[:, 0], torch.arange(-5.0, 6) * 3 / 5, atol=1e-6)
    assert torch.equal(stretched(steps, 7), steps)


@pytest.mark.parametrize(("part", "setting"), [("sam", {"global_attention": [7]}), ("sam", {"corners": 4}), ("vision", {"corners": 4})])
def test_sizes_that_are_not_those_of_the_weights_are_refused(part, setting, folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["lisa_ros"][part].update(setting)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="not a folder of lisa train or ship with towers"):
        enlarge(folder, tmp_path / "larger", sam_image_size=48)


def test_a_size_must_be_named(folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(folder), "--out", str(tmp_path / "larger")])
    assert "--sam-image-size" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["30", "-8", "0"])
def test_a_picture_that_sams_patches_do_not_fill_is_refused(size, folder, tmp_path, capsys):
    assert main([str(folder), "--sam-image-size", size, "--out", str(tmp_path / "larger")]) == 1
    assert f"--sam-image-size {size}: must be a multiple of the patches' 8 pixels" in capsys.readouterr().err
    assert not (tmp_path / "larger").exists()


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
    with pytest.raises(CheckpointError, match="not a folder of lisa train or ship with towers"):
        enlarge(folder, tmp_path / "larger", 32)
    assert not (tmp_path / "larger").exists()
