"""The demo as a whole over real DDS; only the model is replaced."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("lisa_ros.msg")

from lisa_ros.geometry.ply import read_ply

RUNNER = Path(__file__).with_name("demo_with_fake_model.py")


@pytest.fixture
def camera_folder(tmp_path):
    """A red square 0.4 m in front of a wall, seen by a 160x120 camera with depth of half that size."""
    folder = tmp_path / "frames"
    folder.mkdir()
    color = np.full((120, 160, 3), 90, np.uint8)
    color[30:80, 60:100] = (255, 0, 0)
    depth = np.full((60, 80), 2000, np.uint16)
    depth[15:40, 30:50] = 1600
    cv2.imwrite(str(folder / "color.png"), color[:, :, ::-1])
    cv2.imwrite(str(folder / "depth.png"), depth)
    camera = {"fx": 150, "fy": 150, "cx": 79.5, "cy": 59.5, "width": 160, "height": 120, "depth_scale_m": 0.001}
    (folder / "camera.json").write_text(json.dumps(camera))
    return folder


def demo(*arguments, timeout=150):
    command = [sys.executable, str(RUNNER), "--no-browser", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)


def processes_that_mention(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found


def test_the_demo_asks_over_ros_and_everything_agrees(tmp_path, camera_folder):
    out = tmp_path / "out"
    done = demo("--input", camera_folder, "--out", out, *(part for query in ("the red square", "the blue one") for part in ("--query", query)))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    red, blue = result["answers"]
    assert (red["status"], blue["status"]) == ("FOUND", "NOT_FOUND")
    assert red["pixel_count"] == 50 * 40 and blue["pixel_count"] == 0
    cloud = read_ply(out / red["points"])
    assert len(cloud) == red["point_count"] > 400 and np.allclose(cloud.points[:, 2], 1.6, atol=0.01)
    assert sorted(red["box_sizes"][0], reverse=True)[:2] == pytest.approx([50 / 150 * 1.6, 40 / 150 * 1.6], abs=0.04)
    assert all(check["passed"] for answer in (red, blue) for check in answer["checks"])
    assert red["seconds"]["total"] > red["seconds"]["engine"] > 0
    mask = cv2.imread(str(out / red["mask"]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask > 0, cv2.imread(str(camera_folder / "color.png"))[:, :, 2] == 255)
    assert (out / "index.html").stat().st_size > 10_000
    assert "the red square" in done.stdout and "checks held" in done.stdout
    assert processes_that_mention(str(camera_folder)) == []


def test_a_node_that_cannot_start_is_shown_with_its_log(tmp_path, camera_folder):
    done = demo("--input", camera_folder, "--out", tmp_path / "out", "--model", "missing")
    assert done.returncode == 1
    assert "lisa_node ended with status 1" in done.stderr and "no such checkpoint" in done.stderr
    assert processes_that_mention(str(camera_folder)) == []
