"""What every test needs before anything is imported: a ROS 2 domain of its own and few threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests must neither hear nor disturb a robot on the network, nor the tests of another worker (pytest -n): each process of
# pytest has a domain of its own, whatever `./run test` or a shell has set.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(os.getpid() % 101 + 1)
# Small models on small machines: more threads than this only wait for each other, and waiting threads take the cores from other workers' tests.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    os.environ["OMP_NUM_THREADS"] = str(max(1, 2 // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
else:
    os.environ.setdefault("OMP_NUM_THREADS", "2")
# Tables are as wide as the terminal; tests read them at one width.
os.environ["COLUMNS"] = "120"


@pytest.fixture(autouse=True)
def environment_is_kept() -> Iterator[None]:
    """Commands run in this process set variables (the demo: its own ROS domain): not for the tests that follow."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root directory of the checkout."""
    return Path(__file__).resolve().parent.parent
