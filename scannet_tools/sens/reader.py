"""SensFile: any frame of a `.sens` file at any time. Opening it walks from one frame's header to the next by seeking; no
picture is read before somebody asks for it, so memory does not grow with the file.
"""

from __future__ import annotations

import io
import logging
import os
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from lisa_ros.geometry import Camera, Frame
from scannet_tools.sens.header import COUNT, FRAME, IMU, read_header
from scannet_tools.sens.registration import registered, same_view
from scannet_tools.sens.stamps import plausible, stamps_ns

_log = logging.getLogger(__name__)
_ROTATION_TOLERANCE = 0.05


class SensFile:
    """A `.sens` file that is open for reading; a context manager.

    path, version, sensor_name, intrinsic_color, extrinsic_color, intrinsic_depth, extrinsic_depth,
    color_compression, depth_compression, color_size, depth_size, depth_shift: as `SensHeader`.
    announced_frames: as the header says; `len()`: those that are there whole. truncated: the file ends before it
    should. imu: [m] of dtype IMU.

    Raises:
        OSError: no such file. ValueError: no `.sens` file, a version or compression that is not supported, damage.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self.header, self.announced_frames = read_header(self._file, str(self.path))
            if self.header.depth_compression == "occi":
                raise ValueError(
                    f"{self.path}: depth is compressed by OCCI (Occipital's uplink library), which cannot be read here; "
                    "convert the file with that library"
                )
            self._index()
        except BaseException:
            self._file.close()
            raise
        for name in ("version", "sensor_name", "color_compression", "depth_compression", "color_size", "depth_size"):
            setattr(self, name, getattr(self.header, name))
        for name in ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth", "depth_shift"):
            setattr(self, name, getattr(self.header, name))

    def __enter__(self) -> SensFile:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._offsets)

    # ---- all frames ----
    def poses(self) -> np.ndarray:
        """camera_to_world of all frames as stored, float32 [n,4,4]: -inf where tracking was lost."""
        return self._poses

    def pose_valid(self) -> np.ndarray:
        """bool [n]: the pose is finite, a rotation and a translation."""
        poses = self._poses.astype(np.float64)
        with np.errstate(invalid="ignore"):
            finite = np.isfinite(poses).all(axis=(1, 2)) & (poses[:, 0, 0] != 0)
            last = np.abs(poses[:, 3] - (0, 0, 0, 1)).max(axis=1, initial=0) < 1e-4
        safe = np.where((finite & last)[:, None, None], poses, np.eye(4))
        return finite & last & (np.abs(np.linalg.det(safe[:, :3, :3]) - 1) < _ROTATION_TOLERANCE)

    def stamps_ns(self) -> np.ndarray:
        """int64 [n], strictly increasing: see stamps.py."""
        return stamps_ns(self._color_us)

    @property
    def stamps_from_file(self) -> bool:
        """Whether `stamps_ns` are those of the file, else they are made up."""
        return plausible(self._color_us)

    @cached_property
    def color_camera(self) -> Camera:
        """Raises ValueError when the intrinsics are not usable."""
        return self._camera("color")

    @cached_property
    def depth_camera(self) -> Camera:
        """Of the depth images as stored. Raises ValueError when the intrinsics are not usable."""
        return self._camera("depth")

    # ---- one frame ----
    def frame(self, index: int) -> SensFrame:
        """Raises IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} frames; there is no frame {index}")
        return SensFrame(
            self,
            index,
            self._poses[index],
            bool(self.pose_valid_at[index]),
            int(self._color_us[index]),
            int(self._depth_us[index]),
        )

    @cached_property
    def pose_valid_at(self) -> np.ndarray:
        """`pose_valid()`, computed once."""
        return self.pose_valid()

    def geometry_frame(self, index: int) -> Frame:
        """A frame as the rest of the house knows it; without a pose where tracking was lost."""
        frame = self.frame(index)
        return Frame(
            frame.color(),
            self.color_camera,
            frame.depth(),
            stamp_ns=int(self._stamps[index]),
            camera_to_world=frame.camera_to_world.astype(np.float64) if frame.pose_valid else None,
        )

    @cached_property
    def _stamps(self) -> np.ndarray:
        return self.stamps_ns()

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def _camera(self, which: str) -> Camera:
        try:
            matrix, size = getattr(self.header, f"intrinsic_{which}"), getattr(self.header, f"{which}_size")
            return self.header.camera(matrix, size)
        except ValueError as error:
            raise ValueError(f"{self.path}: intrinsics of {which}: {error}") from error

    def _index(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        at, heads, offsets = self._file.tell(), [], []
        while len(heads) < self.announced_frames:
            head = self._read(at, FRAME.size)
            if len(head) < FRAME.size:
                break
            *_, color_bytes, depth_bytes = fields = FRAME.unpack(head)
            end = at + FRAME.size + color_bytes + depth_bytes
            if end > size:
                break
            heads.append(fields)
            offsets.append(at + FRAME.size)
            at = end
        count = len(heads)
        self._offsets = np.array(offsets, np.int64)
        self._poses = np.array([head[:16] for head in heads], np.float32).reshape(count, 4, 4)
        for name, column in (("_color_us", 16), ("_depth_us", 17), ("_color_bytes", 18), ("_depth_bytes", 19)):
            setattr(self, name, np.array([head[column] for head in heads], np.uint64))
        self.truncated = count < self.announced_frames
        self.imu = np.empty(0, IMU)
        if self.truncated:
            _log.warning(
                "%s is cut off: %d of %d frames are there; download it again for the rest",
                self.path, count, self.announced_frames,
            )  # fmt: skip
        elif self.header.version >= 4:
            self._read_imu(at, size)

    def _read_imu(self, at: int, size: int) -> None:
        head = self._read(at, COUNT.size)
        if len(head) < COUNT.size:  # some writers leave the block out
            return
        (announced,) = COUNT.unpack(head)
        there = min(announced, (size - at - COUNT.size) // IMU.itemsize)
        self.imu = np.frombuffer(self._read(at + COUNT.size, there * IMU.itemsize), IMU)
        if there < announced:
            self.truncated = True
            _log.warning("%s is cut off: %d of %d IMU readings are there", self.path, there, announced)


@dataclass(frozen=True)
class SensFrame:
    """One frame; its pictures are read when they are asked for.

    index: from 0. camera_to_world: float32 [4,4], optical frame to the mesh's, nonsense unless pose_valid.
    color_us, depth_us: microseconds as stored; SensFile.stamps_ns() can be trusted, these cannot.
    """

    file: SensFile
    index: int
    camera_to_world: np.ndarray
    pose_valid: bool
    color_us: int
    depth_us: int

    def color_bytes(self) -> bytes:
        """The colour picture as stored: a JPEG or PNG file, or rows of R G B."""
        file = self.file
        return file._read(int(file._offsets[self.index]), int(file._color_bytes[self.index]))

    def depth_bytes(self) -> bytes:
        """The depth picture as stored: rows of uint16, compressed by zlib or not."""
        file = self.file
        offset = int(file._offsets[self.index]) + int(file._color_bytes[self.index])
        return file._read(offset, int(file._depth_bytes[self.index]))

    def color(self) -> np.ndarray:
        """uint8 [H,W,3] RGB. Raises ValueError when it cannot be read, or is not of the size that the header says."""
        data, (width, height) = self.color_bytes(), self.file.color_size
        compression = self.file.color_compression
        if compression == "unknown":
            raise ValueError(f"{self._name}: the file does not say how colour is compressed")
        if compression == "raw":
            if len(data) != width * height * 3:
                raise ValueError(f"{self._name}: {len(data)} bytes of colour, {width}x{height} take {width * height * 3}")
            return np.frombuffer(data, np.uint8).reshape(height, width, 3).copy()
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:  # reads no pixel yet
                size = picture.size
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self._name}: the colour picture ({len(data)} bytes) is damaged") from error
        if size != (width, height):
            raise ValueError(
                f"{self._name}: the colour picture is {size[0]}x{size[1]}, the header says {width}x{height}; its camera is "
                "that of the header, so this frame cannot be used"
            )
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise ValueError(f"{self._name}: the colour picture ({len(data)} bytes) is damaged")
        return pixels

    def depth_units(self) -> np.ndarray:
        """uint16 [h,w] as stored, 0 = none. Raises ValueError when it cannot be read."""
        data, (width, height) = self.depth_bytes(), self.file.depth_size
        size, compression = width * height * 2, self.file.depth_compression
        if compression == "unknown":
            raise ValueError(f"{self._name}: the file does not say how depth is compressed")
        if compression == "zlib":
            try:
                data = zlib.decompressobj().decompress(data, size + 1)  # no more than that, whatever is in it
            except zlib.error as error:
                raise ValueError(f"{self._name}: the depth picture is damaged: {error}") from error
        if len(data) != size:
            raise ValueError(f"{self._name}: {len(data)} bytes of depth, {width}x{height} take {size}")
        return np.frombuffer(data, "<u2").reshape(height, width).astype(np.uint16)

    def depth(self) -> np.ndarray:
        """float32 [h,w] metres in colour's view, 0 = none. Raises ValueError as `depth_units`."""
        file = self.file
        depth = self.depth_units().astype(np.float32) / np.float32(file.depth_shift)
        depth_to_color = np.linalg.inv(file.extrinsic_color.astype(np.float64)) @ file.extrinsic_depth
        if same_view(depth_to_color, file.depth_camera, file.color_camera):
            return depth
        return registered(depth, file.depth_camera, depth_to_color, file.color_camera)

    @property
    def _name(self) -> str:
        return f"{self.file.path}: frame {self.index}"
