"""`scannet_tools evaluate --bag`: a bag's frames, asked over the service of a real node whose model knows the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("lisa_ros.msg")
pytest.importorskip("open3d")

from scannet_oracle import SCENES

from lisa_ros.cli.demo.processes import free_domain
from scannet_tools.bag import write_bag
from scannet_tools.scene import Scene
from scannet_tools.synthetic.scannet import write_scene

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A scene of six frames, one without a pose, its bag, and a second scene."""
    folder = tmp_path_factory.mktemp("scannet")
    for seed in (1, 3):
        write_scene(folder, seed, frames=6, width=160, height=120, lost=1)
    write_bag(folder / "scans" / "scene9001_00", folder / "bag")
    return folder


@pytest.fixture(scope="module")
def environment(written) -> dict[str, str]:
    """Of the node and of whoever asks it."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "ROS_DOMAIN_ID": str(free_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        SCENES: str(written),
    }


@pytest.fixture(scope="module")
def node(environment):
    process = subprocess.Popen(
        [sys.executable, "-m", "oracle_node"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )
    yield process
    process.kill()
    process.communicate()


def evaluate(environment, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scannet_tools", "evaluate", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_node_gets_the_marks_that_its_model_deserves(written, environment, node, tmp_path):
    scene = written / "scans" / "scene9001_00"
    done = evaluate(environment, scene, "--out", tmp_path / "out", "--bag", written / "bag")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert figures["frames"] == 5 and "/lisa" in figures["node"]
    assert figures["kinds"]["overall"]["giou"] == pytest.approx(1, abs=1e-4)
    assert figures["kinds"]["overall"]["recall"] > 0.1
    # what five small frames hardly show has no points at all; what has any has its own
    precise = [row["precision"] for row in figures["questions"] if row["recall"]]
    assert len(precise) >= 6 and min(precise) > 0.8
    assert figures["absent"]["refused"] == 1
    assert figures["seconds"]["round trip"]["count"] == 5 * len(figures["questions"])
    assert figures["seconds"]["encode"]["count"] == 0


def test_the_same_figures_as_without_ros(written, environment, node, tmp_path, monkeypatch):
    from scannet_oracle import Oracle

    from scannet_tools.cli import main

    scene = written / "scans" / "scene9001_00"
    done = evaluate(environment, scene, "--out", tmp_path / "node", "--bag", written / "bag", "--every", 2, "--max", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setattr("lisa_ros.cli.model.load_engine", lambda options: Oracle(written))
    with Scene(scene).open_sens() as sens:
        posed = [number for number in range(6) if sens.pose_valid()[number]]
    assert main(["evaluate", str(scene), "--out", str(tmp_path / "engine")]) == 0
    rows = [json.loads((tmp_path / one / "rows" / "scene9001_00.json").read_text()) for one in ("node", "engine")]
    for through, here in zip(*(row["questions"] for row in rows)):
        asked = [answer[0] for answer in through["answers"]]
        assert asked == posed[:4:2]
        # frame, target, intersection, union, found: the depth's rounding in the bag touches none of them
        assert [a[:5] for a in through["answers"]] == [a[:5] for a in here["answers"] if a[0] in asked]


def test_a_bag_of_another_scene_is_refused(written, environment, node, tmp_path):
    done = evaluate(
        environment, written / "scans" / "scene9003_00", "--out", tmp_path / "out", "--bag", written / "bag"
    )
    assert done.returncode == 1 and "is a bag of scene9001_00, not of scene9003_00" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--jobs", "2"), "leave --jobs out"), (("--node", "/nobody"), "no node answers at /nobody/segment_image")],
)
def test_what_cannot_be_done_is_said(written, environment, tmp_path, arguments, said):
    scene = written / "scans" / "scene9001_00"
    done = evaluate(environment, scene, "--out", tmp_path / "out", "--bag", written / "bag", *arguments)
    assert done.returncode == 1 and said in done.stderr


def test_a_bag_is_of_one_scene(written, environment, tmp_path):
    done = evaluate(environment, written, "--out", tmp_path / "out", "--bag", written / "bag")
    assert done.returncode == 1 and "name it with --scenes" in done.stderr
