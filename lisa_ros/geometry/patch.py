"""A rectangle of a depth image as its camera sees it, and which of its pixels are points: what lifting works on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.cloud import Cloud
from lisa_ros.geometry.depth import pixel_lookup
from lisa_ros.geometry.frame import ASPECT_TOLERANCE

# Bits of each axis in a voxel's key: cells 2 million voxels apart share one.
_KEY_BITS = 21


@dataclass
class Patch:
    """Pixels of a depth image.

    rows, columns: where the patch lies in the depth image, which is of size `grid` (h,w). depth: float32 of the patch's
    shape, metres, 0 = none. chosen: bool of the same shape, which pixels are points; at first all that have depth.
    directions: x/z of every column and y/z of every row, float32.
    """

    rows: slice
    columns: slice
    grid: tuple[int, int]
    depth: np.ndarray
    chosen: np.ndarray
    directions: tuple[np.ndarray, np.ndarray]

    @classmethod
    def cut(
        cls, depth: np.ndarray, camera: Camera, where: tuple[slice, slice], min_depth: float, max_depth: float
    ) -> Patch:
        """The rows and columns `where` of a depth image [h,w] in metres of the view of `camera` (of any size).

        Depth outside min_depth .. max_depth, and NaN, is none.
        """
        rows, columns = where
        grid = camera.scaled_to(depth.shape[1], depth.shape[0])
        x_per_z = ((np.arange(columns.start, columns.stop) - grid.cx) / grid.fx).astype(np.float32)
        y_per_z = ((np.arange(rows.start, rows.stop) - grid.cy) / grid.fy).astype(np.float32)
        z = np.ascontiguousarray(depth[rows, columns], dtype=np.float32)
        valid = cv2.inRange(z, float(min_depth), float(max_depth)) != 0  # NaN is in no range
        z = cv2.copyTo(z, valid.view(np.uint8), np.zeros_like(z))
        return cls(rows, columns, depth.shape, z, valid, (x_per_z, y_per_z))

    def see(self, image: np.ndarray) -> np.ndarray:
        """An image or mask of the same view, of any size, at the patch's pixels (nearest pixel centre)."""
        if image.shape[:2] == self.grid:
            return image[self.rows, self.columns]
        return image[
            np.ix_(
                pixel_lookup(self.grid[0], image.shape[0])[self.rows],
                pixel_lookup(self.grid[1], image.shape[1])[self.columns],
            )
        ]

    def thin(self, voxel: float) -> None:
        """Leave the first chosen pixel, row by row, of every voxel: cubes of `voxel` metres, aligned with the frame.

        0 thins nothing.
        """
        if voxel == 0 or not self.chosen.any():
            return
        keys = np.zeros(self.chosen.shape, np.int64)
        for values in (self.depth * self.directions[0], self.depth * self.directions[1][:, None], self.depth.copy()):
            values *= np.float32(1.0 / voxel)
            keys <<= _KEY_BITS
            keys += np.floor(values, out=values).astype(np.int64)
        # Sorting takes long, and most pixels have a neighbour in their voxel that comes first: those need no sorting.
        first = self.chosen.copy()
        first[:, 1:] &= ~((keys[:, 1:] == keys[:, :-1]) & self.chosen[:, :-1])
        first[1:] &= ~((keys[1:] == keys[:-1]) & self.chosen[:-1])
        pixels = np.flatnonzero(first)
        _, index = np.unique(keys.ravel()[pixels], return_index=True)
        self.chosen = np.zeros(self.chosen.shape, bool)
        self.chosen.ravel()[pixels[index]] = True

    def cloud(self, color: np.ndarray | None = None) -> Cloud:
        """The chosen pixels as points, row by row, with the pixels of `color` uint8 [H,W,3] (white without one)."""
        chosen = np.flatnonzero(self.chosen)
        rows, columns = np.divmod(chosen, self.chosen.shape[1])
        points = np.empty((len(chosen), 3), np.float32)
        points[:, 2] = self.depth.ravel().take(chosen)  # take: several times faster than indexing with pairs or masks
        points[:, 0] = self.directions[0].take(columns) * points[:, 2]
        points[:, 1] = self.directions[1].take(rows) * points[:, 2]
        if color is None:
            return Cloud(points, np.full(points.shape, 255, np.uint8))
        return Cloud(points, np.ascontiguousarray(self.see(color)).reshape(-1, 3).take(chosen, axis=0))


def check_view(
    depth: np.ndarray, camera: Camera, color: np.ndarray | None, min_depth: float, max_depth: float
) -> None:
    """Raise `ValueError` with both shapes when depth, camera and colour do not show the same view."""
    if depth.ndim != 2 or 0 in depth.shape or not np.issubdtype(depth.dtype, np.floating):
        raise ValueError(
            f"depth must be [h,w] floating point metres (see depth_to_metres), got {depth.dtype} {list(depth.shape)}"
        )
    height, width = camera.height, camera.width
    if abs(depth.shape[1] * height / (depth.shape[0] * width) - 1.0) > ASPECT_TOLERANCE:
        raise ValueError(
            f"the colour camera's image has shape [{height}, {width}] and the depth {list(depth.shape)}: other "
            "proportions, so they do not show the same view"
        )
    if color is not None and (color.shape != (height, width, 3) or color.dtype != np.uint8):
        raise ValueError(
            f"color must be uint8 {[height, width, 3]} like the camera's image, got {color.dtype} {list(color.shape)}"
        )
    if not 0 < min_depth < max_depth:
        raise ValueError(f"0 < min_depth < max_depth must hold, got {min_depth} and {max_depth} m")


def check_mask(mask: np.ndarray, camera: Camera) -> None:
    """Raise `ValueError` with both shapes when a mask is not of the camera's size."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is [H,W], got shape {list(mask.shape)}")
    if mask.shape != (camera.height, camera.width):
        raise ValueError(
            f"the mask has shape {list(mask.shape)}, the colour camera's image [{camera.height}, {camera.width}]"
        )
