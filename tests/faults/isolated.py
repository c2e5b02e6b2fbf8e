"""Nodes under test whose engine runs in a process of its own, as it does on a robot, and misbehaves on command."""

from __future__ import annotations

import gc
from pathlib import Path

import isolated_node
import pytest
from node_harness import Client, Running
from std_msgs.msg import String

from lisa_ros.engine.isolation import IsolatedEngine, keeper


class Isolated(Running):
    """A node whose engine notes in a folder what it does. engines: all that were loaded, the newest last."""

    def __init__(self, notes: Path, **parameters) -> None:
        self.notes = notes
        self.engines: list[IsolatedEngine] = []
        super().__init__(self._load, **parameters)

    @property
    def engine(self) -> IsolatedEngine:
        """The newest."""
        return self.engines[-1]

    def begin(self, client: Client, query: str) -> None:
        """Publish a query, until the engine's process has it."""
        client.query.publish(String(data=query))
        self.begun(client)

    def begun(self, client: Client) -> None:
        """Wait until the engine's process has a query."""
        client.until((self.notes / "begun").exists)
        (self.notes / "begun").unlink()

    def _load(self, model: str, **options) -> IsolatedEngine:
        self.engines.append(isolated_node.load(str(self.notes), model, **options))
        return self.engines[-1]


@pytest.fixture
def make_isolated(tmp_path, monkeypatch):
    """make_isolated(parameter=value, ...) -> Isolated, configured and active; engines start again without a pause."""
    monkeypatch.setattr(keeper, "RESTART_SECONDS", 0.05)
    nodes: list[Isolated] = []

    def make(*, start: bool = True, **parameters) -> Isolated:
        gc.collect()  # lifecycle nodes of earlier tests live until then, and /rosout serves one node of a name only
        node = Isolated(tmp_path, **parameters)
        nodes.append(node)
        if start:
            node.start()
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def isolated(make_isolated):
    """A node with default parameters, active."""
    return make_isolated()
