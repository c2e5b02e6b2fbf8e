"""`lisa train`: one command from recipe to run, and sentences where it cannot."""

import pytest
import yaml
from training_runs import bench, losses, recipe, written  # noqa: F401 - a fixture

from lisa_ros.cli.main import main


def test_a_run_says_how_to_make_a_checkpoint_of_it(bench, tmp_path, capsys):  # noqa: F811
    path = written(bench, tmp_path / "recipe.yaml", updates=2)
    assert main(["train", str(path), "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "2 updates, best gIoU" in out and f"lisa merge {tmp_path / 'run' / 'best'}" in out
    assert "trained:" in out and "embeddings" in out and "together" in out
    assert len(losses(tmp_path / "run")) == 2 and list((tmp_path / "run" / "tensorboard").iterdir())
    assert main(["merge", str(tmp_path / "run" / "last"), "--out", str(tmp_path / "merged")]) == 0


def test_checking_opens_everything_and_trains_nothing(bench, tmp_path):  # noqa: F811
    path = written(bench, tmp_path / "recipe.yaml")
    assert main(["train", str(path), "--out", str(tmp_path / "run"), "--check"]) == 0
    assert not (tmp_path / "run" / "log.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--data", "/nowhere"], 1, "/nowhere"),
        (["--set", "optimization.pace=3"], 1, "pace"),
        (["--set", "start.lisa=/no/model"], 1, "/no/model"),
        (["--set", "data.groups.semantic.sets=[ade]"], 1, 'no data set "ade"'),
        (["--skip-damaged", "-1"], 2, "--skip-damaged"),
    ],
)
def test_what_cannot_be_done_is_said(bench, tmp_path, capsys, arguments, status, said):  # noqa: F811
    path = written(bench, tmp_path / "recipe.yaml")
    assert main(["train", str(path), "--out", str(tmp_path / "run"), *arguments]) == status
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_a_recipe_that_is_not_there(capsys):
    assert main(["train", "nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err


def test_miniature_data_is_made_where_a_recipe_asks_for_it(bench, tmp_path):  # noqa: F811
    data = recipe(bench, updates=1)
    data["data"] = {**data["data"], "miniature": 4, "root": "data"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data))
    assert main(["train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "data" / "miniature.txt").is_file()


def test_recipes_in_stages_are_lisa_minis(tmp_path, capsys):
    (tmp_path / "mini.yaml").write_text("name: x\nstages: []\n")
    assert main(["train", str(tmp_path / "mini.yaml"), "--help"]) == 0
    assert "shards" in capsys.readouterr().out
