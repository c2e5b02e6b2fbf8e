"""`lisa scannet-demo`: its parts on a written scene, and as a whole over real DDS with a model that knows the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lisa_ros.cli.main import main
from lisa_ros.cli.scannet_demo import Heard, _Judge, _section, _some
from scannet_tools.questions import SceneQuestion
from scannet_tools.scene import Scene

pytest.importorskip("open3d")
RUNNER = Path(__file__).with_name("scannet_demo_with_oracle.py")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    from scannet_tools.synthetic.scannet import write_scene

    return Scene(write_scene(tmp_path_factory.mktemp("scannet"), 1, frames=4, width=160, height=120))


def reply(scene, number, mask, points=None):
    """As the demo's client gives it, about frame `number`."""
    with scene.open_sens() as sens:
        seconds, nanoseconds = divmod(int(sens.stamps_ns()[number]), 1_000_000_000)
    stamp = SimpleNamespace(sec=seconds, nanosec=nanoseconds)
    result = SimpleNamespace(header=SimpleNamespace(stamp=stamp))
    return SimpleNamespace(
        mask=mask.astype(np.uint8) * 255, points=points, result=result, results=[result], status="FOUND", seconds=0.5
    )


def test_a_reply_is_judged_on_the_frame_that_it_is_about(scene):
    judge = _Judge(scene)
    question = next(one for one in judge.questions if one.kind == "explicit")
    truths = [np.isin(scene.instance_image(number), question.targets) for number in range(4)]
    number = int(np.argmax([truth.sum() for truth in truths]))
    heard = judge.judge(question, reply(scene, number, truths[number]))
    assert (heard.frame, heard.in_view) == (number, truths[number].sum()) and heard.iou > 0.999
    assert judge.judge(question, reply(scene, number, ~truths[number])).iou == 0


def test_points_are_held_against_the_targets_vertices(scene):
    judge = _Judge(scene)
    question = next(one for one in judge.questions if one.kind == "explicit")
    on = scene.mesh().vertices[scene.annotation().vertices_of(question.targets)][:50]
    points = np.concatenate([on + 0.01, on + 3.0]).astype(np.float32)
    heard = judge.judge(question, reply(scene, 0, np.zeros((120, 160), bool), points))
    assert heard.on_target == pytest.approx(0.5)


def test_an_answer_about_no_frame_of_the_scene_is_not_judged(scene):
    judge = _Judge(scene)
    strange = reply(scene, 0, np.ones((120, 160), bool))
    strange.result.header.stamp.nanosec += 1
    heard = judge.judge(judge.questions[0], strange)
    assert (heard.frame, heard.iou) == (None, None)
    silent = SimpleNamespace(mask=None, points=None, result=None, results=[], status="NO RESULT", seconds=40.0)
    assert judge.judge(judge.questions[0], silent).frame is None
    assert Heard("q", "use", silent).cells()[2:6] == (None, "NO RESULT", None, None)


def test_what_is_out_of_view_and_what_is_absent_are_told_apart(scene):
    said = reply(scene, 0, np.zeros((120, 160), bool))
    assert Heard("q", "use", said, frame=0).cells()[4] == "out of view"
    assert Heard("q", "absent", said, frame=0).cells()[4] is None


def test_questions_of_every_kind_come_first():
    def asked(text, kind):
        return SceneQuestion("s", text, () if kind == "absent" else (1,), kind)

    questions = [
        asked("a", "explicit"),
        asked("b", "explicit"),
        asked("a", "explicit"),
        asked("c", "use"),
        asked("d", "absent"),
    ]
    assert [one.question for one in _some(questions, 9)] == ["a", "c", "d", "b"]
    assert len(_some(questions, 2)) == 2


def test_the_pages_section_escapes_questions(scene):
    text = _section([Heard("<i>it</i>", "use", reply(scene, 0, np.zeros((120, 160), bool)), frame=0)])
    assert "&lt;i&gt;it" in text and "<i>it" not in text


@pytest.mark.parametrize("arguments", [("--frames", "0"), ("--every", "0"), ("--questions", "0"), ("--seed", "-1")])
def test_wrong_usage(tmp_path, capsys, arguments):
    pytest.importorskip("lisa_ros.msg")
    assert main(["scannet-demo", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_without_ros_it_says_what_to_do(tmp_path):
    code = (
        "import sys; sys.modules['rclpy'] = None\n"
        "from lisa_ros.cli.main import main\n"
        f"sys.exit(main(['scannet-demo', '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "python3 -m scannet_tools synthesize" in done.stderr and "./run lisa scannet-demo" in done.stderr
    assert not (tmp_path / "out" / "scans").exists()


def test_the_whole_way_over_ros(tmp_path):
    pytest.importorskip("rclpy")
    pytest.importorskip("lisa_ros.msg")
    out = tmp_path / "out"
    options = ("--frames", "24", "--every", "12", "--questions", "4", "--seed", "1")
    command = [sys.executable, str(RUNNER), "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "$ python3 -m scannet_tools bag" in done.stdout and f"open {out / 'report.html'}" in done.stdout
    table = done.stdout.split("through the node")[1].split("question    frames")[0]
    assert "FOUND" in table and "1.00" in table  # the oracle's masks came back whole, about the frame that they say
    figures = json.loads((out / "scores.json").read_text())
    assert figures["frames"] == 2 and figures["kinds"]["overall"]["giou"] == pytest.approx(1, abs=1e-4)
    page = (out / "report.html").read_text()
    assert "Through the node" in page and page.count("<img") > 4


def test_a_question_waits_until_its_target_is_in_view(scene):
    judge = _Judge(scene)
    question = next(one for one in judge.questions if one.kind == "explicit")
    absent = next(one for one in judge.questions if one.kind == "absent")
    now = time.monotonic()
    shown = [np.isin(scene.instance_image(number), question.targets).mean() > 0.01 for number in range(4)]
    judge.seconds = float("inf")  # so slow that the replay stays where it was
    assert [judge.in_view_now(question, number, now) for number in range(4)] == shown and any(shown)
    assert judge.in_view_now(absent, 0, now) and judge.in_view_now(question, None, now)
