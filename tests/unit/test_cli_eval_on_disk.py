"""`lisa eval reasonseg` and `refcoco` whole: miniature data in the official layout, lisa-mini, two real processes."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest
from fakes import ColorEngine
from two_processes import run_in_two

from lisa_ros.cli import eval_sets
from lisa_ros.cli.main import main
from lisa_ros.datasets.miniature import write_miniature


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "miniature"
    write_miniature(folder, frames=12)
    return folder


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def figures(folder):
    values = json.loads((folder / "scores.json").read_text())
    return {name: values[name] for name in ("giou", "ciou", "n", "pictures", "by_kind", "no_target_accuracy")}


def test_two_processes_started_by_torch_come_to_the_figures_of_one(root, tmp_path):
    words = ["eval", "reasonseg", "--data", str(root), "--dtype", "float32", "--device", "cpu", "--out"]
    done = run_in_two("-m", "lisa_ros.cli", *words, str(tmp_path / "two"), PYTHONPATH=os.pathsep.join(sys.path))
    assert done.returncode == 0, done.stderr
    two = tmp_path / "two" / "reasonseg-val"
    assert {file.name for file in two.iterdir()} >= {"rows.0-of-2.jsonl", "rows.1-of-2.jsonl", "report.html"}
    assert main([*words, str(tmp_path / "one")]) == 0
    ours, theirs = figures(tmp_path / "one" / "reasonseg-val"), figures(two)
    assert ours["pictures"] == theirs["pictures"] == 3 and ours["n"] == theirs["n"] == 3
    assert ours["giou"] == pytest.approx(theirs["giou"], abs=5e-3) and ours["giou"] > 0


@pytest.mark.parametrize("mode", ["mask", "chat"])
def test_grefcoco_counts_refusals_of_absent_targets(root, tmp_path, mode, capsys):
    words = ["eval", "refcoco", "--set", "grefcoco", "--data", str(root), "--mode", mode, "--limit", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    scores = json.loads((tmp_path / "grefcoco-val" / "scores.json").read_text())
    assert (scores["mode"], scores["pictures"], scores["wording"]) == (mode, 1, "model")
    absent = scores["by_kind"]["no-target"]["n"]
    assert scores["no_target_n"] == absent > 0 and scores["n"] > absent
    assert scores["no_target_accuracy"] is not None and scores["paper"] is None
    assert "N-acc" in capsys.readouterr().out


def test_every_expression_of_a_picture_is_asked_together(root, tmp_path, monkeypatch):
    engine = ColorEngine()
    monkeypatch.setattr(eval_sets, "load_engine", lambda args: engine)
    assert main(["eval", "refcoco", "--data", str(root), "--wording", "lisa", "--out", str(tmp_path)]) == 0
    samples = json.loads((tmp_path / "refcoco-val" / "samples.json").read_text())["samples"]
    assert engine.encoded_frames == len(samples) and len(samples[0]["answers"]) > 1
    assert all(
        answer["query"].startswith("What is ")
        and answer["query"].endswith(" in this image? Please output segmentation mask.")
        for sample in samples
        for answer in sample["answers"]
    )


def test_missing_and_damaged_files_are_named(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(eval_sets, "load_engine", lambda args: ColorEngine())
    shutil.copytree(root / "reason_seg", tmp_path / "reason_seg")
    words = ["eval", "reasonseg", "--data", str(tmp_path)]
    picture = sorted((tmp_path / "reason_seg" / "ReasonSeg" / "val").glob("*.jpg"))[1]
    picture.write_bytes(picture.read_bytes()[:500])
    assert main(words) == 1
    assert str(picture) in capsys.readouterr().err
    picture.unlink()
    assert main(words) == 1
    assert f"put {picture.name} into {picture.parent}" in capsys.readouterr().err
    shutil.rmtree(picture.parent)
    assert main(words) == 1
    assert str(picture.parent) in capsys.readouterr().err
    assert main(["eval", "refcoco", "--data", str(tmp_path)]) == 1
    assert str(tmp_path / "refer_seg" / "refcoco") in capsys.readouterr().err
