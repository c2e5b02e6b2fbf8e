"""Writing a file so that it is there whole or not at all: beside its place, and then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_aside(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write bytes to, which takes the place of `path` when the block ends well; else nothing is left of it.

    Raises:
        OSError: `path` cannot be written (no such folder, disk full); its message names it.
    """
    path, aside = Path(path), None
    try:
        number, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(number, "wb") as file:
            yield file
        os.chmod(aside, 0o666 & ~_umask())  # mkstemp's files are for their owner only
        os.replace(aside, path)
    except BaseException as error:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise OSError(
                error.errno, f"{path}: cannot be written: {reason}; make room or choose another place"
            ) from error
        raise


def _umask() -> int:
    """There is no way to ask for it without setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
