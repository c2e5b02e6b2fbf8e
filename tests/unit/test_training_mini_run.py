"""A training run that is cut off and started again ends with the weights of one that was not."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_model import MODEL

from lisa_ros.training.mini import run
from scannet_tools.synthetic import export

RECIPE = {
    "name": "tiny",
    "seed": 3,
    "vocabulary": 700,
    "model": MODEL,
    "stages": [
        {
            "name": "vision",
            "part": "vision",
            "images": 6,
            "batch": 2,
            "lr": 1.0e-3,
            "names": 3,
            "questions": 1,
            "dense_weight": 1.0,
        },
        {
            "name": "language",
            "part": "language",
            "images": 4,
            "batch": 2,
            "lr": 1.0e-3,
            "questions": 3,
            "align_weight": 1.0,
        },
        {
            "name": "whole",
            "part": "whole",
            "images": 8,
            "batch": 2,
            "lr": 1.0e-3,
            "questions": 3,
            "dense_weight": 0.3,
            "align_weight": 0.3,
        },
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shards")
    export.write_shard(directory, "train", 0, 12, 96, 72)
    return directory


def train(data, out, recipe=RECIPE):
    config = out.parent / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe))
    return run.main([str(config), "--data", str(data), "--out", str(out), "--save-every", "2"])


class PowerCut(Exception):
    pass


def test_a_run_cut_off_twice_ends_like_one_that_was_not(data, tmp_path, monkeypatch):
    assert train(data, tmp_path / "straight") == 0
    for updates in (2, 4):  # in the first stage after its first saved state, and in a later one
        calls = 0

        def cut(*arguments, collate=run.collate, updates=updates):
            nonlocal calls
            calls += 1
            if calls > updates:
                raise PowerCut
            return collate(*arguments)

        with monkeypatch.context() as patch, pytest.raises(PowerCut):
            patch.setattr(run, "collate", cut)
            train(data, tmp_path / "cut")
    assert train(data, tmp_path / "cut") == 0
    straight, cut = (load_file(tmp_path / name / "last" / "model.safetensors") for name in ("straight", "cut"))
    assert straight.keys() == cut.keys()
    for name, tensor in straight.items():
        torch.testing.assert_close(cut[name], tensor, msg=name)
    assert not list(tmp_path.rglob("*.part"))
    rows = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["vision", "language", "whole"]


def test_no_shards_and_bad_recipes_are_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert train(tmp_path / "empty", tmp_path / "run") == 1
    assert "no frames_*.npz" in capsys.readouterr().err
    assert train(tmp_path / "empty", tmp_path / "run", RECIPE | {"pace": 3}) == 1
    assert "recipe.yaml" in capsys.readouterr().err
