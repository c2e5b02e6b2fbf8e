"""A set of coloured points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Cloud:
    """points: float32 [N,3], metres, in the camera's optical frame. colors: uint8 [N,3], RGB. N may be 0."""

    points: np.ndarray
    colors: np.ndarray

    def __post_init__(self) -> None:
        if self.points.shape != self.colors.shape or self.points.ndim != 2 or self.points.shape[1] != 3:
            raise ValueError(
                f"points and colors must both be [N,3], got {list(self.points.shape)} and {list(self.colors.shape)}"
            )

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def empty(cls) -> Cloud:
        """A cloud of no points."""
        return cls(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))

    @property
    def centroid(self) -> np.ndarray | None:
        """The mean of the points, float64 [3], None for an empty cloud."""
        return self.points.mean(axis=0, dtype=np.float64) if len(self.points) else None
