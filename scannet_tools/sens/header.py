"""What stands before the frames of a `.sens` file, and the layout of what follows.

Format: ScanNet's SensorData, versions 3 and 4; little endian, packed. Version 3 has no IMU block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from lisa_ros.geometry import Camera

VERSIONS = (3, 4)
COLOR_COMPRESSIONS = {-1: "unknown", 0: "raw", 1: "png", 2: "jpeg"}
DEPTH_COMPRESSIONS = {-1: "unknown", 0: "raw", 1: "zlib", 2: "occi"}
FRAME = np.dtype(
    [("camera_to_world", "<f4", (4, 4))]
    + [(name, "<u8") for name in ("color_us", "depth_us", "color_bytes", "depth_bytes")]
)
"""What stands before each frame: pose, row by row; stamps in microseconds; sizes of the two pictures that follow."""
IMU = np.dtype(
    [(name, "<f8", 3) for name in ("rotation_rate", "acceleration", "magnetic_field", "attitude", "gravity")]
    + [("timestamp_us", "<u8")]
)
"""rad/s, g (of the user), microtesla, rad (roll pitch yaw), g."""
COUNT = struct.Struct("<Q")

_NAME = struct.Struct("<IQ")
_REST = struct.Struct("<64f2i4IfQ")
_LONGEST_NAME = 4096
_MOST_PIXELS = 1 << 25  # of one picture, 8K: what a hostile file can make us take stays under 100 MB
MOST_ITEMS = 1 << 20  # frames, IMU readings: nine hours at 30 Hz


@dataclass
class SensHeader:
    """What all frames share.

    Matrices: float32 [4,4]. intrinsic_*: K in the upper left, pixel centres at integers. extrinsic_depth: depth camera
    to colour camera; the identity where depth was registered already (all released scans). sizes: (width, height).
    depth_shift: units of depth in a metre, 1 to 1e6. Compressions: names of COLOR_COMPRESSIONS, DEPTH_COMPRESSIONS.

    Raises ValueError for what the format does not have, and for numbers that cannot be.
    """

    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    intrinsic_color: np.ndarray
    intrinsic_depth: np.ndarray
    extrinsic_color: np.ndarray = field(default_factory=lambda: np.eye(4, dtype=np.float32))
    extrinsic_depth: np.ndarray = field(default_factory=lambda: np.eye(4, dtype=np.float32))
    sensor_name: str = "StructureSensor"
    color_compression: str = "jpeg"
    depth_compression: str = "zlib"
    depth_shift: float = 1000.0
    version: int = 4

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"version {self.version} of .sens files is not one of {', '.join(map(str, VERSIONS))}")
        for what, (width, height) in (("colour", self.color_size), ("depth", self.depth_size)):
            if min(width, height) < 1 or width * height > _MOST_PIXELS:
                raise ValueError(f"{what} pictures of {width}x{height} pixels")
        if not 1 <= self.depth_shift <= 1_000_000:  # kilometres to micrometres; NaN is neither
            raise ValueError(f"depth_shift is {self.depth_shift}: it is how many units of depth are a metre")
        known = (COLOR_COMPRESSIONS, self.color_compression), (DEPTH_COMPRESSIONS, self.depth_compression)
        for names, compression in known:
            if compression not in names.values():
                raise ValueError(f'compression "{compression}" is not one of {", ".join(names.values())}')

    def camera(self, matrix: np.ndarray, size: tuple[int, int]) -> Camera:
        """A pinhole camera of one of the intrinsic matrices."""
        return Camera(*(float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))), *size)


def pack_header(header: SensHeader, frames: int) -> bytes:
    """The bytes before the first frame. Raises ValueError for a sensor's name that is too long."""
    name = header.sensor_name.encode()
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"the sensor's name has {len(name)} bytes; at most {_LONGEST_NAME} can be read again")
    matrices = (header.intrinsic_color, header.extrinsic_color, header.intrinsic_depth, header.extrinsic_depth)
    numbers = np.stack([np.asarray(matrix, np.float32) for matrix in matrices])
    rest = _REST.pack(
        *numbers.reshape(64).tolist(),
        _code(COLOR_COMPRESSIONS, header.color_compression),
        _code(DEPTH_COMPRESSIONS, header.depth_compression),
        *header.color_size,
        *header.depth_size,
        header.depth_shift,
        frames,
    )
    return _NAME.pack(header.version, len(name)) + name + rest


def read_header(file: BinaryIO, name: str) -> tuple[SensHeader, int]:
    """(header, number of frames that it announces); the file then stands at the first frame.

    Raises ValueError, with the file's name, for another version, another format, and numbers that cannot be.
    """
    head = file.read(_NAME.size)
    if len(head) < _NAME.size:
        raise ValueError(f"{name}: {len(head)} bytes are no .sens file; download it again")
    version, length = _NAME.unpack(head)
    if version not in VERSIONS:
        old = version < min(VERSIONS)
        what = f"version {version} of the .sens format is" if old else f"this is no .sens file, or its version {version} is"
        raise ValueError(f"{name}: {what} not supported, only {' and '.join(map(str, VERSIONS))}")
    if length > _LONGEST_NAME:
        raise ValueError(f"{name}: damaged: the sensor's name has {length} bytes")
    sensor, rest = file.read(length), file.read(_REST.size)
    if len(rest) < _REST.size:
        raise ValueError(f"{name}: cut off in its header; download it again")
    *numbers, color, depth, cw, ch, dw, dh, shift, frames = _REST.unpack(rest)
    if frames > MOST_ITEMS:
        raise ValueError(f"{name}: damaged: {frames} frames are announced")
    for code, known, what in ((color, COLOR_COMPRESSIONS, "colour"), (depth, DEPTH_COMPRESSIONS, "depth")):
        if code not in known:
            raise ValueError(f"{name}: damaged: {what} compression {code}")
    k_color, e_color, k_depth, e_depth = np.array(numbers, np.float32).reshape(4, 4, 4)
    try:
        header = SensHeader(
            color_size=(cw, ch),
            depth_size=(dw, dh),
            intrinsic_color=k_color,
            intrinsic_depth=k_depth,
            extrinsic_color=e_color,
            extrinsic_depth=e_depth,
            sensor_name=sensor.decode("utf-8", errors="replace").rstrip("\x00"),
            color_compression=COLOR_COMPRESSIONS[color],
            depth_compression=DEPTH_COMPRESSIONS[depth],
            depth_shift=shift,
            version=version,
        )
    except ValueError as error:
        raise ValueError(f"{name}: damaged: {error}") from error
    return header, frames


def _code(known: dict[int, str], compression: str) -> int:
    return next(code for code, name in known.items() if name == compression)
