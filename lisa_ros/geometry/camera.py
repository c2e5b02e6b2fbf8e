"""Pinhole camera without distortion."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEFAULT_DEPTH_SCALE_M = 0.001
_KEYS = ("fx", "fy", "cx", "cy", "width", "height")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: u = fx * x / z + cx, v = fy * y / z + cy, pixel centres at integers.

    fx, fy, cx, cy are in pixels of an image of `width` x `height` pixels. A `ValueError` says which number is unusable
    (a CameraInfo of an uncalibrated driver is all zeros).
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        for name in ("fx", "fy"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"camera {name} is {value}: it must be a positive number of pixels (not calibrated?)")
        for name in ("cx", "cy"):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f"camera {name} is {value}: it must be a finite number of pixels")
        for name in ("width", "height"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"camera {name} is {value}: it must be a whole number of pixels, at least 1")

    @property
    def matrix(self) -> np.ndarray:
        """The 3x3 matrix K, float64."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def scaled_to(self, width: int, height: int) -> Camera:
        """The same view in an image of width x height pixels.

        Both images cover the same area, pixel centres at integers, so the left edge of the picture is at u = -0.5 in
        both: u' + 0.5 = (u + 0.5) * width / self.width. (ScanNet maps first centre to first centre and last to last
        instead: half a colour pixel apart in the corners, nothing in the middle.)
        """
        if (width, height) == (self.width, self.height):
            return self
        su, sv = width / self.width, height / self.height
        return Camera(
            self.fx * su, self.fy * sv, (self.cx + 0.5) * su - 0.5, (self.cy + 0.5) * sv - 0.5, int(width), int(height)
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (u, v), float64 [N,2], of points [N,3] in the optical frame; NaN where z <= 0."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        z = np.where(points[:, 2] > 0, points[:, 2], np.nan)
        return np.stack([self.fx * points[:, 0] / z + self.cx, self.fy * points[:, 1] / z + self.cy], axis=1)

    def back_project(self, depth: np.ndarray) -> np.ndarray:
        """Points [H,W,3] float32 in the optical frame of a depth image [H,W] in metres of this camera's size."""
        if depth.shape != (self.height, self.width):
            raise ValueError(f"depth is {_size(depth)}, the camera {self.width}x{self.height} pixels")
        depth = depth.astype(np.float32, copy=False)
        u = ((np.arange(self.width) - self.cx) / self.fx).astype(np.float32)
        v = ((np.arange(self.height) - self.cy) / self.fy).astype(np.float32)
        return np.stack([depth * u[None, :], depth * v[:, None], depth], axis=2)

    @classmethod
    def from_mapping(cls, values: dict, *, where: str = "camera") -> tuple[Camera, float]:
        """(camera, depth_scale_m) from the keys fx fy cx cy width height [depth_scale_m], or from Open3D's form.

        Open3D writes width, height and `intrinsic_matrix`, 9 numbers column by column. `where` names the source in
        the messages of the `ValueError`.
        """
        if not isinstance(values, dict):
            raise ValueError(f"{where}: expected a JSON object with {', '.join(_KEYS)}, got {type(values).__name__}")
        values = dict(values)
        matrix = values.get("intrinsic_matrix")
        if matrix is not None and "fx" not in values:
            if not isinstance(matrix, list) or len(matrix) != 9:
                raise ValueError(f"{where}: intrinsic_matrix must be 9 numbers, column by column (Open3D)")
            values.update(fx=matrix[0], fy=matrix[4], cx=matrix[6], cy=matrix[7])
        missing = [key for key in _KEYS if values.get(key) is None]
        if missing:
            raise ValueError(f"{where}: {', '.join(missing)} missing; a camera needs {', '.join(_KEYS)}")
        try:
            fx, fy, cx, cy = (float(values[key]) for key in _KEYS[:4])
            width, height = float(values["width"]), float(values["height"])
            scale = values.get("depth_scale_m")
            scale = DEFAULT_DEPTH_SCALE_M if scale is None else float(scale)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: not a number: {error}") from error
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"{where}: depth_scale_m is {scale}: it must be the metres of one depth unit (mm: 0.001)")
        try:
            camera = cls(fx, fy, cx, cy, width, height)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from error
        return cls(fx, fy, cx, cy, int(camera.width), int(camera.height)), scale

    @classmethod
    def from_json(cls, path: str | Path) -> tuple[Camera, float]:
        """(camera, depth_scale_m) from a JSON file with fx fy cx cy width height depth_scale_m.

        depth_scale_m (metres of one unit of a 16-bit depth image) is 0.001 where the file has none. Raises
        `FileNotFoundError`, or `ValueError` with the file's name and what is wrong in it.
        """
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path}: no such file; write one with {', '.join(_KEYS)} and depth_scale_m"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        return cls.from_mapping(values, where=str(path))

    def to_json(self, path: str | Path | None = None, *, depth_scale_m: float = DEFAULT_DEPTH_SCALE_M) -> str:
        """The JSON text that `from_json` reads, also written to `path` where one is given."""
        values = {key: getattr(self, key) for key in _KEYS} | {"depth_scale_m": depth_scale_m}
        text = json.dumps(values, indent=1) + "\n"
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def _size(image: np.ndarray) -> str:
    """Width x height of an image as text."""
    return f"{image.shape[1]}x{image.shape[0]}" if image.ndim >= 2 else f"of shape {image.shape}"
