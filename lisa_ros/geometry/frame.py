"""One synchronised colour + depth + camera + pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry.camera import Camera

# ScanNet's colour (1296x968) and depth (640x480) show the same view and differ by 0.4 % in aspect.
ASPECT_TOLERANCE = 0.02


@dataclass
class Frame:
    """What a depth camera saw at one moment.

    color: uint8 [H,W,3], RGB. camera: of the colour image, None when unknown (then there is no lifting).
    depth: float32 [h,w], metres along the optical axis, registered to the colour image (same view, any size);
    0, NaN, inf and negative mean "no depth". stamp_ns: acquisition time of the colour image, nanoseconds.
    frame_id: the optical frame. camera_to_world: 4x4 float64, optical frame to world, None when unknown.

    Raises `ValueError` when these do not fit together.
    """

    color: np.ndarray
    camera: Camera | None = None
    depth: np.ndarray | None = None
    stamp_ns: int = 0
    frame_id: str = "camera_color_optical_frame"
    camera_to_world: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.color.ndim != 3 or self.color.shape[2] != 3 or self.color.dtype != np.uint8:
            raise ValueError(f"color must be uint8 [H,W,3], got {self.color.dtype} {list(self.color.shape)}")
        height, width = self.color.shape[:2]
        if self.camera is not None and (self.camera.width, self.camera.height) != (width, height):
            raise ValueError(
                f"the colour image is {width}x{height} pixels, its camera says {self.camera.width}x{self.camera.height}"
            )
        if self.depth is not None:
            if self.depth.ndim != 2 or self.depth.dtype != np.float32 or 0 in self.depth.shape:
                raise ValueError(
                    f"depth must be float32 [h,w] in metres, got {self.depth.dtype} {list(self.depth.shape)}"
                )
            rows, columns = self.depth.shape
            if abs((columns * height) / (rows * width) - 1.0) > ASPECT_TOLERANCE:
                raise ValueError(
                    f"depth is {columns}x{rows} pixels and colour {width}x{height}: other proportions, so not the same "
                    "view; register the depth to the colour image first"
                )
        if self.camera_to_world is not None and np.shape(self.camera_to_world) != (4, 4):
            raise ValueError(f"camera_to_world must be 4x4, got {list(np.shape(self.camera_to_world))}")

    @property
    def depth_camera(self) -> Camera | None:
        """The camera of the depth grid: `camera` scaled to the depth image's size; None without depth or camera."""
        if self.depth is None or self.camera is None:
            return None
        return self.camera.scaled_to(self.depth.shape[1], self.depth.shape[0])
