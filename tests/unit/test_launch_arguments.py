"""Launch arguments as values, misspelt names, camera presets; without launch and without ROS."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from lisa_ros.node.launch_arguments import INPUT_TOPICS, ArgumentError, misspelt, read_camera, value

CAMERAS = {"realsense", "oakd", "azure_kinect", "zed", "scannet"}


@pytest.fixture
def cameras(repository):
    return repository / "config" / "cameras"


def test_values():
    assert value("model", str, "5") == "5"
    assert [value("x", bool, text) for text in ("true", "False", "1", "0")] == [True, False, True, False]
    assert value("x", int, "-1") == -1 and value("x", float, "2") == 2.0


@pytest.mark.parametrize(
    "kind, text, says", [(bool, "perhaps", "true or false"), (int, "1.5", "an integer"), (float, "", "a number")]
)
def test_bad_values_name_the_argument(kind, text, says):
    with pytest.raises(ArgumentError, match=f'launch argument loop must be {says}, got "{text}"'):
        value("loop", kind, text)


def test_misspelt_names_are_found_and_strangers_left_alone():
    declared = ["model", "namespace", "params_file", "camera"]
    given = {"modle": "", "param_file": "", "model": "", "robot_ip": "", "slam": ""}
    assert misspelt(given, declared) == {"modle": "model", "param_file": "params_file"}


def test_no_camera_remaps_nothing(cameras):
    assert read_camera("", cameras).remaps == {} == read_camera("", cameras).parameters


@pytest.mark.parametrize("name", sorted(CAMERAS))
def test_presets(cameras, name):
    preset = read_camera(name, cameras)
    assert set(preset.remaps) == set(INPUT_TOPICS)
    for ours, theirs in preset.remaps.items():
        assert theirs.startswith("/")
        transport = ours.rpartition("/")[2]
        assert not transport.startswith("compressed") or theirs.endswith("/" + transport)
    assert preset.remaps["color/image_raw/compressed"] == preset.remaps["color/image_raw"] + "/compressed"
    folder = preset.remaps["color/image_raw"].rpartition("/")[0]
    assert preset.remaps["color/camera_info"] == folder + "/camera_info"
    assert preset.parameters["depth_scale"] == 0.001 and preset.optical_frame
    content = yaml.safe_load((cameras / f"{name}.yaml").read_text())
    assert content["description"] and content["driver"].startswith("ros2 ")


def test_no_preset_is_forgotten(cameras):
    assert {path.stem for path in cameras.glob("*.yaml")} == CAMERAS


def test_parameters_of_presets_are_the_nodes(cameras):
    pytest.importorskip("rclpy")
    from lisa_ros.node.parameters import PARAMETERS

    declared = {declared.name: declared for declared in PARAMETERS}
    for name in CAMERAS:
        for parameter, wanted in read_camera(name, cameras).parameters.items():
            assert declared[parameter].complaint(wanted) == ""


def test_a_file_of_ones_own(tmp_path, cameras):
    file = tmp_path / "mine.yaml"
    file.write_text("remaps: {color/image_raw: /my/color}\nparameters: {depth_scale: 0.0001}\n")
    preset = read_camera(str(file), cameras)
    assert preset.remaps == {"color/image_raw": "/my/color"} and preset.parameters == {"depth_scale": 0.0001}


def test_unknown_camera_lists_the_presets(cameras):
    with pytest.raises(ArgumentError, match='camera: "realsens" .*azure_kinect, oakd, realsense, scannet, zed'):
        read_camera("realsens", cameras)


@pytest.mark.parametrize(
    "text, says",
    [
        ("- a", "is a mapping"),
        ("remap: {}", "unknown: remap"),
        ("remaps: x", "remaps must be a mapping"),
        ("remaps: {rgb: /x}", '"rgb" is no camera topic'),
        ("remaps: {color/image_raw: 5}", "needs the driver's topic name"),
        ("remaps: {", "cannot be read"),
        ("driver: 5", "driver must be a text"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, cameras, text, says):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ArgumentError, match=says) as error:
        read_camera(str(file), cameras)
    assert "mine.yaml" in str(error.value)


def test_a_launch_file_pays_for_nothing_it_does_not_need(repository):
    code = (
        "import sys, lisa_ros.node.launch_arguments; "
        "print(*[name for name in ('torch', 'rclpy', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split() == [], done.stderr
