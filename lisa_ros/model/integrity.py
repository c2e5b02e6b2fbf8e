"""Are a checkpoint's files the ones that were published? Their sha256 against what is known of them.

Two places know a file's sha256: ``SHA256SUMS`` beside it (``lisa convert`` writes one; ``sha256sum -c`` reads it), and
the hub's cache, in which a large file is a link to a blob of that name. A file is hashed once and remembered with its
size and time of change, so only the first load of a checkpoint pays for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lisa_ros.model.config import CheckpointError

SUMS = "SHA256SUMS"
CHUNK = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True)
class FileCheck:
    """A file's sha256 beside the expected one. None: nobody knows it (expected), or it was not computed (actual)."""

    file: Path
    expected: str | None
    actual: str | None

    @property
    def state(self) -> str:
        """ "ok", "wrong" or "unknown"."""
        if self.expected is None:
            return "unknown"
        return "ok" if self.actual == self.expected else "wrong"


def expected_sha256(file: Path) -> str | None:
    """What a file's sha256 should be, 64 hex digits, or None when nobody says.

    Raises:
        CheckpointError: a SHA256SUMS beside it cannot be read.
    """
    sums = file.parent / SUMS
    if sums.is_file():
        known = read_sums(sums)
        if file.name in known:
            return known[file.name]
    blob = file.resolve()
    if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name
    return None


def read_sums(path: Path) -> dict[str, str]:
    """File name -> sha256 of a file in sha256sum's format. Raises CheckpointError for another format."""
    sums = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        if not found:
            raise CheckpointError(
                f"{path}, line {number}: not '<sha256>  <file>'; remove the file or write it again with sha256sum"
            )
        sums[found[2].removeprefix("./")] = found[1].lower()
    return sums


def sums_text(digests: dict[str, str]) -> str:
    """The content of a SHA256SUMS file."""
    return "".join(f"{sha}  {name}\n" for name, sha in sorted(digests.items()))


def write_sums(directory: Path) -> None:
    """Write the SHA256SUMS of all files that lie in a directory now."""
    digests = {path.name: sha256_of(path) for path in directory.iterdir()}
    (directory / SUMS).write_text(sums_text(digests), encoding="utf-8")


def check_files(files: Iterable[Path], *, afresh: bool = False) -> list[FileCheck]:
    """Hash the files whose sha256 is known, several at a time.

    Args:
        afresh: hash again what was hashed before.
    """
    expected = {Path(file): expected_sha256(Path(file)) for file in files}
    known = [file for file, sha in expected.items() if sha]
    remembered = {} if afresh else _read_memory()
    fresh = [file for file in known if _fingerprint(file) not in remembered]
    if fresh:
        with ThreadPoolExecutor(min(len(fresh), os.cpu_count() or 1)) as pool:
            # fingerprints are taken before: a file that changes while it is hashed is then hashed again next time
            hashed = dict(zip([_fingerprint(file) for file in fresh], pool.map(sha256_of, fresh)))
        remembered = {**remembered, **hashed}
        _remember(hashed)
    return [FileCheck(file, sha, remembered.get(_fingerprint(file)) if sha else None) for file, sha in expected.items()]


def verify_files(files: Iterable[Path]) -> None:
    """Raises CheckpointError when a file is not the one it should be. Files nobody knows are let through."""
    wrong = [check for check in check_files(files) if check.state == "wrong"]
    if wrong:
        first = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"{first.file}{more}: its sha256 is {first.actual}, {_source(first.file)} says {first.expected}: "
            "the file is damaged or was changed; delete it and download or convert it again"
        )


def sha256_of(file: Path) -> str:
    """sha256 of a file, 64 hex digits. Raises CheckpointError when it cannot be read."""
    seen = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                seen.update(chunk)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error}); download it again") from error
    return seen.hexdigest()


def _source(file: Path) -> str:
    return SUMS if (file.parent / SUMS).is_file() and file.name in read_sums(file.parent / SUMS) else "the hub's cache"


def _fingerprint(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {file.resolve()}"


def _memory_path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lisa_ros" / "sha256.json"


def _read_memory() -> dict[str, str]:
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: no home directory
        memory = json.loads(_memory_path().read_text(encoding="utf-8"))
        if isinstance(memory, dict):
            return memory
    return {}


def _remember(hashed: dict[str, str]) -> None:
    """Add to the memory; where nothing can be written, files are just hashed again next time."""
    with suppress(OSError, RuntimeError):
        path = _memory_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        # files that changed or went are forgotten, so the memory does not grow
        paths = {key.split(" ", 2)[2] for key in hashed}
        kept = {k: sha for k, sha in _read_memory().items() if k.count(" ") >= 2 and k.split(" ", 2)[2] not in paths}
        handle, building = tempfile.mkstemp(prefix=".sha256-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({**kept, **hashed}, stream, indent=0)
        os.replace(building, path)
