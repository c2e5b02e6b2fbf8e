"""Runs: the same however often they are cut off and however many processes share them; stopped, damaged and refused ones."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_runs import bench, losses, recipe, trained, written  # noqa: F401 - a fixture
from two_processes import run_in_two

from lisa_ros.datasets.example import DatasetError
from lisa_ros.training import losses as objectives
from lisa_ros.training import state, trainer
from lisa_ros.training.progress_log import ProgressLog
from lisa_ros.training.recipe import read_recipe
from lisa_ros.training.state import RunFolder
from lisa_ros.training.trainer import Stopped, Trainer, TrainingError


class PowerCut(Exception):
    pass


def run(bench, out, *, changes=(), **settings):  # noqa: F811
    out.mkdir(parents=True, exist_ok=True)
    read = read_recipe(written(bench, out / "recipe.yaml"), changes)
    return Trainer(read, out, say=lambda text: None, **settings).run()


@pytest.fixture(scope="module")
def straight(bench, tmp_path_factory):  # noqa: F811
    """A run of six updates that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    run(bench, out)
    return out


@pytest.fixture
def broken(bench, tmp_path, monkeypatch):  # noqa: F811
    """broken(error) -> a run whose fifth micro batch (of update 2) raises it; its last checkpoint is of update 2."""

    def start(error):
        calls, forward = 0, objectives.Objective.forward

        def cut(self, batch):
            nonlocal calls
            calls += 1
            if calls == 6:
                return error(self, batch)
            return forward(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(trainer.Objective, "forward", cut)
            run(bench, tmp_path / "run")

    return start


def raise_power_cut(_, __):
    raise PowerCut


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, msg=name, **(tolerance or {"rtol": 0, "atol": 0}))


def test_a_run_cut_off_ends_as_one_that_was_not(bench, straight, broken, tmp_path):  # noqa: F811
    with pytest.raises(PowerCut):
        broken(raise_power_cut)
    assert RunFolder(tmp_path / "run").progress().update == 2
    done = run(bench, tmp_path / "run")
    assert done.update == 6
    assert_same(trained(straight), trained(tmp_path / "run"))
    assert losses(straight)[-4:] == losses(tmp_path / "run")[-4:]


def test_a_finished_run_is_left_as_it_is(bench, straight):  # noqa: F811
    before = trained(straight)
    assert run(bench, straight).update == 6
    assert_same(before, trained(straight))


def test_readers_change_nothing(bench, straight, tmp_path):  # noqa: F811
    run(bench, tmp_path / "run", changes=["optimization.workers=2"])
    assert_same(trained(straight), trained(tmp_path / "run"))


def test_two_processes_learn_what_one_learns(bench, straight, tmp_path):  # noqa: F811
    path = written(bench, tmp_path / "recipe.yaml")
    words = ["-m", "lisa_ros.cli", "train", str(path), "--out", str(tmp_path / "run")]
    done = run_in_two(*words, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "run") == pytest.approx(losses(straight), abs=1e-5)
    assert_same(trained(straight), trained(tmp_path / "run"), rtol=1e-3, atol=1e-4)
    again = run(bench, tmp_path / "run", changes=["optimization.updates=8"], force=True)  # by one process
    assert again.update == 8


def test_recomputing_and_accumulating_change_nothing(bench, straight, tmp_path):  # noqa: F811
    run(bench, tmp_path / "run", changes=["optimization.gradient_checkpointing=false"])
    assert_same(trained(straight), trained(tmp_path / "run"), rtol=1e-4, atol=1e-6)


def test_features_from_the_disk_are_those_of_the_towers(bench, straight, tmp_path):  # noqa: F811
    changes = ["optimization.cache_features=features"]
    run(bench, tmp_path / "run", changes=changes)
    assert list((tmp_path / "run" / "features").rglob("*.safetensors"))
    assert losses(tmp_path / "run") == pytest.approx(losses(straight), abs=1e-5)
    for file in list((tmp_path / "run" / "features").rglob("*.safetensors"))[:2]:
        file.write_bytes(b"cut off")  # a full disk, long ago
    second = tmp_path / "second"
    run(bench, second, changes=[f"optimization.cache_features={tmp_path / 'run' / 'features'}"])
    assert losses(second) == pytest.approx(losses(straight), abs=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_pictures(broken, tmp_path):
    def poisoned(_, batch):
        value = torch.full((), float("nan"), requires_grad=True)
        return {"loss": value, "ce": value, "bce": value, "dice": value}

    with pytest.raises(
        TrainingError, match=r"update 2: the loss of .*\.(jpg|json).* is not finite.*holds the state of update 2"
    ):
        broken(poisoned)
    assert RunFolder(tmp_path / "run").progress().update == 2


def test_a_full_disk_keeps_the_checkpoint_before(bench, tmp_path, monkeypatch):  # noqa: F811
    real, calls = state.save_file, []

    def full(tensors, path, **settings):
        calls.append(path)
        if len(calls) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(state, "save_file", full)
        with pytest.raises(TrainingError, match="No space left.*last holds the one before.*make room"):
            run(bench, tmp_path / "run")
    assert RunFolder(tmp_path / "run").progress().update == 2
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
    assert run(bench, tmp_path / "run").update == 6


KILLED = """
import os, signal, sys
from lisa_ros.training import state
real, calls = state.save_file, []
def cut(tensors, path, **settings):
    calls.append(path)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    real(tensors, path, **settings)
state.save_file = cut
from lisa_ros.cli.main import main
main(sys.argv[1:])
"""


def test_killed_in_the_middle_of_a_save(bench, straight, tmp_path):  # noqa: F811
    path = written(bench, tmp_path / "recipe.yaml")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "train", str(path), "--out", str(tmp_path / "run")],
        timeout=120,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert RunFolder(tmp_path / "run").progress().update == 2
    run(bench, tmp_path / "run")
    assert_same(trained(straight), trained(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] >= ["000006"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later(bench, straight, tmp_path, monkeypatch, number):  # noqa: F811
    real = ProgressLog.losses

    def asked(self, update, values):
        if update == 3:
            os.kill(os.getpid(), number)
        return real(self, update, values)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressLog, "losses", asked)
        with pytest.raises(Stopped):
            run(bench, tmp_path / "run")
    assert RunFolder(tmp_path / "run").progress().update == 3
    run(bench, tmp_path / "run")
    assert_same(trained(straight), trained(tmp_path / "run"))


def test_another_recipe_is_refused_with_what_differs(bench, straight):  # noqa: F811
    with pytest.raises(TrainingError, match="optimization.lr differ.*--force"):
        run(bench, straight, changes=["optimization.lr=0.01"])
    with pytest.raises(TrainingError, match="data.groups.semantic.rate"):
        run(bench, straight, changes=["data.groups.semantic.rate=1"])


def test_a_batch_that_processes_cannot_share(bench, tmp_path):  # noqa: F811
    from lisa_ros.training.feed import Schedule

    how = read_recipe(written(bench, tmp_path / "recipe.yaml")).optimization
    with pytest.raises(ValueError, match="optimization.batch 4 cannot be shared by 3 processes"):
        Schedule(how, 0, 0, 3)


def test_micro_batches_are_the_same_for_any_number_of_processes(bench, tmp_path):  # noqa: F811
    from lisa_ros.training.feed import Schedule

    how = read_recipe(written(bench, tmp_path / "recipe.yaml", batch=8)).optimization
    alone = list(Schedule(how, 2, 0, 1))
    shared = [list(Schedule(how, 2, rank, 2)) for rank in range(2)]
    assert alone == [one for pair in zip(*shared) for one in pair]
    assert alone[0] == [16, 17] and alone[-1] == [46, 47]


@pytest.fixture
def damaged(bench, tmp_path):  # noqa: F811
    """Data in which one of six pictures of ADE20K is cut short."""
    root = shutil.copytree(bench / "data", tmp_path / "data")
    picture = sorted((root / "ade20k" / "images" / "training").iterdir())[0]
    picture.write_bytes(picture.read_bytes()[:500])
    return root, picture


def test_a_damaged_picture_stops_the_run(bench, damaged, tmp_path):  # noqa: F811
    root, picture = damaged
    with pytest.raises(DatasetError, match=picture.name):
        run(bench, tmp_path / "run", root=root)


def test_damaged_pictures_can_be_left_out(bench, damaged, tmp_path):  # noqa: F811
    root, picture = damaged
    assert run(bench, tmp_path / "run", root=root, skip_damaged=20).update == 6
    assert picture.name in (tmp_path / "run" / "damaged.txt").read_text()


def test_bfloat16(bench, tmp_path):  # noqa: F811
    path = written(bench, tmp_path / "recipe.yaml", precision="bf16", updates=2)
    command = [sys.executable, "-m", "lisa_ros.cli", "train", str(path), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command, timeout=120, capture_output=True, text=True, env={**os.environ, "ACCELERATE_USE_CPU": "true"}
    )
    assert done.returncode == 0, done.stderr
    assert len(losses(tmp_path / "run")) == 2 and "lisa merge" in done.stdout
    assert {value.dtype for value in trained(tmp_path / "run").values()} == {torch.float32}


def test_validation_scores_the_model_as_the_finished_one_is_scored(bench, straight, tmp_path):  # noqa: F811
    """The gIoU in the log is that of `lisa merge` and the evaluation afterwards."""
    from training_runs import log

    from lisa_ros.cli.main import main
    from lisa_ros.datasets.opening import open_evaluation_set
    from lisa_ros.engine import Engine
    from lisa_ros.evaluation.run import score_items
    from lisa_ros.evaluation.summary import summarise_rows

    assert main(["merge", str(straight / "last"), "--out", str(tmp_path / "merged"), "--dtype", "float32"]) == 0
    engine = Engine.load(tmp_path / "merged", dtype="float32")
    engine.min_target_probability = 0.0
    rows = score_items(engine, open_evaluation_set("reasonseg", bench / "data", "val"), limit=1)
    assert summarise_rows(rows).giou == pytest.approx(
        [row["giou"] for row in log(straight) if "giou" in row][-1], abs=1e-5
    )
    assert recipe(bench)["validation"]["limit"] == 1


def test_reasoning_alone_needs_no_referring_data(bench, tmp_path):  # noqa: F811
    """As config/train/finetune-239.yaml: nothing in it is of COCO, so nothing is looked up there."""
    root = tmp_path / "data"
    shutil.copytree(bench / "data" / "reason_seg", root / "reason_seg")
    only = [
        "data.groups={reasoning: {rate: 1, sets: [reasonseg]}}",
        "data.exclude_heldout=true",
        "optimization.updates=1",
    ]
    only += [f"data.groups.{name}=null" for name in ("semantic", "referring", "instruct")]
    assert run(bench, tmp_path / "run", root=root, changes=only).update == 1
