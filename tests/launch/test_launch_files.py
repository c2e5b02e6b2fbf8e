"""Launch files: structure everywhere, and what they really start where `launch` and `launch_ros` are installed."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
EXPECTED = {
    "lisa.launch.py": {
        "model", "device", "dtype", "vision_tower", "conversation", "quantization", "clip_fit", "compile",
        "mode", "color_transport", "autostart", "use_sim_time",
        "namespace", "params_file", "log_level", "respawn",
    },
    "replay.launch.py": {"source", "frames", "rate", "loop", "stamps", "depth_encoding", "hold_frame"},
}  # fmt: skip


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
    assert modules <= {"os", "pathlib", "launch", "launch_ros"}


def test_launch_arguments_are_parameters_of_the_nodes():
    pytest.importorskip("rclpy")
    from lisa_ros.node.parameters import PARAMETERS

    ours = EXPECTED["lisa.launch.py"] - {"namespace", "params_file", "log_level", "respawn", "use_sim_time"}
    assert ours <= {declared.name for declared in PARAMETERS}
    assert EXPECTED["replay.launch.py"] <= text_constants(ROOT / "lisa_ros" / "node" / "replay.py")


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


def test_replay_starts_both(environment):
    _, nodes = visit(ROOT / "launch" / "replay.launch.py", source="arc2017")
    assert [node.node_executable for node in nodes] == ["lisa_node", "lisa_replay"]


def test_nonsense_is_refused(environment):
    with pytest.raises(RuntimeError, match="autostart"):
        visit(ROOT / "launch" / "lisa.launch.py", autostart="perhaps")
