"""Writing a file so that it is there whole or not at all: beside its place, and then renamed."""

from __future__ import annotations

import io
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
        OSError: `path` cannot be written (no such folder, disk full); its message names it. Errors of the block that
            do not come from this file pass as they are.
    """
    path = Path(path)
    try:
        number, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with io.BufferedWriter(_NamedFile(number, path)) as file:
            yield file
        try:
            os.chmod(aside, 0o666 & ~_umask())  # mkstemp's files are for their owner only
            os.replace(aside, path)
        except OSError as error:
            raise _cannot_write(path, error) from error
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


class _NamedFile(io.FileIO):
    """A file whose errors name the place that it is for, not where it lies until then."""

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(number, "wb")
        self._path = path

    def write(self, data: bytes) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _cannot_write(self._path, error) from error


def _cannot_write(path: Path, error: OSError) -> OSError:
    named = OSError(f"{path}: cannot be written: {error.strerror or error}; make room or choose another place")
    named.errno = error.errno
    return named


def _umask() -> int:
    """There is no way to ask for it without setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
