"""SensFile: any frame of a `.sens` file at any time. Opening it walks from one frame's header to the next; no picture is
read before somebody asks for it, so only what stands before each frame (96 bytes) is kept.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from lisa_ros.geometry import Camera, Frame
from scannet_tools.sens.header import COUNT, FRAME, IMU, MOST_ITEMS, read_header
from scannet_tools.sens.registration import Registration
from scannet_tools.sens.stamps import plausible, stamps_ns

_log = logging.getLogger(__name__)
_ROTATION_TOLERANCE = 0.05
_SIZES = struct.Struct("<2Q")


class SensFile:
    """A `.sens` file that is open for reading; a context manager.

    path, version, sensor_name, intrinsic_color, extrinsic_color, intrinsic_depth, extrinsic_depth,
    color_compression, depth_compression, color_size, depth_size, depth_shift: as `SensHeader`.
    announced_frames: as the header says; `len()`: those that are there whole. truncated: the file ends, or stops making
    sense, before it should. imu: [m] of dtype IMU.

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
        """camera_to_world of all frames as stored, float32 [n,4,4], read-only: -inf where tracking was lost."""
        return self._frames["camera_to_world"]

    def pose_valid(self) -> np.ndarray:
        """bool [n]: the pose is finite, a rotation and a translation."""
        with np.errstate(invalid="ignore"):  # infinities, and NaNs that signal
            poses = self.poses().astype(np.float64)
            finite = np.isfinite(poses).all(axis=(1, 2)) & (poses[:, 0, 0] != 0)
            last = np.abs(poses[:, 3] - (0, 0, 0, 1)).max(axis=1, initial=0) < 1e-4
        turns = np.where((finite & last)[:, None, None], poses, np.eye(4))[:, :3, :3]
        skew = np.abs(turns.transpose(0, 2, 1) @ turns - np.eye(3)).max(axis=(1, 2), initial=0)
        return finite & last & (skew < _ROTATION_TOLERANCE) & (np.linalg.det(turns) > 0)

    def stamps_ns(self) -> np.ndarray:
        """int64 [n], strictly increasing: see stamps.py."""
        return stamps_ns(self._frames["color_us"])

    @property
    def stamps_from_file(self) -> bool:
        """Whether `stamps_ns` are those of the file, else they are made up."""
        return plausible(self._frames["color_us"])

    @cached_property
    def color_camera(self) -> Camera:
        """Raises ValueError when the intrinsics are not usable."""
        return self._camera("color")

    @cached_property
    def depth_camera(self) -> Camera:
        """Of the depth images as stored. Raises ValueError when the intrinsics are not usable."""
        return self._camera("depth")

    @cached_property
    def registration(self) -> Registration:
        """Brings depth into colour's view. Raises ValueError when intrinsics or extrinsics are not usable."""
        color, depth = (np.asarray(matrix, float) for matrix in (self.extrinsic_color, self.extrinsic_depth))
        for name, matrix in (("color", color), ("depth", depth)):
            if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
                raise ValueError(f"{self.path}: extrinsic_{name} moves nothing: {matrix.tolist()}")
        return Registration(self.depth_camera, self.color_camera, np.linalg.inv(color) @ depth)

    # ---- one frame ----
    def frame(self, index: int) -> SensFrame:
        """Raises IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} frames; there is no frame {index}")
        head = self._frames[index]
        return SensFrame(
            self, index, head["camera_to_world"], bool(self._valid[index]), int(head["color_us"]), int(head["depth_us"])
        )

    def geometry_frame(self, index: int) -> Frame:
        """A frame as the rest of the house knows it; without a pose where tracking was lost.

        Raises IndexError, and ValueError naming file and frame when its pictures or cameras cannot be used.
        """
        frame = self.frame(index)
        color, depth = frame.color(), frame.depth()
        pose = frame.camera_to_world.astype(np.float64) if frame.pose_valid else None
        try:
            return Frame(color, self.color_camera, depth, stamp_ns=int(self._stamps[index]), camera_to_world=pose)
        except ValueError as error:
            raise ValueError(f"{frame.name}: {error}") from error

    @cached_property
    def _valid(self) -> np.ndarray:
        return self.pose_valid()

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
        most_color = _most_stored(self.header.color_size, 3)
        most_depth = _most_stored(self.header.depth_size, 2)
        while len(heads) < self.announced_frames:
            head = self._read(at, FRAME.itemsize)
            if len(head) < FRAME.itemsize:
                break
            color_bytes, depth_bytes = _SIZES.unpack_from(head, FRAME.fields["color_bytes"][1])
            end = at + FRAME.itemsize + color_bytes + depth_bytes
            if end > size or color_bytes > most_color or depth_bytes > most_depth:
                break
            if not (color_bytes or depth_bytes):  # zeros: room that a download took and never filled
                break
            heads.append(head)
            offsets.append(at + FRAME.itemsize)
            at = end
        self._offsets = offsets
        self._frames = np.frombuffer(b"".join(heads), FRAME)
        self.truncated = len(heads) < self.announced_frames
        self.imu = np.empty(0, IMU)
        if self.truncated:
            _log.warning(
                "%s is cut off or damaged: %d of %d frames are there; download it again for the rest",
                self.path, len(heads), self.announced_frames,
            )  # fmt: skip
        elif self.header.version >= 4:
            self._read_imu(at, size)

    def _read_imu(self, at: int, size: int) -> None:
        head = self._read(at, COUNT.size)
        if len(head) < COUNT.size:  # some writers leave the block out
            return
        (announced,) = COUNT.unpack(head)
        there = min(announced, (size - at - COUNT.size) // IMU.itemsize) if announced <= MOST_ITEMS else 0
        self.imu = np.frombuffer(self._read(at + COUNT.size, there * IMU.itemsize), IMU)
        if there < announced:
            self.truncated = True
            _log.warning("%s is cut off or damaged: %d of %d IMU readings are there", self.path, there, announced)


def _most_stored(size: tuple[int, int], bytes_per_pixel: int) -> int:
    """Bytes of the largest stored picture that is believed: noise grows in PNG and JPEG, and small ones hold notes."""
    return 2 * size[0] * size[1] * bytes_per_pixel + (1 << 20)


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
        return file._read(file._offsets[self.index], int(file._frames["color_bytes"][self.index]))

    def depth_bytes(self) -> bytes:
        """The depth picture as stored: rows of uint16, compressed by zlib or not."""
        head = self.file._frames[self.index]
        return self.file._read(self.file._offsets[self.index] + int(head["color_bytes"]), int(head["depth_bytes"]))

    def color(self) -> np.ndarray:
        """uint8 [H,W,3] RGB. Raises ValueError when it cannot be read, or is not of the size that the header says."""
        if self.file.color_compression == "raw":
            data, (width, height) = self.color_bytes(), self.file.color_size
            if len(data) != width * height * 3:
                raise ValueError(f"{self.name}: {len(data)} bytes of colour, {width}x{height} take {width * height * 3}")
            return np.frombuffer(data, np.uint8).reshape(height, width, 3).copy()
        data = self.color_picture()
        # as stored: an EXIF orientation would turn it away from its depth
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise ValueError(f"{self.name}: the colour picture ({len(data)} bytes) is damaged")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)

    def color_picture(self) -> bytes:
        """A JPEG or PNG file of the size that the header says: the stored bytes, of which only the beginning is looked
        at, or a PNG of raw colour. Raises ValueError as `color`.
        """
        compression, (width, height) = self.file.color_compression, self.file.color_size
        if compression == "unknown":
            raise ValueError(f"{self.name}: the file does not say how colour is compressed")
        if compression == "raw":
            return cv2.imencode(".png", self.color()[:, :, ::-1])[1].tobytes()
        data = self.color_bytes()
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:  # reads no pixel yet
                size = picture.size
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self.name}: the colour picture ({len(data)} bytes) is damaged") from error
        if size != (width, height):
            raise ValueError(
                f"{self.name}: the colour picture is {size[0]}x{size[1]}, the header says {width}x{height}; its camera is "
                "that of the header, so this frame cannot be used"
            )
        return data

    def depth_units(self) -> np.ndarray:
        """uint16 [h,w] as stored, 0 = none. Raises ValueError when it cannot be read."""
        data, (width, height) = self.depth_bytes(), self.file.depth_size
        size, compression = width * height * 2, self.file.depth_compression
        if compression == "unknown":
            raise ValueError(f"{self.name}: the file does not say how depth is compressed")
        if compression == "zlib":
            try:
                data = zlib.decompressobj().decompress(data, size + 1)  # no more than that, whatever is in it
            except zlib.error as error:
                raise ValueError(f"{self.name}: the depth picture is damaged: {error}") from error
        if len(data) != size:
            raise ValueError(f"{self.name}: {len(data)} bytes of depth, {width}x{height} take {size}")
        return np.frombuffer(data, "<u2").reshape(height, width).astype(np.uint16)

    def depth(self) -> np.ndarray:
        """float32 [h,w] metres in colour's view, 0 = none. Raises ValueError as `depth_units` and `registration`."""
        return self.file.registration(self.depth_units().astype(np.float32) / np.float32(self.file.depth_shift))

    @property
    def name(self) -> str:
        """File and number, for messages."""
        return f"{self.file.path}: frame {self.index}"
