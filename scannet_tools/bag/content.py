"""What goes into a bag: which frames, and the messages of each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from lisa_ros.geometry import RigidTransform
from scannet_tools.bag import messages
from scannet_tools.bag.pictures import DEPTH_FORMAT, color_format, compressed_depth, millimetres
from scannet_tools.bag.topics import (
    BODY_FRAME,
    COLOR_CAMERA,
    COLOR_COMPRESSED,
    COLOR_RAW,
    DEPTH_CAMERA,
    DEPTH_COMPRESSED,
    DEPTH_RAW,
    MAP_FRAME,
    OPTICAL_FRAME,
    POSES,
    STATIC_TRANSFORMS,
    TRUE_INSTANCES,
    TRUE_LABELS,
    Topic,
)
from scannet_tools.bag.truth import Truth

if TYPE_CHECKING:
    from scannet_tools.sens import SensFile, SensFrame

DEPTHS = ("compressedDepth", "raw")

_OPTICAL_FROM_BODY = RigidTransform(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))


class UnusableFrame(ValueError):
    """A frame's colour or depth is damaged or not what the header says; the text names file, frame and what."""


def choose_frames(
    sens: SensFile, *, start: int, every: int, max_frames: int | None, keep_lost: bool
) -> tuple[list[int], list[int]]:
    """(numbers of the frames to write, numbers of those among the candidates whose pose is lost), ascending.

    Candidates are `start`, `start + every`, ...; the lost ones are written only with `keep_lost`; `max_frames` counts
    what is written.

    Raises:
        ValueError: there is nothing to write; says why.
    """
    for name, value, low in (("start", start, 0), ("every", every, 1), ("max", max_frames, 1)):
        if value is not None and value < low:
            raise ValueError(f"{name} is {value}; it must be at least {low}")
    if start >= len(sens):
        raise ValueError(f"{sens.path}: start is {start}, and there are {len(sens)} whole frames (counted from 0)")
    valid = sens.pose_valid()
    chosen: list[int] = []
    lost: list[int] = []
    for number in range(start, len(sens), every):
        if len(chosen) == max_frames:
            break
        if not valid[number]:
            lost.append(number)
        if valid[number] or keep_lost:
            chosen.append(number)
    if not chosen:
        raise ValueError(f"{sens.path}: none of the {len(lost)} chosen frames has a pose; keep_lost takes them anyway")
    return chosen, lost


class Content:
    """The messages of a `.sens` file's frames. depth: one of DEPTHS.

    `path`: the file. `topics`: what is sent. `compressible`: whether messages hold pixels that nothing has compressed yet.
    """

    def __init__(self, sens: SensFile, *, depth: str, truth: Truth | None) -> None:
        self._sens, self._depth, self._truth = sens, depth, truth
        self.path = sens.path
        self._stamps = sens.stamps_ns()
        self._one_at_a_time = threading.Lock()
        stored_in_place = sens.registration.as_stored
        self._depth_camera = sens.depth_camera if stored_in_place else sens.color_camera.scaled_to(*sens.depth_size)
        self._as_stored = sens.depth_shift == 1000.0 and stored_in_place
        self._raw_color = sens.color_compression == "raw"
        depth_topic = DEPTH_RAW if depth == "raw" else DEPTH_COMPRESSED
        self.topics: tuple[Topic, ...] = (
            STATIC_TRANSFORMS,
            POSES,
            COLOR_CAMERA,
            DEPTH_CAMERA,
            depth_topic,
            COLOR_RAW if self._raw_color else COLOR_COMPRESSED,
            *((TRUE_INSTANCES, TRUE_LABELS) if truth else ()),
        )
        self.compressible = depth == "raw" or self._raw_color or truth is not None

    def stamp_ns(self, number: int) -> int:
        """Of every message of this frame, and when it is logged."""
        return int(self._stamps[number])

    def color_bytes(self, number: int) -> bytes:
        """A frame's colour as the file holds it."""
        return self._sens.frame(number).color_bytes()

    def depth_mm(self, number: int) -> np.ndarray:
        """uint16 [h,w]: a frame's depth in millimetres, registered to colour; 0 = no measurement."""
        frame = self._sens.frame(number)
        return frame.depth_units() if self._as_stored else millimetres(frame.depth())

    def static(self, stamp_ns: int) -> bytes:
        """All static transforms in one message: a player repeats only the last few to late subscribers."""
        return messages.transforms(stamp_ns, [(OPTICAL_FRAME, BODY_FRAME, _OPTICAL_FROM_BODY)])

    def of(self, number: int) -> list[tuple[Topic, bytes]]:
        """A frame's messages in the order to write them; from any thread.

        Raises:
            UnusableFrame: its pictures cannot be used.
            OSError, ValueError: something else of it cannot be read; names the file.
        """
        frame = self._sens.frame(number)
        stamp = self.stamp_ns(number)
        found: list[tuple[Topic, bytes]] = []
        if frame.pose_valid:
            pose = (MAP_FRAME, OPTICAL_FRAME, rigid(frame.camera_to_world))
            found.append((POSES, messages.transforms(stamp, [pose])))
        found.append((COLOR_CAMERA, messages.camera_info(stamp, self._sens.color_camera)))
        found.append((DEPTH_CAMERA, messages.camera_info(stamp, self._depth_camera)))
        try:
            found += [self._depth_message(stamp, self.depth_mm(number)), self._color_message(stamp, frame)]
        except ValueError as error:
            raise UnusableFrame(str(error)) from error
        if self._truth is not None and frame.pose_valid:
            with self._one_at_a_time:
                pictures = self._truth.of(number)
            for topic, ids in zip((TRUE_INSTANCES, TRUE_LABELS), pictures):
                found.append((topic, messages.image(stamp, ids, "mono16")))
        return found

    def _depth_message(self, stamp_ns: int, depth_mm: np.ndarray) -> tuple[Topic, bytes]:
        if self._depth == "raw":
            return DEPTH_RAW, messages.image(stamp_ns, depth_mm, "16UC1")
        return DEPTH_COMPRESSED, messages.compressed_image(stamp_ns, compressed_depth(depth_mm), DEPTH_FORMAT)

    def _color_message(self, stamp_ns: int, frame: SensFrame) -> tuple[Topic, bytes]:
        """The stored bytes as they are."""
        if self._raw_color:
            return COLOR_RAW, messages.image(stamp_ns, frame.color(), "rgb8")
        data = frame.color_bytes()
        try:
            format, size = color_format(data)
        except ValueError as error:
            raise ValueError(f"{self._sens.path}: frame {frame.index}: the colour is {error}") from error
        if size != self._sens.color_size:
            raise ValueError(
                f"{self._sens.path}: frame {frame.index}: the colour picture has {size[0]}x{size[1]} pixels, and the "
                f"header says {self._sens.color_size[0]}x{self._sens.color_size[1]}, as does its camera"
            )
        return COLOR_COMPRESSED, messages.compressed_image(stamp_ns, data, format)


def rigid(camera_to_world: np.ndarray) -> RigidTransform:
    """map_from_camera of a pose [4,4] whose rotation is only nearly one (float32, products of many): the nearest that is."""
    pose = np.asarray(camera_to_world, np.float64)
    u, _, vt = np.linalg.svd(pose[:3, :3])
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))  # never a mirror
    return RigidTransform(u @ vt, pose[:3, 3])
