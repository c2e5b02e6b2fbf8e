#!/usr/bin/env python3
"""Print requirements/constraints.txt for the environment of `./run shell`: run it there after changing a requirement.

`./run shell -c 'python scripts/freeze_requirements.py > requirements/constraints.new' && mv requirements/constraints.{new,txt}`
"""

import re
from importlib.metadata import distributions

HEADER = """\
# Every version of a working environment, for Python 3.11 and 3.12 on Linux x86_64, so that a build next year gets the same.
# Made by scripts/freeze_requirements.py; torch stands in core.txt, and its CUDA libraries are pinned by torch itself."""


def main() -> None:
    """Collect name==version of every installed distribution that pip can find again."""
    versions = {re.sub(r"[-_.]+", "-", dist.name).lower(): dist.version for dist in distributions()}
    # The ROS wheels bring a second record of the Python package inside (rclpy beside ros-rclpy), which no index knows.
    inside_wheels = {name.removeprefix("ros-") for name in versions if name.startswith("ros-")}
    skipped = inside_wheels | {"torch", "lisa-ros"} | {name for name in versions if name.startswith(("nvidia-", "cuda-", "triton"))}
    print(HEADER)
    for name in sorted(versions.keys() - skipped):
        print(f"{name}=={versions[name]}")


if __name__ == "__main__":
    main()
