"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_aside(path: Path, text: str) -> None:
    """Write text as UTF-8 beside `path` and move it there. Two processes may do so at once: the later one stands.

    Raises:
        OSError: with the file's name; nothing half-written is left.
    """
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(aside, 0o644)  # mkstemp's files are for their owner only
        os.replace(aside, path)
    except BaseException as error:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise OSError(f"{path}: cannot be written: {reason}; make room or choose another --out") from error
        raise
