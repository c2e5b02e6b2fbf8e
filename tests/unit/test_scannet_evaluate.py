"""`scannet_tools evaluate` on scenes in ScanNet's formats. Only the model is replaced: by one that knows the truth."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import BROWSER, look_at
from scannet_oracle import SCENES, Oracle, everything, refuse, upper_half

from lisa_ros.cli.local_device import local_device
from lisa_ros.evaluation.packed_mask import pack_mask
from scannet_tools.cli import main
from scannet_tools.evaluation.part import Part
from scannet_tools.evaluation.rows import (
    FrameAnswer,
    KeptFrame,
    QuestionRow,
    SceneRow,
    read_row,
    row_path,
    write_row,
)
from scannet_tools.evaluation.settings import Settings
from scannet_tools.questions import read_questions, write_questions
from scannet_tools.scene import Scene
from scannet_tools.scores.vertices import VertexOverlap
from scannet_tools.synthetic.scannet import write_scene

pytest.importorskip("open3d")


@pytest.fixture
def row():
    mask = pack_mask(np.eye(4, dtype=bool))
    question = QuestionRow(
        "the “chair”", "explicit", (1, 3), 16, [FrameAnswer(0, 4, 4, 5, True, 0.75)], VertexOverlap(1, 2, 3), mask,
        KeptFrame(0, 0.8, mask, mask), KeptFrame(0, 0.8, mask, mask),
    )  # fmt: skip
    return SceneRow("scene0000_00", {"every": 2}, 1, 0, 3, [question], {"encode": [0.25]})


def test_a_row_comes_back_as_it_was(tmp_path, row):
    write_row(tmp_path, row)
    assert read_row(tmp_path, row.scene) == row
    assert [path.name for path in row_path(tmp_path, row.scene).parent.iterdir()] == ["scene0000_00.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"questions": [{}]}', '{"questions": [], "other": 1}'])
def test_what_is_no_row_counts_as_none(tmp_path, row, text):
    write_row(tmp_path, row)
    row_path(tmp_path, row.scene).write_text(text)
    assert read_row(tmp_path, row.scene) is None
    assert read_row(tmp_path, "scene0001_00") is None


def test_a_row_that_cannot_be_written_leaves_nothing(tmp_path, row, monkeypatch):
    write_row(tmp_path, row)
    before = row_path(tmp_path, row.scene).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    row.frames = 99
    with pytest.raises(OSError, match="scene0000_00.json.*No space left"):
        write_row(tmp_path, row)
    assert row_path(tmp_path, row.scene).read_bytes() == before
    assert len(list(row_path(tmp_path, row.scene).parent.iterdir())) == 1


def test_processes_share_the_scenes_without_overlap():
    scenes = [f"scene{n:04d}_00" for n in range(11)]
    parts = [Part.from_environment({"RANK": str(r), "WORLD_SIZE": "4", "LOCAL_RANK": str(r % 2)}) for r in range(4)]
    assert sorted(scene for part in parts for scene in part.of(scenes)) == scenes
    assert [part.local_rank for part in parts] == [0, 1, 0, 1]
    assert Part.from_environment({}).of(scenes) == scenes


@pytest.mark.parametrize("given", [("4", "4"), ("-1", "4"), ("x", "4"), ("0", "many")])
def test_nonsense_in_the_environment_is_refused(given):
    with pytest.raises(ValueError, match="RANK must be a number below WORLD_SIZE"):
        Part.from_environment(dict(zip(("RANK", "WORLD_SIZE"), given)))


def test_which_frames_are_asked():
    settings = Settings("m", "d", "cpu", "auto", "mask", every=3, max_frames=4)
    assert settings.frames(100) == [0, 3, 6, 9] and settings.frames(7) == [0, 3, 6]
    assert Settings("m", "d", "cpu", "auto", "mask").frames(3) == [0, 1, 2]


RUNNER = Path(__file__).with_name("evaluate_with_oracle.py")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Two annotated scenes of six frames, one without a pose in each, and one scene as the test set has them."""
    folder = tmp_path_factory.mktemp("scannet")
    for seed in (1, 3):
        write_scene(folder, seed, frames=6, width=160, height=120, lost=1)
    write_scene(folder, 1, frames=1, width=160, height=120, annotated=False)
    return folder


@pytest.fixture
def scenes(written, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "scannet"))


@pytest.fixture
def oracle(written, monkeypatch) -> Oracle:
    """The engine that every load gives."""
    engine = Oracle(written)
    monkeypatch.setattr("lisa_ros.cli.model.load_engine", lambda options: engine)
    return engine


def evaluate(path, out, *options) -> int:
    return main(["evaluate", str(path), "--out", str(out), *map(str, options)])


def scores(out) -> dict:
    return json.loads((out / "scores.json").read_text())


def without_seconds(figures: dict) -> dict:
    return {name: value for name, value in figures.items() if name != "seconds"}


def questions_of(path, scene="scene9001_00"):
    return read_questions(path / "scans" / scene / "questions.jsonl")


def test_true_answers_get_full_marks(written, tmp_path, oracle, capsys):
    assert evaluate(written, tmp_path / "out") == 0
    figures = scores(tmp_path / "out")
    overall = figures["kinds"]["overall"]
    assert (figures["scenes"], figures["frames"], figures["without_pose"]) == (2, 10, 2)
    assert overall["giou"] == pytest.approx(1, abs=1e-4) and overall["ciou"] == pytest.approx(1)
    assert overall["false_refusals"] == 0 and figures["absent"]["refused"] == 1 and figures["absent"]["empty"] == 1
    assert overall["precision"] > 0.8 and overall["seen"] > 5
    assert figures["seconds"]["ask"] == {"p50": 0.5, "p95": 0.5, "count": 10}  # once a frame, however many questions
    assert oracle.encoded_frames == 10
    assert "without annotation (test scans) are left out" in capsys.readouterr().out


def test_every_question_is_asked_on_every_frame_with_a_pose(written, tmp_path, oracle):
    evaluate(written, tmp_path / "out", "--every", 2)
    row = read_row(tmp_path / "out", "scene9001_00")
    with Scene(written / "scans" / "scene9001_00").open_sens() as sens:
        posed = [number for number in range(0, len(sens), 2) if sens.pose_valid()[number]]
    assert [one.question for one in row.questions] == [one.question for one in questions_of(written)]
    assert all([answer.frame for answer in one.answers] == posed for one in row.questions)
    assert row.without_pose == 3 - len(posed)


def test_errors_cost_what_they_should(written, tmp_path, monkeypatch):
    questions = questions_of(written)
    refused, halved = [one for one in questions if one.kind == "explicit"][:2]
    alarmed = next(one for one in questions if one.kind == "absent")
    wrong = {refused.question: refuse, halved.question: upper_half, alarmed.question: everything}
    monkeypatch.setattr("lisa_ros.cli.model.load_engine", lambda options: Oracle(written, wrong))
    assert evaluate(written, tmp_path / "out", "--scenes", "scene9001_00") == 0
    figures = scores(tmp_path / "out")
    of = {one["question"]: one for one in figures["questions"]}
    assert of[refused.question]["giou"] == 0 and of[refused.question]["refused"] == of[refused.question]["in_view"] > 0
    assert of[refused.question]["vertex_iou"] == 0 and of[refused.question]["precision"] == 0
    scene, ious = Scene(written / "scans" / "scene9001_00"), []
    with scene.open_sens() as sens:
        for number in np.flatnonzero(sens.pose_valid()):
            true = np.isin(scene.instance_image(int(number)), halved.targets)
            if true.mean() >= 0.003:
                ious.append(np.count_nonzero(true[: len(true) // 2]) / np.count_nonzero(true))
    assert of[halved.question]["giou"] == pytest.approx(np.mean(ious), abs=1e-4) and 0 < np.mean(ious) < 1
    absent = [one for one in questions if one.kind == "absent"]
    assert figures["absent"]["refused"] == pytest.approx(1 - 1 / len(absent))
    assert figures["absent"]["empty"] == pytest.approx(1 - 1 / len(absent))
    assert "False alarms" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_shows_the_report(written, tmp_path, oracle):
    assert evaluate(written, tmp_path / "out", "--max", 3) == 0
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    seen = look_at(text, tmp_path, 1280)
    assert seen["pictures"] == text.count("<img") == 4 * text.count('class="case"') > 10  # frame, target, answer, mesh
    assert seen["plots"] == 4 and seen["overflow"] <= 0


def test_processes_of_one_machine_share_its_gpus(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [local_device("auto", number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert local_device("cpu", 1) == "cpu" and local_device("cuda:1", 0) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device("auto", 1) == "auto"


def test_the_rendered_truth_agrees_with_the_pictures(written, tmp_path, oracle):
    assert evaluate(written, tmp_path / "out", "--truth", "mesh", "--scenes", "scene9001_00", "--in-view", 3) == 0
    assert scores(tmp_path / "out")["kinds"]["overall"]["giou"] > 0.7


def test_a_second_run_asks_nothing(written, tmp_path, oracle, monkeypatch):
    assert evaluate(written, tmp_path / "out", "--max", 3) == 0
    first = scores(tmp_path / "out")
    monkeypatch.setattr("lisa_ros.cli.model.load_engine", lambda options: pytest.fail("the model was loaded"))
    assert evaluate(written, tmp_path / "out", "--max", 3) == 0
    assert scores(tmp_path / "out") == first


def test_other_settings_ask_again(written, tmp_path, oracle):
    for options, frames in ((("--max", 3), 6), (("--max", 2), 4), (("--max", 2, "--mode", "chat"), 4)):
        before = oracle.encoded_frames
        assert evaluate(written, tmp_path / "out", *options) == 0
        lost = scores(tmp_path / "out")["without_pose"]
        assert oracle.encoded_frames - before == frames - lost


def test_a_scene_that_was_changed_is_asked_again_and_the_others_are_not(scenes, tmp_path, oracle):
    assert evaluate(scenes, tmp_path / "out", "--max", 2) == 0
    oracle.asked.clear()
    path = scenes / "scans" / "scene9001_00" / "questions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert evaluate(scenes, tmp_path / "out", "--max", 2) == 0
    assert set(oracle.asked) == {one.question for one in questions_of(scenes)}


def test_an_interrupted_run_goes_on(written, tmp_path, oracle, monkeypatch):
    ask = oracle.ask

    def interrupted(encoded, queries, **options):
        if encoded[0].name == "scene9003_00":
            raise KeyboardInterrupt
        return ask(encoded, queries, **options)

    monkeypatch.setattr(oracle, "ask", interrupted)
    assert evaluate(written, tmp_path / "out") == 130
    assert [path.name for path in (tmp_path / "out" / "rows").iterdir()] == ["scene9001_00.json"]
    assert not (tmp_path / "out" / "scores.json").exists()
    monkeypatch.setattr(oracle, "ask", ask)
    oracle.encoded_frames = 0
    assert evaluate(written, tmp_path / "out") == 0
    assert oracle.encoded_frames == 5


def test_a_scene_that_cannot_be_read_is_left_out_and_tried_again(scenes, tmp_path, oracle, capsys):
    damaged = scenes / "scans" / "scene9003_00" / "scene9003_00.aggregation.json"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    assert evaluate(scenes, tmp_path / "out", "--max", 2) == 1
    assert "scene9003_00: left out" in capsys.readouterr().out
    figures = scores(tmp_path / "out")
    assert figures["scenes"] == 1 and "aggregation.json" in figures["failed"]["scene9003_00"]
    assert "1 scene left out" in (tmp_path / "out" / "report.html").read_text()
    damaged.write_bytes(whole)
    assert evaluate(scenes, tmp_path / "out", "--max", 2) == 0
    assert scores(tmp_path / "out")["scenes"] == 2


def test_a_scene_that_failed_is_tried_again_though_nothing_in_it_changed(written, tmp_path, oracle, monkeypatch):
    def too_long(encoded, queries, **options):
        raise ValueError("the prompt is too long")

    with monkeypatch.context() as patch:
        patch.setattr(oracle, "ask", too_long)
        assert evaluate(written, tmp_path / "out", "--max", 1) == 1
    assert set(scores(tmp_path / "out")["failed"].values()) == {"the prompt is too long"}
    assert evaluate(written, tmp_path / "out", "--max", 1) == 0
    assert scores(tmp_path / "out")["scenes"] == 2


def test_other_questions_of_a_file_ask_again(written, tmp_path, oracle):
    first, second = questions_of(written)[:2]
    for question in (first, second):
        write_questions(tmp_path / "mine.jsonl", [question])
        assert evaluate(written, tmp_path / "out", "--questions", tmp_path / "mine.jsonl", "--max", 1) == 0
        assert [one["question"] for one in scores(tmp_path / "out")["questions"]] == [question.question]


def test_questions_of_a_file_choose_the_scenes(written, tmp_path, oracle):
    file = tmp_path / "mine.jsonl"
    one = questions_of(written, "scene9003_00")[0]
    write_questions(file, [one])
    assert evaluate(written, tmp_path / "out", "--questions", file) == 0
    figures = scores(tmp_path / "out")
    assert [(q["scene"], q["question"]) for q in figures["questions"]] == [("scene9003_00", one.question)]


def test_a_scene_without_questions_gets_some_from_its_annotation(scenes, tmp_path, oracle):
    (scenes / "scans" / "scene9001_00" / "questions.jsonl").unlink()
    assert evaluate(scenes, tmp_path / "out", "--scenes", "scene9001_00", "--max", 1) == 0
    assert len(scores(tmp_path / "out")["questions"]) > 2
    (scenes / "scannetv2-labels.combined.tsv").unlink()
    assert evaluate(scenes, tmp_path / "out", "--scenes", "scene9001_00", "--max", 1) == 1
    assert "--labels" in scores(tmp_path / "out")["failed"]["scene9001_00"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--every", "0"), "--every is 0: give 1 or more"),
        (("--jobs", "0"), "--jobs is 0"),
        (("--max", "-1"), "--max is -1"),
        (("--in-view", "101"), "--in-view is 101.0: give 0 to 100"),
        (("--scenes", "scene0000_00"), "no scene scene0000_00"),
        (("--scenes", "scene9501_00"), "no annotated scene"),
        (("--model", "nowhere"), "nowhere: no such directory"),
    ],
)
def test_what_cannot_be_done_is_said(written, tmp_path, capsys, options, said):
    assert evaluate(written, tmp_path / "out", *options) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_ends_the_run(written, tmp_path, oracle, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert evaluate(written, tmp_path / "out", "--max", 1) == 1
    assert "scene9001_00.json: cannot be written: No space left" in capsys.readouterr().err
    assert list((tmp_path / "out" / "rows").iterdir()) == []


def run_oracle(written, *arguments, **environment) -> subprocess.CompletedProcess:
    env = {**os.environ, SCENES: str(written), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, str(RUNNER), "evaluate", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_several_processes_count_every_scene_once(written, tmp_path, oracle):
    assert evaluate(written, tmp_path / "one", "--max", 3) == 0
    done = run_oracle(written, written, "--out", tmp_path / "two", "--max", 3, "--jobs", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert without_seconds(scores(tmp_path / "two")) == without_seconds(scores(tmp_path / "one"))
    assert scores(tmp_path / "two")["seconds"]["encode"]["count"] == scores(tmp_path / "one")["frames"]


def test_as_accelerate_starts_them_the_last_process_makes_the_report(written, tmp_path):
    for rank, makes_it in ((1, False), (0, True)):
        done = run_oracle(
            written, written, "--out", tmp_path, "--max", 1, RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK="0"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "report.html").exists() == makes_it
    assert scores(tmp_path)["scenes"] == 2


def test_jobs_and_accelerate_do_not_mix(written, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert evaluate(written, tmp_path / "out", "--jobs", 2) == 1
    assert "use one of them" in capsys.readouterr().err
