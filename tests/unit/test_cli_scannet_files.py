"""`scannet_tools info` and `scannet_tools export`, as a user types them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_sens import COLOR, DEPTH, HEADER, color, depth, write

from lisa_ros.geometry import Camera
from lisa_ros.sources.folder import read_folder
from scannet_tools.cli import main
from scannet_tools.sens import SensFile


def test_info_as_json(tmp_path, capsys):
    path = write(tmp_path / "a.sens", lost=(1,), imu=2)
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["version"], facts["sensor"], facts["frames"], facts["frames_with_pose"]) == (4, "StructureSensor", 4, 3)
    assert facts["sizes"] == {"color": list(COLOR), "depth": list(DEPTH)} and facts["imu_frames"] == 2
    assert facts["intrinsics"]["color"][0][0] == 60 and facts["truncated"] is False and facts["seconds_to_index"] > 0


def test_info_for_people_says_what_is_missing(tmp_path, capsys):
    path = write(tmp_path / "a.sens", stamps=lambda number: 0)
    path.write_bytes(path.read_bytes()[:-2000])
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "of 4 announced: the file is cut off" in text and "made up" in text


@pytest.mark.parametrize("verb", [["info"], ["export", "--out", "x"]])
def test_no_such_file(tmp_path, capsys, verb):
    assert main([*verb, str(tmp_path / "none.sens")]) == 1
    assert "none.sens" in capsys.readouterr().err


def test_every_verb_has_help(capsys):
    for verb in ("info", "export", "bag", "replay", "synthesize", "evaluate"):
        assert main([verb, "--help"]) == 0
        assert f"scannet_tools {verb}" in capsys.readouterr().out


def test_export_opens_as_a_folder_of_frames(tmp_path):
    path, out = write(tmp_path / "a.sens", frames=7, lost=(4,)), tmp_path / "out"
    assert main(["export", str(path), "--out", str(out), "--every", "2", "--start", "0", "--max", "3"]) == 0
    frames = list(read_folder(out))
    assert [frame.stamp_ns for frame in frames] == [1_033_000_000, 1_099_000_000, 1_165_000_000]
    assert [frame.camera_to_world is None for frame in frames] == [False, False, True]
    np.testing.assert_allclose(frames[1].depth, depth(2) / 1000, atol=5e-4)
    assert np.abs(frames[1].color.astype(int) - color(2)).max() <= 6
    assert sorted(file.name for file in (out / "pose").iterdir()) == ["000000.txt", "000002.txt"]
    np.testing.assert_array_equal(np.loadtxt(out / "pose" / "000002.txt")[:, 3], (2, 0, 0, 1))


def test_export_goes_on_where_it_stopped(tmp_path, capsys):
    path, out = write(tmp_path / "a.sens"), tmp_path / "out"
    assert main(["export", str(path), "--out", str(out), "--max", "2"]) == 0
    kept = (out / "color" / "000001.jpg").stat().st_mtime_ns
    (out / "depth" / "000000.png").unlink()
    assert main(["export", str(path), "--out", str(out)]) == 0
    assert "4 frames, 1 of them were there already" in capsys.readouterr().out
    assert (out / "color" / "000001.jpg").stat().st_mtime_ns == kept and len(list(read_folder(out))) == 4


def test_export_keeps_to_one_recording(tmp_path, capsys):
    first, other, out = write(tmp_path / "a.sens"), write(tmp_path / "b.sens", sensor_name="other"), tmp_path / "out"
    assert main(["export", str(first), "--out", str(out), "--max", "2"]) == 0
    before = (out / "meta.json").read_bytes()
    assert main(["export", str(other), "--out", str(out)]) == 1
    assert "frames of another recording" in capsys.readouterr().err and (out / "meta.json").read_bytes() == before
    (out / "meta.json").unlink()
    assert main(["export", str(first), "--out", str(out)]) == 1
    assert "no meta.json that says whose" in capsys.readouterr().err


def test_export_leaves_damaged_frames_out(tmp_path, capsys, caplog):
    path, out = write(tmp_path / "a.sens"), tmp_path / "out"
    with SensFile(path) as sens:
        data = path.read_bytes().replace(sens.frame(1).depth_bytes(), bytes(len(sens.frame(1).depth_bytes())))
    path.write_bytes(data)
    assert main(["export", str(path), "--out", str(out)]) == 0
    assert "3 frames; 1 left out, damaged" in capsys.readouterr().out
    assert f"{path}: frame 1: the depth picture is damaged" in caplog.text
    assert len(read_folder(out)) == 3 and not (out / "color" / "000001.jpg").exists()
    assert main(["export", str(path), "--out", str(tmp_path / "none"), "--start", "1", "--max", "1"]) == 1
    assert "none of the 1 frames could be read" in capsys.readouterr().err


@pytest.mark.parametrize("compression", ["raw", "png", "jpeg"])
def test_export_of_each_compression(tmp_path, compression):
    path, out = write(tmp_path / "a.sens", color_compression=compression, depth_shift=5000.0), tmp_path / "out"
    assert main(["export", str(path), "--out", str(out)]) == 0
    with SensFile(path) as sens:
        if compression != "raw":
            extension = {"png": "png", "jpeg": "jpg"}[compression]
            assert (out / "color" / f"000003.{extension}").read_bytes() == sens.frame(3).color_bytes()
        assert np.abs(read_folder(out)[3].color.astype(int) - sens.frame(3).color()).max() <= 1
    np.testing.assert_allclose(read_folder(out)[3].depth, depth(3) / 5000, atol=5.1e-4)
    np.testing.assert_array_equal(np.loadtxt(out / "intrinsic" / "intrinsic_color.txt"), HEADER.intrinsic_color)
    assert Camera.from_json(out / "camera.json")[0] == read_folder(out)[0].camera


def test_export_on_a_full_disk_leaves_only_whole_files(tmp_path, capsys):
    import resource

    path, out = write(tmp_path / "a.sens", color_compression="raw"), tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1200, before[1]))  # room for the lists, not for depth
        assert main(["export", str(path), "--out", str(out)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be written" in capsys.readouterr().err and not list(out.rglob("*.part"))
    assert main(["export", str(path), "--out", str(out)]) == 0 and len(read_folder(out)) == 4


def test_export_of_no_frame_is_an_error(tmp_path, capsys):
    assert main(["export", str(write(tmp_path / "a.sens")), "--out", str(tmp_path / "out"), "--start", "9"]) == 1
    assert "no frame is left: the recording has 4" in capsys.readouterr().err
