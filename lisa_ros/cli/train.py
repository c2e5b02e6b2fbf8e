"""`lisa train`: the door to lisa_ros.training; its arguments are that module's."""
from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Hand all arguments on."""
    from lisa_ros.training.mini.run import main as run

    return run(list(argv))
