"""The node's real process with an engine in a process of its own that misbehaves on command (isolation_engines.py).

python tests/faults/isolated_node.py NOTES --ros-args ...   NOTES: the folder where the engine leaves files
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    tests = Path(__file__).parents[1]
    sys.path[:0] = [str(tests), str(tests / "unit")]

import isolation_engines

from lisa_ros.engine.isolation import IsolatedEngine
from lisa_ros.node.main import main


def load(notes: str, model: str, **options) -> IsolatedEngine:
    """An engine factory; options for torch mean nothing to these engines."""
    return IsolatedEngine(model, factory=isolation_engines.load, notes=notes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], engine_factory=partial(load, sys.argv[1])))
