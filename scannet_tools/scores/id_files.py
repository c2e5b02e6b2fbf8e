"""ScanNet's result files: text, one whole number per vertex of `<scene>_vh_clean_2.ply`, in its order.

So are the predicted classes of the semantic benchmark (nyu40 ids), the truth of the instance benchmark (nyu40 id * 1000
+ number of the instance) and the masks of predicted instances (0 = out).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scannet_tools.aside import written_aside


def read_ids(path: str | Path, vertex_count: int | None = None) -> np.ndarray:
    """int64 [n], the numbers of a file. vertex_count: of the mesh that they are for, checked where given.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        ValueError: a line is no whole number, or there are too few or too many; names the file.
    """
    path = Path(path)
    lines = path.read_bytes().splitlines()
    try:
        ids = np.array(lines, dtype=object).astype(np.int64)
    except (ValueError, OverflowError):
        number = next(number for number, line in enumerate(lines, start=1) if not _is_whole(line))
        raise ValueError(
            f"{path}, line {number}: {lines[number - 1][:40]!r} is no whole number; there is one per line and vertex"
        ) from None
    if vertex_count is not None and len(ids) != vertex_count:
        raise ValueError(
            f"{path}: {len(ids)} lines, and the mesh has {vertex_count} vertices; it must have a line for each vertex "
            "of <scene>_vh_clean_2.ply"
        )
    return ids


def _is_whole(line: bytes) -> bool:
    try:
        return -(1 << 63) <= int(line) < 1 << 63
    except ValueError:
        return False


def write_ids(path: str | Path, ids: np.ndarray) -> None:
    """Write whole numbers [n] (booleans as 0 and 1). The file appears whole or not at all.

    Raises:
        OSError: it cannot be written; names the file.
    """
    text = "\n".join(map(str, np.asarray(ids).astype(np.int64).tolist()))
    with written_aside(path) as file:
        file.write(f"{text}\n".encode() if text else b"")
