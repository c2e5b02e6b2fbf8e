"""What every test needs before anything is imported: a ROS 2 domain of its own and few threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests must neither hear nor disturb a robot on the network, nor the tests of another worker (pytest -n): each process of
# pytest has a domain of its own, whatever `./run test` or a shell has set.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(os.getpid() % 101 + 1)
# Small models on small machines: more threads than this only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root directory of the checkout."""
    return Path(__file__).resolve().parent.parent
