"""config/lisa.rviz and config/foxglove_layout.json show topics that the node has, as the types that it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DISPLAYS = {  # RViz display: message type
    "rviz_default_plugins/Image": "Image",
    "rviz_default_plugins/PointCloud2": "PointCloud2",
    "rviz_default_plugins/MarkerArray": "MarkerArray",
}
SYSTEM = {"/tf", "/tf_static", "/diagnostics"}


def outputs() -> dict[str, str]:
    """{topic: type} of the node's outputs; tests/ros/test_record.py holds them against a running node."""
    pytest.importorskip("rclpy")
    from lisa_ros.node.record import OUTPUTS

    return {f"/lisa/{name}": kind.__name__ for name, kind in OUTPUTS.items()}


def displays() -> list[dict]:
    return yaml.safe_load((ROOT / "config" / "lisa.rviz").read_text())["Visualization Manager"]["Displays"]


def test_rviz_topics_are_the_nodes():
    topics = outputs()
    shown = {}
    for display in displays():
        if "Topic" in display:
            shown[display["Topic"]["Value"]] = DISPLAYS[display["Class"]]
    assert shown == {topic: topics[topic] for topic in shown}
    assert shown.keys() == {f"/lisa/{name}" for name in ("overlay", "mask", "points", "background", "scene", "markers")}
    assert any(display["Class"] == "rviz_default_plugins/TF" for display in displays())


def test_rviz_listens_as_the_node_speaks():
    for display in displays():
        if "Topic" in display:
            assert display["Topic"]["Reliability Policy"] == "Reliable"
            assert display["Topic"]["Durability Policy"] == "Transient Local"
            assert display["Enabled"] == display["Value"]
    options = yaml.safe_load((ROOT / "config" / "lisa.rviz").read_text())["Visualization Manager"]["Global Options"]
    assert options["Fixed Frame"].endswith("optical_frame")


def panels(node) -> set[str]:
    """The panels that a Foxglove layout tree names."""
    if isinstance(node, str):
        return {node}
    assert node["direction"] in ("row", "column")
    return panels(node["first"]) | panels(node["second"])


def test_foxglove_panels_and_topics():
    layout = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
    configurations = layout["configById"]
    assert panels(layout["layout"]) == set(configurations)
    assert {name.partition("!")[0] for name in configurations} == {
        "3D", "Image", "RawMessages", "Publish", "DiagnosticSummary",
    }  # fmt: skip
    topics = outputs()
    scene = configurations["3D!lisa"]["topics"]
    assert scene.keys() - SYSTEM == {f"/lisa/{name}" for name in ("points", "background", "scene", "markers")}
    assert scene.keys() - SYSTEM <= topics.keys()
    for name in ("Image!overlay", "Image!mask"):
        mode = configurations[name]["imageMode"]
        assert topics[mode["imageTopic"]] == "Image" and topics[mode["calibrationTopic"]] == "CameraInfo"
    assert topics[configurations["RawMessages!result"]["topicPath"]] == "SegmentationResult"
    query = configurations["Publish!query"]
    assert query["topicName"] == "/lisa/query"
    assert query["datatype"] == "std_msgs/msg/String" and json.loads(query["value"])["data"]
