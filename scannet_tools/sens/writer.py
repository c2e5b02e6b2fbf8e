"""SensWriter: a `.sens` file that appears whole or not at all."""

from __future__ import annotations

import zlib
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from scannet_tools.aside import written_aside
from scannet_tools.sens.header import COUNT, FRAME, IMU, MOST_ITEMS, SensHeader, pack_header

JPEG_QUALITY = 90


class SensWriter:
    """A context manager; the file is there when the block ends well.

    Raises OSError naming the file when it cannot be written (disk full).
    """

    def __init__(self, path: str | Path, header: SensHeader) -> None:
        self.header, self.frames = header, 0
        pack_header(header, 0)  # refuses now what cannot be written
        if "unknown" in (header.color_compression, header.depth_compression) or header.depth_compression == "occi":
            raise ValueError("pictures can be written raw, as png or jpeg (colour) and raw or by zlib (depth)")
        self._path, self._stack, self._imu = Path(path), ExitStack(), []

    def __enter__(self) -> SensWriter:
        self._file = self._stack.enter_context(written_aside(self._path))
        self._file.write(pack_header(self.header, 0))
        return self

    def __exit__(self, *failure: object) -> bool | None:
        if failure[0] is not None:
            return self._stack.__exit__(*failure)
        with self._stack:
            if self.header.version >= 4:
                readings = np.concatenate(self._imu) if self._imu else np.empty(0, IMU)
                self._file.write(COUNT.pack(len(readings)) + readings.tobytes())
            self._file.seek(0)
            self._file.write(pack_header(self.header, self.frames))
        return None

    def add(
        self,
        color: np.ndarray | bytes,
        depth: np.ndarray | bytes,
        camera_to_world: np.ndarray,
        color_us: int = 0,
        depth_us: int = 0,
    ) -> None:
        """One frame more.

        Args:
            color: uint8 [H,W,3] RGB, or bytes as they shall be stored. depth: uint16 [h,w] of 1/depth_shift metres, or
                bytes. camera_to_world: [4,4]; full of -inf where tracking was lost. color_us, depth_us: microseconds.

        Raises ValueError when a picture is not of the header's size, or the file has as many frames as can be read.
        """
        if self.frames == MOST_ITEMS:
            raise ValueError(f"{self._path}: {MOST_ITEMS} frames are the most that a file can have; begin another")
        color = color if isinstance(color, bytes) else self._encode_color(color)
        depth = depth if isinstance(depth, bytes) else self._encode_depth(depth)
        pose = np.asarray(camera_to_world, np.float32).reshape(4, 4)
        self._file.write(np.array((pose, color_us, depth_us, len(color), len(depth)), FRAME).tobytes())
        self._file.write(color)
        self._file.write(depth)
        self.frames += 1

    def add_imu(self, readings: np.ndarray) -> None:
        """Readings [m] of dtype IMU, written after the frames; version 3 has no place for them (ValueError)."""
        if self.header.version < 4:
            raise ValueError("version 3 of the .sens format has no IMU readings; use version 4")
        self._imu.append(np.atleast_1d(np.asarray(readings, IMU)))

    def _encode_color(self, color: np.ndarray) -> bytes:
        width, height = self.header.color_size
        if color.shape != (height, width, 3) or color.dtype != np.uint8:
            raise ValueError(f"colour must be uint8 [{height},{width},3], got {color.dtype} {list(color.shape)}")
        if self.header.color_compression == "raw":
            return np.ascontiguousarray(color).tobytes()
        extension, options = {"jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]), "png": (".png", [])}[
            self.header.color_compression
        ]
        return cv2.imencode(extension, color[:, :, ::-1], options)[1].tobytes()

    def _encode_depth(self, depth: np.ndarray) -> bytes:
        width, height = self.header.depth_size
        if depth.shape != (height, width) or depth.dtype != np.uint16:
            raise ValueError(f"depth must be uint16 [{height},{width}], got {depth.dtype} {list(depth.shape)}")
        data = np.ascontiguousarray(depth, "<u2").tobytes()
        return zlib.compress(data, 6) if self.header.depth_compression == "zlib" else data
