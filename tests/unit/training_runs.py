"""For tests of training: a LISA that trains in milliseconds, miniature data, and recipes of a few updates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from tiny_model import tiny_lisa

from lisa_ros.datasets.miniature import write_miniature
from lisa_ros.model.checkpoint import save_checkpoint
from lisa_ros.model.shards import read_tensors
from lisa_ros.training.mini.vocabulary import write_tokenizer

GROUPS = {
    "semantic": {"rate": 9, "sets": ["ade20k", "paco_lvis"]},
    "referring": {"rate": 3, "sets": ["refcoco"]},
    "instruct": {"rate": 3, "sets": ["llava_instruct_150k"]},
    "reasoning": {"rate": 1, "sets": ["reasonseg"]},
}


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """A folder with model/, data/ and the recipe that belongs to them."""
    folder = tmp_path_factory.mktemp("training")
    size = write_tokenizer(folder / "tokenizer", 700)
    save_checkpoint(tiny_lisa(size), folder / "tokenizer", folder / "model")
    write_miniature(folder / "data", frames=6, width=96, height=72)
    return folder


def recipe(bench: Path, **optimization) -> dict:
    settings = {
        "lr": 1e-3,
        "warmup": 2,
        "updates": 6,
        "batch": 4,
        "micro_batch": 2,
        "precision": "no",
        "workers": 0,
        "save_every": 2,
    }
    return {
        "name": "tiny",
        "seed": 5,
        "start": {"lisa": str(bench / "model")},
        "data": {"root": str(bench / "data"), "exclude_heldout": False, "groups": GROUPS},
        "optimization": settings | optimization,
        "validation": {"every": 3, "limit": 1},
    }


def written(bench: Path, path: Path, **optimization) -> Path:
    path.write_text(yaml.safe_dump(recipe(bench, **optimization)), encoding="utf-8")
    return path


def trained(run: Path) -> dict[str, torch.Tensor]:
    """All that a run has learned."""
    return {
        name: value.clone()
        for file in sorted((run / "last").glob("*.safetensors"))
        for name, value in read_tensors(file)
    }


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in log(run) if "loss" in row]
