"""Launch files: structure everywhere, and what they really start where `launch` and `launch_ros` are installed."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
EXPECTED = {
    "lisa.launch.py": {
        "model", "device", "dtype", "vision_tower", "conversation", "quantization", "clip_fit", "compile",
        "mode", "query", "target_frame", "color_transport", "depth_transport", "autostart", "use_sim_time",
        "namespace", "params_file", "camera", "rviz", "log_level", "respawn",
    },
    "replay.launch.py": {
        "source", "frames", "rate", "loop", "stamps", "depth_encoding", "hold_frame",
        "color_topic", "depth_topic", "camera_info_topic", "record",
    },
}  # fmt: skip
NO_PARAMETERS = {"namespace", "params_file", "camera", "rviz", "log_level", "respawn", "record"}
OTHER_NAMES = {"query": "standing_query"}  # argument: parameter


def text_constants(path: Path) -> set[str]:
    return {
        n.value
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


def test_all_launch_files_are_covered():
    assert {path.name for path in FILES} == set(EXPECTED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_arguments_are_declared_and_nothing_is_evaluated_or_fetched(path):
    tree = ast.parse(path.read_text())
    assert EXPECTED[path.name] <= text_constants(path)
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert "DeclareLaunchArgument" in calls and not calls & {"eval", "exec", "compile", "open"}
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    assert modules <= {"os", "pathlib", "yaml", "launch", "launch_ros", "lisa_ros"}


def test_launch_arguments_are_parameters_of_the_nodes():
    pytest.importorskip("rclpy")
    from lisa_ros.node.parameters import PARAMETERS

    ours = {OTHER_NAMES.get(name, name) for name in EXPECTED["lisa.launch.py"] - NO_PARAMETERS - {"use_sim_time"}}
    assert ours <= {declared.name for declared in PARAMETERS}
    replay = text_constants(ROOT / "lisa_ros" / "node" / "replay.py")
    replay |= {"color_topic", "depth_topic", "camera_info_topic"}  # declared in a loop
    assert EXPECTED["replay.launch.py"] - NO_PARAMETERS <= replay


def test_fast_dds_profile_has_room_for_frames():
    tree = ElementTree.parse(ROOT / "config" / "fastdds.xml")
    names = {element.tag.rpartition("}")[2]: element for element in tree.iter()}
    assert int(names["segment_size"].text) >= 32 << 20
    assert names["participant"].attrib["is_default_profile"] == "true"


# ---- with the real launch packages ----
def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def visit(path: Path, **arguments: str):
    """The context and the flat list of what a launch file does, without starting processes."""
    launch = pytest.importorskip("launch")
    pytest.importorskip("launch_ros")
    from launch.actions import ExecuteProcess

    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    found = []

    def walk(entity):
        if isinstance(entity, ExecuteProcess):
            found.append(entity)
            return
        for child in entity.visit(context) or []:
            walk(child)

    walk(load(path).generate_launch_description())
    return context, found


@pytest.fixture
def environment(monkeypatch):
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_node_is_started_with_the_profile(environment):
    context, (node,) = visit(ROOT / "launch" / "lisa.launch.py", model="5", namespace="arm")
    assert os.path.samefile(context.environment["FASTRTPS_DEFAULT_PROFILES_FILE"], ROOT / "config" / "fastdds.xml")
    assert node.node_executable == "lisa_node"


def test_profile_of_the_user_is_kept(monkeypatch):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    context, _ = visit(ROOT / "launch" / "lisa.launch.py")
    assert context.environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/mine.xml"


def parameters_of(command: list[str]) -> dict:
    """What the --params-file arguments say, later ones over earlier ones."""
    found = {}
    for option, file in zip(command, command[1:]):
        if option == "--params-file":
            for content in yaml.safe_load(Path(file).read_text()).values():
                found |= content["ros__parameters"]
    return found


def remaps_of(command: list[str]) -> dict:
    return dict(
        text.split(":=") for option, text in zip(command, command[1:]) if option == "-r" and not text.startswith("__")
    )


@pytest.fixture
def commands(monkeypatch):
    """commands(path, name=value, ...) -> {executable: its arguments}; nothing is started."""
    pytest.importorskip("launch_ros")
    from launch.actions import ExecuteLocal
    from launch.utilities import perform_substitutions

    made = {}

    def note(self, context):
        made[self.node_executable] = [perform_substitutions(context, parts) for parts in self.cmd[1:]]

    monkeypatch.setattr(ExecuteLocal, "execute", note)

    def run(path: Path, **arguments: str) -> dict[str, list[str]]:
        made.clear()
        context, nodes = visit(path, **arguments)
        for node in nodes:
            node.execute(context)
        return dict(made)

    return run


def test_a_preset_sets_remaps_and_parameters_and_arguments_win(environment, commands):
    launched = commands(
        ROOT / "launch" / "lisa.launch.py", camera="scannet", depth_transport="raw", query="5", compile="true"
    )
    assert launched.keys() == {"lisa_node"}
    assert remaps_of(launched["lisa_node"])["color/image_raw/compressed"] == "/color/image_raw/compressed"
    parameters = parameters_of(launched["lisa_node"])
    assert (parameters["color_transport"], parameters["depth_transport"]) == ("compressed", "raw")
    assert parameters["standing_query"] == "5" and parameters["compile"] is True
    assert parameters["model"] == "lisa-mini"  # of config/lisa.yaml


def test_a_bad_camera_lists_the_presets(environment):
    with pytest.raises(ValueError, match="neither a preset .azure_kinect, oakd, realsense, scannet, zed. nor"):
        visit(ROOT / "launch" / "lisa.launch.py", camera="realsens")


def test_rviz_sees_the_nodes_namespace_and_the_cameras_frame(environment, commands):
    rviz = commands(ROOT / "launch" / "lisa.launch.py", camera="oakd", namespace="arm", rviz="true")["rviz2"]
    assert remaps_of(rviz)["/lisa/points"] == "/arm/lisa/points"
    assert Path(rviz[rviz.index("-d") + 1]).is_file()
    assert rviz[rviz.index("-f") + 1] == "oak_rgb_camera_optical_frame"
    rviz = commands(ROOT / "launch" / "lisa.launch.py", camera="oakd", target_frame="base", rviz="true")["rviz2"]
    assert rviz[rviz.index("-f") + 1] == "base" and remaps_of(rviz) == {}


def test_replay_starts_all_of_them(environment, commands):
    file = ROOT / "launch" / "replay.launch.py"
    assert commands(file, source="arc2017").keys() == {"lisa_node", "lisa_replay"}
    launched = commands(file, source="7", record="8", camera="realsense", query="the chair")
    assert launched.keys() == {"lisa_node", "lisa_replay", "lisa_record"}
    assert parameters_of(launched["lisa_record"]) == {"out": "8"}
    played = parameters_of(launched["lisa_replay"])
    assert played["source"] == "7" and played["rate"] == 0.0 and played["loop"] is True and played["hold_frame"] == -1
    # what one says the other hears
    assert remaps_of(launched["lisa_replay"]) == remaps_of(launched["lisa_node"]) != {}
    assert parameters_of(launched["lisa_node"])["standing_query"] == "the chair"


@pytest.fixture
def warnings(monkeypatch):
    launch = pytest.importorskip("launch.logging")
    said = []
    monkeypatch.setattr(launch.get_logger("lisa_ros"), "warning", said.append)
    return said


@pytest.mark.parametrize("file", sorted(EXPECTED))
def test_misspelt_arguments_are_told(environment, warnings, file):
    visit(ROOT / "launch" / file, namspace="x")
    assert warnings == ["launch argument namspace is not known and has no effect; did you mean namespace?"]


def test_arguments_of_the_one_are_no_misspellings_for_the_other(environment, warnings):
    visit(ROOT / "launch" / "replay.launch.py", **{name: "" for name in ("robot", "use_rviz_config")})
    assert warnings == []
    visit(ROOT / "launch" / "replay.launch.py", sorce="x")
    assert warnings == ["launch argument sorce is not known and has no effect; did you mean source?"]


def test_nonsense_is_refused(environment):
    with pytest.raises(ValueError, match="autostart must be true or false"):
        visit(ROOT / "launch" / "lisa.launch.py", autostart="perhaps")
