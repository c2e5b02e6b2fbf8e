"""What is measured of each thing of validation scenes, by how many pixels show it. For other benchmarks; on its own it does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

from scannet_tools.synthetic import make_frame
from scannet_tools.synthetic.scene import SyntheticFrame

FIRST_SEED = 9000
"""Of scenes that no other measure uses."""
SIZES = (300, 1000, 2000, 4000, 8000, 16000)
"""Least pixels of 640 x 480; smaller things are left out."""


def by_size(measure: Callable[[SyntheticFrame, list[Any]], Iterable[Any]], count: int) -> dict[int | str, list[Any]]:
    """``measure`` of ``count`` scenes, which gives a value for each of the things that it is called with: values by size, "all" last."""
    found: dict[int | str, list[Any]] = {size: [] for size in SIZES}
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + count), unit="frame", disable=None):
        frame = make_frame(seed, split="val")
        things = [thing for thing in frame.objects if thing.pixels >= SIZES[0]]
        for thing, value in zip(things, measure(frame, things), strict=True):
            found[max(size for size in SIZES if size <= thing.pixels)].append(value)
    return {**{size: values for size, values in found.items() if values}, "all": sum(found.values(), [])}
