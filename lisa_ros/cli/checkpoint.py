"""A checkpoint as the command line names it: where it lies, and whether it is still the same one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lisa_ros.cli.errors import CommandError


def locate(model: str) -> Path:
    """The directory of a model: the embedded one, a local directory, or a hub id.

    :raises CommandError: there is no such model.
    """
    from lisa_ros.engine.models import resolve_model
    from lisa_ros.model.config import CheckpointError

    try:
        return resolve_model(model)
    except CheckpointError as error:
        raise CommandError(str(error)) from error


def digest(folder: Path) -> str:
    """Short text that changes when the checkpoint does: over names, sizes, times, and the content of small files."""
    seen = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            stat = path.stat()
            small = stat.st_size < 200_000_000
            seen.update(f"{path.name} {stat.st_size} {0 if small else stat.st_mtime_ns}\n".encode())
            if small:
                seen.update(hashlib.sha256(path.read_bytes()).digest())
    return seen.hexdigest()[:16]
