"""`lisa demo` with real processes, real DDS and a stand-in for the model: python tests/unit/demo_with_fake_model.py [arguments]."""
from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS / "ros"), os.environ.get("PYTHONPATH", "")])

from lisa_ros.cli.demo import processes  # noqa: E402
from lisa_ros.cli.main import main  # noqa: E402

start = processes.ros_process
FAKE = {"lisa_ros.node.main": "fake_node"}
processes.ros_process = lambda name, module, *a, **options: start(name, FAKE.get(module, module), *a, **options)

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
