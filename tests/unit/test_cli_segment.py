"""`lisa segment`: the files and fields that scripts rely on, nothing half-written, errors that say what to do."""
from __future__ import annotations

import io
import json
import re
import sys

import cv2
import numpy as np
import pytest
from fakes import ColorEngine

from lisa_ros.cli import segment
from lisa_ros.cli.live import LiveAnswers
from lisa_ros.cli.main import main
from lisa_ros.cli.pictures import read_frame
from lisa_ros.geometry.ply import read_ply

CAMERA = {"fx": 60, "fy": 60, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48, "depth_scale_m": 0.001}


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    engine = ColorEngine()
    monkeypatch.setattr(segment, "load_engine", lambda args, **options: engine)
    return engine


@pytest.fixture
def files(tmp_path):
    """A red square 0.4 m in front of a grey wall: picture, depth of half the size, camera."""
    color = np.full((48, 64, 3), 90, np.uint8)
    color[10:30, 20:36] = (255, 0, 0)
    depth = np.full((24, 32), 2000, np.uint16)
    depth[5:15, 10:18] = 1600
    cv2.imwrite(str(tmp_path / "color.png"), color[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "depth.png"), depth)
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    return tmp_path


def run(files, *extra, depth=True, out="out"):
    argv = ["segment", "--image", str(files / "color.png"), "--out", str(files / out), *extra]
    if depth:
        argv += ["--depth", str(files / "depth.png"), "--camera", str(files / "camera.json")]
    return main(argv)


def result(files, out="out"):
    return json.loads((files / out / "result.json").read_text())


def test_the_contract_of_result_json(files, engine, capsys):
    assert run(files, "--query", "the red square", "--query", "the blue one") == 0
    found, missing = result(files)
    assert (found["query"], found["answer"], found["status"]) == ("the red square", "[SEG].", "FOUND")
    assert found["target_probability"] == pytest.approx(0.9)
    assert found["input_ids"] == [1, 2, 3]
    assert found["timings"]["language"] > 0 and found["timings"]["lift"] > 0
    (instance,) = found["instances"]
    mask = cv2.imread(str(files / "out" / instance["mask"]), cv2.IMREAD_UNCHANGED)
    assert instance["mask"] == "mask_0_0.png" and mask.shape == (48, 64) and set(np.unique(mask)) == {0, 255}
    assert instance["pixel_count"] == np.count_nonzero(mask) == 320
    assert instance["box_2d"] == [20, 10, 36, 30]
    cloud = read_ply(files / "out" / instance["points"])
    assert instance["points"] == "points_0_0.ply" and instance["point_count"] == len(cloud) > 40
    assert np.allclose(cloud.points[:, 2], 1.6) and instance["status_3d"] == "LIFTED"
    assert instance["centroid"] == pytest.approx(cloud.points.mean(axis=0), abs=1e-5)
    assert len(instance["box"]["center"]) == 3 and len(instance["box"]["quaternion_xyzw"]) == 4
    assert max(instance["box"]["size"]) == pytest.approx(20 / 60 * 1.6, abs=0.08)
    assert cv2.imread(str(files / "out" / found["overlay"])).shape == (48, 64, 3) and found["overlay"] == "overlay_0.png"
    assert (missing["status"], missing["instances"], missing["overlay"]) == ("NOT_FOUND", [], "overlay_1.png")
    assert engine.encoded_frames == 1
    assert sorted(path.name for path in (files / "out").iterdir()) == [
        "mask_0_0.png", "overlay_0.png", "overlay_1.png", "points_0_0.ply", "result.json"
    ]  # fmt: skip
    assert "the red square" in capsys.readouterr().out


def test_without_depth_a_found_target_is_found(files):
    assert run(files, "--query", "red", depth=False) == 0
    (entry,) = result(files)
    assert (entry["status"], entry["message"]) == ("FOUND", "")
    assert entry["instances"][0]["points"] is None and entry["instances"][0]["point_count"] == 0


def test_depth_that_is_all_holes_is_no_depth(files):
    cv2.imwrite(str(files / "depth.png"), np.zeros((24, 32), np.uint16))
    assert run(files, "--query", "red") == 0
    (entry,) = result(files)
    assert entry["status"] == "NO_DEPTH" and entry["message"] and entry["instances"][0]["status_3d"] == "NO_DEPTH"


def test_logits_on_request(files):
    assert run(files, "--query", "red", "--query", "blue", "--save-logits") == 0
    with np.load(files / "out" / "logits_0.npz") as saved:
        assert saved["mask_logits"].shape == (1, 48, 64) and saved["mask_logits"].dtype == np.float32
        assert saved["low_res_logits"].shape == (1, 256, 256) and saved["seg_embeddings"].shape == (1, 256)
        assert saved["input_ids"].tolist() == [1, 2, 3] and saved["output_ids"].tolist() == [4, 5]
        mask = cv2.imread(str(files / "out" / "mask_0_0.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(saved["mask_logits"][0] > 0, mask > 0)
    with np.load(files / "out" / "logits_1.npz") as saved:
        assert saved["mask_logits"].shape == (0, 48, 64)


@pytest.fixture
def asked(monkeypatch):
    """(queries, options) of every call of Engine.ask."""
    calls = []
    ask = ColorEngine.ask

    def record(self, encoded, queries, **options):
        calls.append((list(queries), options))
        return ask(self, encoded, queries, **options)

    monkeypatch.setattr(ColorEngine, "ask", record)
    return calls


def test_only_given_options_reach_the_engine(files, asked):
    assert run(files, "--query", "red") == 0
    assert run(files, "--query", "red", "--raw", "--answer", "It is [SEG].", "--max-new-tokens", "9") == 0
    assert [options for _, options in asked] == [
        {"mode": "mask"},
        {"mode": "mask", "raw": True, "answer": "It is [SEG].", "max_new_tokens": 9},
    ]


def test_a_dialogue_goes_on_from_its_queries_and_answers(files, engine, asked):
    queries = ("--query", "is there something blue", "--query", "the red square", "--query", "show it again")
    assert run(files, *queries, "--mode", "chat", "--dialogue", "--save-logits") == 0
    first, second, third = result(files)
    assert [entry["status"] for entry in (first, second, third)] == ["NOT_FOUND", "FOUND", "FOUND"]
    assert third["query"] == "show it again" and third["instances"][0]["mask"] == "mask_2_0.png"
    assert third["instances"][0]["pixel_count"] == 320 and third["logits"] == "logits_2.npz"
    turns = [(first["query"], first["answer"]), (second["query"], second["answer"])]
    assert [options["history"] for _, options in asked] == [[], turns[:1], turns]
    assert engine.encoded_frames == 1
    assert first["timings"]["encode"] == third["timings"]["encode"] > 0
    assert all(entry["timings"]["total"] > entry["timings"]["encode"] for entry in (first, second, third))


def test_without_dialogue_queries_know_nothing_of_each_other(files, asked):
    assert run(files, "--query", "the red square", "--query", "show it again", "--mode", "chat") == 0
    assert [entry["status"] for entry in result(files)] == ["FOUND", "NOT_FOUND"]
    assert [queries for queries, _ in asked] == [["the red square", "show it again"]]


def test_a_query_longer_than_the_context_is_a_sentence(files, capsys):
    assert run(files, "--query", "red " * 600) == 1
    error = capsys.readouterr().err
    assert error == "lisa segment: --query: the prompt takes 600 words, the model reads 500: shorten the query\n"
    assert not (files / "out").exists()


class Terminal(io.StringIO):
    """A stderr that is a terminal; `screen` is what its user sees, by the few control sequences that are in use."""

    def isatty(self):
        return True

    def screen(self) -> list[str]:
        lines, row, column = [""], 0, 0
        for count, command, text in re.findall(r"\x1b\[(\d+)([ABK])|([^\x1b]+|\x1b)", self.getvalue()):
            if command == "A":
                row -= int(count)
                assert row >= 0
            elif command == "B":
                row += int(count)
            elif command == "K":
                lines[row] = ""
            for letter in text:
                if letter == "\n":
                    row, column = row + 1, 0
                    lines += [""] * (row + 1 - len(lines))
                elif letter == "\r":
                    column = 0
                else:
                    lines[row] = lines[row][:column] + letter + lines[row][column + 1 :]
                    column += 1
        return lines


def watched(monkeypatch, term="xterm", lines=24) -> Terminal:
    """stderr is a terminal from now on (pytest takes a fixture's stderr away before the test begins)."""
    for name, value in (("TERM", term), ("COLUMNS", "30"), ("LINES", str(lines))):
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.mark.parametrize("dialogue", [[], ["--dialogue"]], ids=["batch", "dialogue"])
def test_on_a_terminal_chat_answers_appear_as_they_are_written(files, engine, monkeypatch, dialogue):
    terminal, seen = watched(monkeypatch), []
    monkeypatch.setattr(engine, "between_words", lambda: seen.append(terminal.screen()), raising=False)
    assert run(files, "--query", "red square", "--query", "blue", "--mode", "chat", *dialogue) == 0
    assert terminal.screen() == ["[SEG]. It is that one.", "There is none here.", ""]
    assert seen[:3] == [
        [""],
        ["[SEG].", "" if dialogue else "There", ""],
        ["[SEG]. It", "" if dialogue else "There is", ""],
    ]


def test_nothing_is_drawn_into_a_pipe(files, capsys, asked):
    assert run(files, "--query", "red", "--mode", "chat") == 0
    assert "on_text" not in asked[0][1] and capsys.readouterr().err == ""


@pytest.mark.parametrize(("term", "mode"), [("dumb", "chat"), ("xterm", "mask")])
def test_nothing_is_drawn_without_a_cursor_or_without_a_text(files, monkeypatch, asked, term, mode):
    terminal = watched(monkeypatch, term)
    assert run(files, "--query", "red", "--mode", mode) == 0
    assert "on_text" not in asked[0][1] and terminal.getvalue() == ""


def test_a_long_answer_shows_its_end_and_more_answers_than_lines_their_first_ones(monkeypatch):
    terminal = watched(monkeypatch, lines=3)
    live = LiveAnswers(4, terminal)
    for q in range(4):
        live(q, f"answer {q} " + "word " * 9 + "\x1b[2J\tend\n")
    assert terminal.screen() == ["word word word word  [2J end "] * 2 + [""]
    live(1, "分割" * 20)
    assert terminal.screen() == ["word word word word  [2J end ", ("分割" * 20)[-14:], ""]


def test_a_second_run_replaces_its_own_files_and_leaves_others(files):
    assert run(files, "--query", "red", "--query", "red square") == 0
    (files / "out" / "notes.txt").write_text("mine")
    assert run(files, "--query", "blue") == 0
    assert sorted(path.name for path in (files / "out").iterdir()) == ["notes.txt", "overlay_0.png", "result.json"]


def test_nothing_half_written_stays(files, monkeypatch):
    assert run(files, "--query", "red") == 0
    before = {path.name: path.read_bytes() for path in (files / "out").iterdir()}

    def full_disk(path, segmentation):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segment, "_write_logits", full_disk)
    assert run(files, "--query", "blue", "--save-logits") == 1
    assert {path.name: path.read_bytes() for path in (files / "out").iterdir()} == before
    assert run(files, "--query", "blue", "--save-logits", out="other") == 1
    assert not (files / "other").exists()
    assert sorted(path.name for path in files.iterdir()) == ["camera.json", "color.png", "depth.png", "out"]


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["--query", " "], 2, "--query is empty"),
        (["--query", "a", "--mode", "chat", "--answer", "x"], 2, "--answer is for --mode mask"),
        (["--query", "a", "--dialogue"], 2, "--dialogue is for --mode chat"),
        (["--query", "a", "--max-new-tokens", "0"], 2, "--max-new-tokens is 0"),
        (["--query", "a", "--depth", "d.png"], 2, "--depth needs --camera"),
        (["--query", "a", "--camera", "c.json"], 2, "--camera needs --depth"),
        (["--query", "a", "--mode", "other"], 2, "invalid choice"),
        ([], 2, "--query"),
    ],
)
def test_usage_errors(files, capsys, argv, status, says):
    assert run(files, *argv, depth=False) == status
    assert says in capsys.readouterr().err
    assert not (files / "out").exists()


def _no_picture(files):
    (files / "color.png").unlink()
    return "color.png: no such file"


def _text_picture(files):
    (files / "color.png").write_text("hello")
    return "color.png: not a picture"


def _empty_picture(files):
    (files / "color.png").write_bytes(b"")
    return "color.png: not a picture"


def _cut_picture(files):
    data = (files / "color.png").read_bytes()
    (files / "color.png").write_bytes(data[: len(data) // 2])
    return "color.png: damaged or cut short"


def _folder_picture(files):
    (files / "color.png").unlink()
    (files / "color.png").mkdir()
    return "color.png: a folder; give a file"


def _no_depth_file(files):
    (files / "depth.png").unlink()
    return "depth.png: no such file"


def _colored_depth(files):
    cv2.imwrite(str(files / "depth.png"), np.zeros((24, 32, 3), np.uint8))
    return "depth image has one channel of 16 bits"


def _zero_camera(files):
    (files / "camera.json").write_text(json.dumps({**CAMERA, "fx": 0}))
    return "fx"


def _camera_without_size(files):
    (files / "camera.json").write_text(json.dumps({key: CAMERA[key] for key in ("fx", "fy", "cx", "cy")}))
    return "width, height missing"


def _other_view(files):
    (files / "camera.json").write_text(json.dumps({**CAMERA, "width": 64, "height": 64}))
    return "not the same view"


@pytest.mark.parametrize(
    "spoil",
    [_no_picture, _text_picture, _empty_picture, _cut_picture, _folder_picture, _no_depth_file, _colored_depth, _zero_camera, _camera_without_size, _other_view],
)
def test_files_that_cannot_be_used_are_named(files, capsys, spoil):
    says = spoil(files)
    assert run(files, "--query", "red") == 1
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (files / "out").exists()


def test_a_camera_of_another_size_of_the_same_view_is_scaled(files):
    (files / "camera.json").write_text(json.dumps({**CAMERA, "width": 128, "height": 96, "fx": 120, "fy": 120}))
    frame = read_frame(files / "color.png", files / "depth.png", files / "camera.json")
    assert (frame.camera.width, frame.camera.height, frame.camera.fx) == (64, 48, 60)
