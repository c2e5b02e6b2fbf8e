"""The node's real process with a fake engine: python tests/ros/fake_node.py --ros-args ..."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripted_engine import load

from lisa_ros.node.main import main

if __name__ == "__main__":
    sys.exit(main(engine_factory=load))
