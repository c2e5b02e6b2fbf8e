"""Nodes whose engine runs in a process of its own and misbehaves on command (isolation_engines.py).

In a test: make_isolated(parameter=value, ...). As a process: python isolated_node.py NOTES --ros-args ...
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    tests = Path(__file__).parents[1]
    sys.path[:0] = [str(tests), str(tests / "unit")]

import isolation_engines

from lisa_ros.engine.isolation import IsolatedEngine, keeper


class Factory:
    """Called as Engine.load is. notes: a folder where the engine leaves files, see isolation_engines.py.

    engines: all that were made.
    """

    def __init__(self, notes: str) -> None:
        self._notes = notes
        self.engines: list[IsolatedEngine] = []

    def __call__(self, model: str, **options) -> IsolatedEngine:
        # Options for torch mean nothing to these engines.
        self.engines.append(IsolatedEngine(model, factory=isolation_engines.load, notes=self._notes))
        return self.engines[-1]


if __name__ == "__main__":
    from lisa_ros.node.main import main

    sys.exit(main([sys.argv[0], *sys.argv[2:]], engine_factory=Factory(sys.argv[1])))


import pytest  # noqa: E402 - the process needs no tests
from node_harness import Client, Running  # noqa: E402
from std_msgs.msg import String  # noqa: E402


class Isolated(Running):
    """A node under test with its engine in another process."""

    def __init__(self, notes: Path, **parameters) -> None:
        self.notes, self.factory = notes, Factory(str(notes))
        super().__init__(self.factory, **parameters)

    @property
    def process(self) -> IsolatedEngine:
        """The newest engine."""
        return self.factory.engines[-1]

    def begin(self, client: Client, query: str) -> None:
        """Publish a query, until the engine's process has it."""
        client.query.publish(String(data=query))
        client.until((self.notes / "begun").exists)
        (self.notes / "begun").unlink()


@pytest.fixture
def make_isolated(tmp_path, monkeypatch):
    """make_isolated(parameter=value, ...) -> Isolated, configured and active; engines start again without a pause."""
    monkeypatch.setattr(keeper, "RESTART_SECONDS", 0.05)
    nodes: list[Isolated] = []
