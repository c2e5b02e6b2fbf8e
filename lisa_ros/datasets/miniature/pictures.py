"""The synthetic pictures that the miniature data sets share, and the files that several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from scannet_tools.synthetic import make_frame
from scannet_tools.synthetic.scene import SceneObject, SyntheticFrame

SMALLEST_SHARE = 0.004  # of the picture: smaller things are annotated in no data set


@dataclass(frozen=True)
class Picture:
    """A synthetic frame under the id that COCO would give it."""

    id: int
    frame: SyntheticFrame

    @property
    def objects(self) -> list[SceneObject]:
        """Those that are large enough to be annotated."""
        least = SMALLEST_SHARE * self.frame.instance.size
        return [item for item in self.frame.objects if item.pixels >= least]

    def mask(self, *numbers: int) -> np.ndarray:
        """bool [H,W] of objects."""
        return np.isin(self.frame.instance, numbers)


def draw_pictures(
    seed: int, count: int, split: str, first_id: int, width: int, height: int, advance: Callable[[int], object]
) -> list[Picture]:
    """Pictures of scenes seed*100000, ... of a split of ``scannet_tools.synthetic``."""
    pictures = []
    for number in range(count):
        frame = make_frame(seed * 100_000 + number, split=split, width=width, height=height)
        pictures.append(Picture(first_id + number, frame))
        advance(1)
    return pictures


def write_jpeg(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", picture.frame.color[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def write_labels(path: Path, labels: np.ndarray) -> None:
    """A PNG uint8 [H,W] of one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", labels)[1].tobytes())


def outline(mask: np.ndarray) -> list[list[float]]:
    """A mask's outer borders as polygons [x, y, x, y ...], as people draw them; pieces of a few pixels are left out."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    kept = [border for border in found if len(border) >= 3 and cv2.contourArea(border) >= 8]
    return [[float(value) for value in border.ravel()] for border in kept]


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A mask as COCO's compressed run lengths."""
    coded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": coded["size"], "counts": coded["counts"].decode()}


def box(mask: np.ndarray) -> list[float]:
    """[x, y, width, height]."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return [float(x), float(y), float(width), float(height)]
