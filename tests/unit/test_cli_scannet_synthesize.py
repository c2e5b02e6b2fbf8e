"""`scannet_tools synthesize`: several processes give what one gives; a run cut short leaves nothing half-written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("open3d")

from scannet_tools.cli import main  # noqa: E402
from scannet_tools.scene import find_scenes  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--width", "96", "--height", "72", "--depth-width", "48", "--depth-height", "36"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(*arguments: object, **kwargs) -> subprocess.Popen:
    command = [sys.executable, "-m", "scannet_tools", "synthesize", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, **kwargs)


def test_two_processes_write_what_one_writes(tmp_path, capsys):
    arguments = ["--scenes", "2", "--seed", "1", "--frames", "5", "--lost", "1", *SMALL]
    assert main(["synthesize", "--out", str(tmp_path / "one"), "--jobs", "1", *arguments]) == 0
    assert str(tmp_path / "one" / "scans" / "scene9002_00") in capsys.readouterr().out
    two = start("--out", tmp_path / "two", "--jobs", 2, *arguments)
    _, said = two.communicate(timeout=300)
    assert two.returncode == 0, said
    one = files(tmp_path / "one")
    assert len(one) == 21 and one == files(tmp_path / "two")
    assert [scene.name for scene in find_scenes(tmp_path / "two")] == ["scene9001_00", "scene9002_00"]


def test_unannotated_scenes_are_the_test_sets(tmp_path):
    assert main(["synthesize", "--out", str(tmp_path), "--frames", "2", "--unannotated", "--jobs", "1", *SMALL]) == 0
    (scene,) = find_scenes(tmp_path)
    assert scene.folder == tmp_path / "scans_test" / "scene9500_00" and not scene.annotated


def test_a_full_disk_leaves_the_scenes_that_were_done_and_no_more(tmp_path):
    assert main(["synthesize", "--out", str(tmp_path), "--frames", "2", "--jobs", "1", *SMALL]) == 0
    before = files(tmp_path)

    def no_large_files() -> None:  # writing on beyond this size fails as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    run = start("--out", tmp_path, "--scenes", 2, "--frames", 2, "--jobs", 1, *SMALL, preexec_fn=no_large_files)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 1
    assert "scene9001_00: cannot be written: File too large; make room" in said
    assert files(tmp_path) == before
    assert [path.name for path in (tmp_path / "scans").iterdir()] == ["scene9000_00"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are deaf to it, and so are these tests in one
    run = start("--out", tmp_path, "--frames", 5000, "--jobs", 2, *SMALL, preexec_fn=heard)
    part = tmp_path / "scans" / ".scene9000_00.part"
    while not list(part.glob("*.sens")) + list(part.glob(".*.sens*")):
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    while run.poll() is None:  # Python drops one that falls into a finalizer; a user, too, presses again
        run.send_signal(signal.SIGINT)
        try:
            run.wait(timeout=15)
        except subprocess.TimeoutExpired:
            continue
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130 and "interrupted" in said and "Traceback" not in said
    assert not list((tmp_path / "scans").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenes", "0"], "--scenes 0: give 1 or more"),
        (["--jobs", "0"], "--jobs 0"),
        (["--seed", "499", "--scenes", "2"], "seed 500"),
        (["--seed", "-1"], "seed -1"),
        (["--frames", "3", "--lost", "3"], "must keep its pose"),
    ],
)
def test_arguments_out_of_range_are_said_before_any_work(tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    assert main(["synthesize", "--out", str(out), "--jobs", "1", *SMALL, *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()
