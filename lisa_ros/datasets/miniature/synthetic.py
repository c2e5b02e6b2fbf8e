"""The same pictures as shards of scannet_tools.synthetic, with all their questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lisa_ros.datasets.miniature.pictures import Picture
from lisa_ros.datasets.synthetic import FOLDER
from scannet_tools.synthetic.export import write_frames


def write(root: Path, train: Sequence[Picture], validation: Sequence[Picture]) -> None:
    """One shard a split."""
    for split, pictures in (("train", train), ("val", validation)):
        folder = root / FOLDER / split
        folder.mkdir(parents=True)
        write_frames(folder / "frames_0000000", ((picture.id, picture.frame) for picture in pictures))
