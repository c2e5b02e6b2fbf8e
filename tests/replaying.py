"""For tests of the replay: a ReplayNode that runs."""

from __future__ import annotations

import pytest
from rclpy.parameter import Parameter

from lisa_ros.node.process import Spinning
from lisa_ros.node.replay import ReplayNode


@pytest.fixture
def play():
    """play(source, name=value, ...) -> ReplayNode that runs"""
    running = []

    def start(source, **parameters):
        overrides = [Parameter(name, value=value) for name, value in {"source": str(source), **parameters}.items()]
        node = ReplayNode(parameter_overrides=overrides)
        running.append((node, Spinning(node)))
        return node

    yield start
    for node, spinning in running:
        spinning.stop()
        node.close()
        node.destroy_node()
