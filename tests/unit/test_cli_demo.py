"""The demo's parts that need no DDS: which questions, which checks fail on what, what the page and the files hold."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("lisa_ros.msg")

from demo_replies import reply_of, wall_frame
from fakes import Question

from lisa_ros.cli.demo.checks import check_reply
from lisa_ros.cli.demo.client import cloud_arrays, image_array
from lisa_ros.cli.demo.inputs import DemoInput, DemoQuery, pick_questions, read_input
from lisa_ros.cli.demo.processes import Process, free_domain
from lisa_ros.cli.demo.record import Answer, write_outputs
from lisa_ros.cli.demo.summary import summary
from lisa_ros.cli.errors import UsageError
from lisa_ros.cli.main import main


@pytest.fixture
def frame():
    return wall_frame()


@pytest.fixture
def square(frame):
    return (frame.color == (255, 0, 0)).all(axis=2)


def failed(reply, frame):
    return [check.claim for check in check_reply(reply, frame) if not check.passed]


def test_consistent_replies_pass_every_check(frame, square):
    assert failed(reply_of(frame, square), frame) == []
    assert failed(reply_of(frame, np.zeros_like(square)), frame) == []
    assert len(check_reply(reply_of(frame, square), frame)) >= 12


def _second_result(reply):
    reply.results.append(reply.results[0])


def _no_result(reply):
    reply.results.clear()


def _grey_mask(reply):
    reply.mask[12, 25] = 100


def _smaller_mask(reply):
    reply.mask[10:12] = 0


def _other_stamp(reply):
    reply.stamps["mask"] = (6, 0)


def _lost_points(reply):
    reply.points = reply.points[:-3]


def _no_cloud(reply):
    reply.points = None


def _nan_point(reply):
    reply.points = reply.points.copy()
    reply.points[0] = np.nan


def _moved_cloud(reply):
    reply.points = reply.points + np.float32([0.5, 0, 0])


def _shrunk_box(reply):
    reply.result.instances[0].box_size.x /= 3


def _failed_status(reply):
    reply.result.status = 7


def _wrong_box_2d(reply):
    reply.result.instances[0].box_2d.x_offset += 1


@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (_second_result, "exactly one result"),
        (_no_result, "exactly one result"),
        (_grey_mask, "the mask holds only 0 and 255"),
        (_smaller_mask, "the mask's area is the result's pixel count"),
        (_other_stamp, "all messages carry the result's stamp"),
        (_lost_points, "the cloud has the result's point count"),
        (_no_cloud, "the cloud arrived"),
        (_nan_point, "its points are finite and in front of the camera"),
        (_moved_cloud, "its points lie behind the mask's pixels"),
        (_shrunk_box, "box 1 holds its points"),
        (_failed_status, "the result answers the query"),
        (_wrong_box_2d, "the 2D box is the mask's"),
    ],
)
def test_every_inconsistency_fails_its_check(frame, square, spoil, claim):
    reply = reply_of(frame, square)
    spoil(reply)
    assert claim in failed(reply, frame)


def answers_for(frame, square):
    nothing = np.zeros_like(square)
    asked = [(DemoQuery("the red square", "explicit", square), square), (DemoQuery("the laptop", "absent", nothing), nothing)]
    asked.append((DemoQuery("the wall"), nothing))
    replies = [(query, reply_of(frame, mask, query.text)) for query, mask in asked]
    return [Answer(query, reply, check_reply(reply, frame)) for query, reply in replies]


def test_answers_say_whether_they_are_right(frame, square):
    exact, refused, unknown = answers_for(frame, square)
    assert (exact.found_text, refused.found_text, unknown.found_text) == ("yes (present)", "no (absent)", "no")
    assert exact.iou == pytest.approx(1.0, abs=1e-5)
    assert (refused.iou, unknown.iou) == (None, None)
    assert exact.engine_seconds == pytest.approx(0.12)
    missed = Answer(exact.query, refused.reply, [])
    assert (missed.found_text, missed.iou) == ("no (present!)", 0.0)


def test_the_table_stays_within_120_columns(frame, square, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    answers = answers_for(frame, square)
    answers[0].query.text = "the red square that stands in front of the grey wall, left of nothing in particular"
    text = summary(DemoInput("a wall", "x", frame, []), answers)
    assert max(map(len, text.splitlines())) <= 120
    assert "1.00" in text and "yes (present)" in text and "checks held" in text


def test_outputs_are_complete_and_the_page_needs_nothing_else(tmp_path, frame, square):
    answers = answers_for(frame, square)
    answers[0].query.text = "<b>the red square</b>"
    shown = DemoInput("a wall", "x", frame, [answer.query for answer in answers], note="only a wall")
    page = write_outputs(tmp_path, shown, answers, model="m", mode="mask", ready_seconds=1.5)
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "&lt;b&gt;the red square" in text and "<b>the red" not in text
    assert text.count("<article") == 3 and "only a wall" in text
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["passed"] and [entry["point_count"] > 0 for entry in result["answers"]] == [True, False, False]
    for entry in result["answers"]:
        for key in ("mask", "overlay", "points"):
            assert entry[key] is None or (tmp_path / entry[key]).is_file()


def question(text, kind, *targets):
    return Question(text, kind, targets)


def test_picked_questions_show_every_kind_and_the_absent_one_comes_last():
    questions = [
        question("a", "absent"),
        question("e1", "explicit", 1),
        question("e2", "explicit", 1),
        question("e3", "explicit", 2),
        question("u1", "use", 2),
        question("u2", "use", 3),
        question("r1", "relational", 4),
        question("e4", "explicit", 5),
    ]
    assert [picked.text for picked in pick_questions(questions)] == ["e1", "e3", "r1", "u2", "a"]
    assert [picked.text for picked in pick_questions(questions[:3])] == ["e1", "e2", "a"]


def test_inputs_that_are_not_there_are_usage_errors(tmp_path, capsys):
    with pytest.raises(UsageError, match="not a folder"):
        read_input(str(tmp_path / "nothing"), [], 0)
    assert main(["demo", "--query", " "]) == 2
    assert main(["demo", "--query", "a", "--query", "a"]) == 2
    assert "same question twice" in capsys.readouterr().err


def test_stopping_a_process_ends_its_whole_group(tmp_path):
    script = "import subprocess, sys, time; c = subprocess.Popen(['sleep', '60']); print(c.pid, flush=True); time.sleep(60)"
    process = Process("sleeper", [sys.executable, "-c", script], log=tmp_path / "log", env=dict(os.environ))
    deadline = time.monotonic() + 20
    while not process.log.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.02)
    child = int(process.log_tail().split()[0])
    assert process.exit_status is None
    process.stop()
    assert process.exit_status is not None
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def test_processes_end_when_the_demo_is_killed(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from lisa_ros.cli.demo.processes import Process\n"
        f"p = Process('s', ['sleep', '60'], log=Path({str(tmp_path / 'log')!r}), env=dict(os.environ))\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_domains_are_ones_that_every_platform_takes():
    assert 1 <= free_domain() <= 101


def test_images_and_clouds_are_read_from_the_wire_format():
    from sensor_msgs.msg import Image, PointCloud2, PointField

    image = Image(height=2, width=3, encoding="16UC1", step=8, is_bigendian=0)
    image.data = np.array([[1, 2, 300, 9], [4, 5, 6, 9]], "<u2").tobytes()
    assert image_array(image).tolist() == [[1, 2, 300], [4, 5, 6]]
    cloud = PointCloud2(height=1, width=2, point_step=16, row_step=32)
    cloud.fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate(("x", "y", "z", "rgb"))]
    records = np.zeros(2, [("xyz", "<f4", 3), ("rgb", "<u4")])
    records["xyz"] = [[1, 2, 3], [4, 5, 6]]
    records["rgb"] = [0x00FF8001, 0x00000203]
    cloud.data = records.tobytes()
    points, colors = cloud_arrays(cloud)
    assert points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert colors.tolist() == [[255, 128, 1], [0, 2, 3]]
