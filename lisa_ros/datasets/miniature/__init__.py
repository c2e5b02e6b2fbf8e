"""All of LISA's data sets in small: synthetic pictures in exactly the official folders and formats.

For tests, and for `lisa train config/train/tiny.yaml`, where nobody has downloaded 200 GB yet. Nothing here comes from
the data sets themselves.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from lisa_ros.datasets.example import DatasetError
from lisa_ros.datasets.miniature.pictures import Picture, draw_pictures

MARK = "miniature.txt"
VALIDATION_SHARE = 4  # one held-out picture for so many training pictures


def write_miniature(root: Path, *, frames: int, seed: int = 0, width: int = 320, height: int = 240) -> None:
    """Write all data sets under ``root``, which appears when it is whole. A root that was written so is kept.

    Args:
        frames: training pictures; a fourth as many are made for validation, of other scenes.

    Raises:
        DatasetError: the root holds something else.
    """
    root = Path(root)
    said = f"{frames} synthetic pictures of {width}x{height}, seed {seed}, written by lisa_ros\n"
    if root.exists():
        found = (root / MARK).read_text(encoding="utf-8") if (root / MARK).is_file() else ""
        if found == said:
            return
        raise DatasetError(f"{root} holds {found.strip() or 'other data'}; give another folder, or remove it")
    from lisa_ros.datasets.miniature import instruct, parts, reasoning, referring, semantic, synthetic

    root.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        held_out = max(2, frames // VALIDATION_SHARE)
        with tqdm(total=frames + held_out, desc="miniature data", unit="picture", disable=None) as bar:
            train = draw_pictures(seed, frames, "train", 1, width, height, bar.update)
            validation = draw_pictures(seed, held_out, "val", 100_001, width, height, bar.update)
        for write in (semantic.write, parts.write, instruct.write):
            write(building, train)
        for write in (referring.write, reasoning.write, synthetic.write):
            write(building, train, validation)
        (building / MARK).write_text(said, encoding="utf-8")
        building.chmod(0o755)
        os.rename(building, root)
    finally:
        shutil.rmtree(building, ignore_errors=True)


__all__ = ["Picture", "write_miniature"]
