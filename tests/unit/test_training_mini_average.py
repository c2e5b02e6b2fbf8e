"""The mean of two language models' adapters."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from lisa_ros.model.config import CheckpointError
from lisa_ros.model.integrity import check_files
from lisa_ros.training.mini.average import average, main

A, B = "model.layers.0.lora_A.weight", "model.layers.0.lora_B.weight"


def shipped(folder, value, width=4, config='{"r": 2}'):
    folder.mkdir()
    save_file({A: torch.full((2, width), value).half(), B: torch.full((width, 2), -value).half()}, folder / "adapter_model.safetensors")
    save_file({"lm_head.rows": torch.full((3, 2), value).half(), "model.visual_model.x": torch.full((2,), value)}, folder / "model.safetensors")
    (folder / "adapter_config.json").write_text(config)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text(f"# {value}\n")
    return folder


def test_adapters_and_rows_are_means_and_the_rest_is_the_firsts(tmp_path):
    first, second = shipped(tmp_path / "a", 1.0), shipped(tmp_path / "b", 3.0)
    out = average(first, second, tmp_path / "mean")
    adapters, weights = (load_file(out / f"{name}.safetensors") for name in ("adapter_model", "model"))
    assert adapters[A].eq(2).all() and adapters[B].eq(-2).all() and adapters[A].dtype == torch.float16
    assert weights["lm_head.rows"].eq(2).all() and weights["model.visual_model.x"].eq(1).all()
    assert (out / "README.md").read_text() == "# 1.0\n" and (out / "config.json").read_text() == "{}"
    states = [check.state for check in check_files([out / name for name in ("model.safetensors", "adapter_model.safetensors", "config.json")])]
    assert states == ["ok", "ok", "unknown"]


@pytest.mark.parametrize(("other", "said"), [({"width": 5}, "not of the same layers and sizes"), ({"config": '{"r": 4}'}, "adapter_config.json differ")])
def test_models_that_were_adapted_differently_have_no_mean(other, said, tmp_path, capsys):
    first, second = shipped(tmp_path / "a", 1.0), shipped(tmp_path / "b", 3.0, **other)
    assert main([str(first), str(second), "--out", str(tmp_path / "mean")]) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "mean").exists()


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "model.safetensors", "adapter_config.json"])
def test_a_folder_that_was_not_shipped_is_named(file, tmp_path):
    first, second = shipped(tmp_path / "a", 1.0), shipped(tmp_path / "b", 3.0)
    (second / file).unlink()
    with pytest.raises(CheckpointError, match=rf"b: not what .*ship wrote \({file}"):
        average(first, second, tmp_path / "mean")
