"""`lisa eval reasonseg`, `refcoco` and `synthetic` with a stand-in for the model: what they print, write and refuse."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from evaluate_boxes import opening
from fakes import ColorEngine, Question, boxes_frame

from lisa_ros.cli import checkpoint, eval_sets
from lisa_ros.cli import eval as eval_command
from lisa_ros.cli.errors import CommandError
from lisa_ros.cli.main import main
from lisa_ros.cli.model import load_engine
from lisa_ros.datasets.example import DatasetError

BOXES = Path(__file__).parent / "evaluate_boxes.py"


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setitem(sys.modules, "lisa_ros.datasets.opening", opening)
    monkeypatch.setattr(eval_sets, "load_engine", lambda args: ColorEngine())
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def in_process(rank, world, *words):
    """`lisa ...` as `accelerate launch` starts process `rank` of `world`."""
    environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": "0", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, str(BOXES), *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_reasonseg_prints_short_long_and_overall(tmp_path, capsys):
    assert main(["eval", "reasonseg", "--data", str(tmp_path), "--wording", "lisa"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[2]: line.split()[3:] for line in printed.splitlines() if line.startswith("reasonseg val")}
    assert rows["short"][:3] == ["10", "1.0000", "1.0000"]
    assert rows["long"][:2] == ["10", "0.2500"]
    assert rows["overall"][:2] == ["20", "0.6250"] and rows["overall"][3:] == ["1.0000", "0.6667"]
    assert "LISA's protocol: ignored regions count in no score" in printed and "wording: lisa" in printed
    assert "trained on ReasonSeg train and val" in printed.replace("\n", " ")


def test_every_split_gets_a_folder_and_a_second_call_asks_nothing(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    words = [
        "eval",
        "refcoco",
        "--set",
        "refcoco+",
        "--split",
        "val",
        "testA",
        "--data",
        str(tmp_path),
        "--out",
        str(out),
    ]
    assert main(words) == 0
    assert sorted(folder.name for folder in out.iterdir()) == ["refcoco+-testA", "refcoco+-val"]
    written = {file.name for file in (out / "refcoco+-val").iterdir()}
    assert written == {"rows.jsonl", "samples.json", "scores.json", "report.html"}
    first = json.loads((out / "refcoco+-testA" / "scores.json").read_text())
    assert (first["split"], first["n"], first["protocol"]) == ("testA", 20, "lisa")
    silent = ColorEngine()
    monkeypatch.setattr(eval_sets, "load_engine", lambda args: silent)
    assert main(words) == 0 and silent.encoded_frames == 0
    assert "refcoco+ testA" in capsys.readouterr().out
    assert json.loads((out / "refcoco+-testA" / "scores.json").read_text()) == first


def test_other_settings_are_refused_with_what_differs(tmp_path, capsys):
    words = ["eval", "reasonseg", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--limit", "2"]
    assert main(words) == 0
    assert main([*words, "--protocol", "plain"]) == 1
    said = capsys.readouterr().err
    assert (
        "rows.jsonl: holds rows of another run (protocol was 'lisa', is 'plain')" in said
        and "give another folder" in said
    )


def test_another_checkpoint_is_refused(tmp_path, capsys, monkeypatch):
    words = ["eval", "reasonseg", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--limit", "1"]
    assert main(words) == 0
    monkeypatch.setattr(checkpoint, "digest", lambda folder: "other")
    assert main(words) == 1
    assert "engine_digest was" in capsys.readouterr().err


def test_a_limited_run_goes_on_without_the_limit(tmp_path, capsys):
    words = ["eval", "reasonseg", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "--limit", "2"]) == 0
    scores = tmp_path / "out" / "reasonseg-val" / "scores.json"
    assert json.loads(scores.read_text())["pictures"] == 2
    assert "of 2 of the 5 pictures only" in (scores.parent / "report.html").read_text()
    assert main(words) == 0
    assert json.loads(scores.read_text())["pictures"] == 5


@pytest.mark.parametrize(("template", "wording"), [(None, "lisa"), ("{query}", "model")])
def test_auto_wording_follows_the_checkpoints_template(tmp_path, capsys, monkeypatch, template, wording):
    own = {} if template is None else {"lisa_ros": {"query_template": template}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    monkeypatch.setattr(checkpoint, "locate", lambda model: tmp_path)
    assert main(["eval", "reasonseg", "--data", str(tmp_path), "--limit", "1"]) == 0
    assert f"wording: {wording}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["reasonseg", "--data", "nowhere"], "--data nowhere: no such folder", 1),
        (["reasonseg", "--data", ".", "--limit", "0"], "--limit is 0", 2),
        (
            ["refcoco", "--set", "refcocog", "--split", "testA", "--data", "."],
            "--split testA: refcocog has val, test",
            2,
        ),
        (["reasonseg", "--data", ".", "--out", str(BOXES)], "evaluate_boxes.py is a file: give a folder", 2),
        (["reasonseg", "--data", ".", "--model", "no/such/model"], "no/such/model: no such directory", 1),
        (["reasonseg", "--split", "val"], "--data", 2),
        ([], "WHAT", 2),
    ],
)
def test_what_cannot_be_done_is_said(capsys, words, said, status):
    assert main(["eval", *words]) == status
    assert said in capsys.readouterr().err


def test_an_error_of_the_data_set_ends_the_command(tmp_path, capsys, monkeypatch):
    def missing(name, root, split):
        raise DatasetError(f"{root}/reason_seg/ReasonSeg/{split}: no such folder; download ReasonSeg")

    monkeypatch.setattr(opening, "open_evaluation_set", missing)
    assert main(["eval", "reasonseg", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("ReasonSeg/val: no such folder; download ReasonSeg\n")


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "reasonseg-val").write_text("a file in the way")
    assert main(["eval", "reasonseg", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "reasonseg-val" in capsys.readouterr().err


def test_two_processes_score_every_picture_once(tmp_path, capsys):
    words = ("eval", "reasonseg", "--data", tmp_path, "--out", tmp_path / "two")
    processes = [in_process(rank, 2, *words) for rank in range(2)]
    said = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert any("report.html" in out for out, _ in said)
    folder = tmp_path / "two" / "reasonseg-val"
    indices = [
        [json.loads(line)["index"] for line in (folder / f"rows.{rank}-of-2.jsonl").read_text().splitlines()[1:]]
        for rank in range(2)
    ]
    assert indices == [[0, 2, 4], [1, 3]]
    assert main(["eval", "reasonseg", "--data", str(tmp_path), "--out", str(tmp_path / "one")]) == 0
    one, two = (json.loads((tmp_path / n / "reasonseg-val" / "scores.json").read_text()) for n in ("one", "two"))
    del one["seconds"], two["seconds"]
    assert one == two and two["pictures"] == 5


def test_the_process_that_is_done_first_leaves_the_report_to_the_last(tmp_path):
    words = ("eval", "reasonseg", "--data", tmp_path, "--out", tmp_path / "out")
    for rank, makes_it in ((1, False), (0, True)):
        process = in_process(rank, 2, *words)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert (tmp_path / "out" / "reasonseg-val" / "report.html").exists() == makes_it
        assert ("process 1 of 2 is done" in out) == (not makes_it)


def test_several_processes_need_a_folder(tmp_path):
    process = in_process(0, 2, "eval", "reasonseg", "--data", tmp_path)
    assert "give --out DIR" in process.communicate(timeout=600)[1] and process.returncode == 2


class Scenes:
    """`lisa eval synthetic` on frames of boxes. loaded: the flag of every model that was loaded, in order."""

    def __init__(self, monkeypatch, folder: Path) -> None:
        self.loaded: list[str] = []
        self.engines: list[ColorEngine] = []
        monkeypatch.setitem(sys.modules, "scannet_tools.synthetic", SimpleNamespace(make_frame=boxes_frame))
        monkeypatch.setattr(checkpoint, "locate", lambda model: folder / "checkpoint")
        (folder / "checkpoint").mkdir()
        monkeypatch.setattr(eval_command, "load_engine", self.load)

    def load(self, args, flag: str = "model") -> ColorEngine:
        self.loaded.append(flag)
        self.engines.append(ColorEngine())
        self.engines[-1].name = getattr(args, flag)
        return self.engines[-1]


@pytest.fixture
def scenes(monkeypatch, tmp_path):
    return Scenes(monkeypatch, tmp_path)


def test_synthetic_writes_figures_of_the_model_the_blind_one_and_another(tmp_path, capsys, scenes):
    out, page = tmp_path / "eval.json", tmp_path / "pages" / "eval.html"
    words = ["eval", "synthetic", "--count", "3", "--blind", "--beside", "older", "--json", str(out), "--page", str(page)]
    assert main(words) == 0
    printed, report = capsys.readouterr().out, json.loads(out.read_text())
    assert scenes.loaded == ["model", "beside"]
    assert (report["model"], report["beside"]["model"]) == ("lisa-mini", "older")
    assert report["beside"]["kinds"] == report["kinds"] and "blind" not in report["beside"]
    assert report["blind"]["kinds"]["overall"] == {"giou": 0.0, "ciou": 0.0, "n": 12}
    assert report["seconds"]["first_query"]["n"] == 3 and report["seconds"]["further_query"]["p95"] > 0
    assert 0 < report["memory_mb"] <= report["memory_with_scenes_mb"]
    assert sum(one["n"] for one in report["calibration"]["bins"]) == 15
    for name in ("eval.rows.jsonl", "eval.beside.rows.jsonl"):
        assert len((tmp_path / name).read_text().splitlines()) == 4
    assert "beside: older; it refuses 100.0 % of the absent and 25.0 % of the present ones" in printed
    assert "asked one at a time: first query" in printed and "peak memory:" in printed and "held-out use" not in printed
    header = next(line for line in printed.splitlines() if line.lstrip().startswith("question"))
    assert header.split()[:6] == ["question", "n", "gIoU", "cIoU", "blind", "beside"]
    assert "Beside the goals" in page.read_text()


def test_a_second_synthetic_call_asks_neither_model_again(tmp_path, scenes):
    words = ["eval", "synthetic", "--count", "2", "--beside", "older", "--json", str(tmp_path / "eval.json")]
    assert main(words) == 0
    first = [engine.encoded_frames for engine in scenes.engines]
    assert main(words) == 0
    again = [engine.encoded_frames for engine in scenes.engines[2:]]
    assert [a - b for a, b in zip(first, again)] == [2, 2] and again[1] == 0


def test_synthetic_asks_a_handwritten_list(tmp_path, monkeypatch, scenes):
    lists = {5: [Question("red, please", "explicit", (2,))], 9: [Question("white?", "absent", ())]}
    monkeypatch.setitem(sys.modules, "lisa_ros.evaluation.handwritten", SimpleNamespace(questions=lambda: lists))
    out = tmp_path / "eval.json"
    assert main(["eval", "synthetic", "--questions", "handwritten", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["questions"], report["count"], report["seed"]) == ("handwritten", 2, 5)
    assert report["kinds"]["overall"]["n"] == report["absent_n"] == 1
    assert main(["eval", "synthetic", "--questions", "handwritten", "--count", "1", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["count"] == 1


def test_a_handwritten_list_that_cannot_be_used_ends_the_command(monkeypatch, capsys, scenes):
    monkeypatch.setitem(sys.modules, "lisa_ros.evaluation.handwritten", SimpleNamespace(questions=dict))
    assert main(["eval", "synthetic", "--questions", "handwritten"]) == 1
    assert "the list of questions is empty" in capsys.readouterr().err


def test_synthetic_compares_written_answers(tmp_path, monkeypatch, capsys, scenes):
    from lisa_ros.evaluation import answers

    monkeypatch.setattr(answers, "scene_naming", lambda: answers.Naming(("box",), ("red",)))
    monkeypatch.setattr(sys.modules["scannet_tools.synthetic"], "make_frame", named_boxes)
    out = tmp_path / "eval.json"
    assert main(["eval", "synthetic", "--count", "2", "--answers", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["answers"]["absent"] == {"share": 1.0, "n": 2} and report["answers"]["present"] == {"share": 0.0, "n": 8}
    assert report["also_asked"] == ["answers"]
    assert "or say there is none: 0.0 % of 6 single" in capsys.readouterr().out


def named_boxes(seed, *, split):
    frame = boxes_frame(seed, split=split)
    frame.objects = [SimpleNamespace(id=number, kind="box", color="red") for number in (1, 2, 3)]
    return frame


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--questions", "handwritten", "--split", "val"], "leave out --split and --seed"),
        (["--questions", "handwritten", "--seed", "4"], "leave out --split and --seed"),
        (["--page", "."], "--page . is a folder"),
        (["--count", "0"], "--count is 0"),
    ],
)
def test_synthetic_says_what_cannot_be_done_before_it_loads_a_model(capsys, scenes, words, said):
    assert main(["eval", "synthetic", *words]) == 2
    assert said in capsys.readouterr().err and scenes.loaded == []


def test_a_model_that_cannot_stand_beside_is_named_by_its_flag():
    args = argparse.Namespace(model="lisa-mini", beside="no/such/model", device="cpu", dtype="auto")
    with pytest.raises(CommandError, match="^--beside no/such/model"):
        load_engine(args, flag="beside")
