"""The `lisa` command: a thin door to everything else. One module per sub-command, imported only when it is asked for."""
from __future__ import annotations

from lisa_ros.cli.main import main

__all__ = ["main"]
