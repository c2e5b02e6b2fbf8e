"""`lisa scannet-demo` with real processes, real DDS and the oracle for a model: python THIS --out OUT ..."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])

from scannet_oracle import SCENES, load  # noqa: E402

import lisa_ros.cli.model  # noqa: E402
from lisa_ros.cli.demo import processes  # noqa: E402
from lisa_ros.cli.main import main  # noqa: E402

start = processes.ros_process
FAKE = {"lisa_ros.node.main": "oracle_node"}
processes.ros_process = lambda name, module, *a, **options: start(name, FAKE.get(module, module), *a, **options)
lisa_ros.cli.model.load_engine = load
os.environ[SCENES] = sys.argv[sys.argv.index("--out") + 1]

if __name__ == "__main__":
    sys.exit(main(["scannet-demo", *sys.argv[1:]]))
