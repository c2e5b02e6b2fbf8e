"""What the `lisa` command says when it cannot go on: one sentence with the file or flag and what to do, no traceback."""
from __future__ import annotations


class CommandError(Exception):
    """The command failed (exit status 1)."""

    exit_status = 1


class UsageError(CommandError):
    """The command line cannot be carried out as written (exit status 2)."""

    exit_status = 2
