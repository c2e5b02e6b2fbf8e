"""The node's real process with the oracle for a model: python -m oracle_node --ros-args ..."""

from __future__ import annotations

import sys

from scannet_oracle import load

from lisa_ros.node.main import main

if __name__ == "__main__":
    sys.exit(main(engine_factory=load))
