"""One walk through one scene: what stands there, where the camera goes, and every frame as a depth camera stores it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.geometry.camera import Camera
from scannet_tools.synthetic.label_rows import LABEL_ROWS
from scannet_tools.synthetic.layout import EXEMPLARS, Layout, room_scene, table_scene
from scannet_tools.synthetic.render import Rendered, World, render
from scannet_tools.synthetic.scene import draw_camera
from scannet_tools.synthetic.sensor import sense
from scannet_tools.synthetic.shapes import Shape, rotation_z
from scannet_tools.synthetic.walk import Walk

FRAMES_PER_SECOND = 30.0
DEPTH_SHIFT = 1000.0
"""Depth units to the metre."""

_STREAM = (
    3  # make_frame's splits are streams 0 to 2 of the same seeds: no scene here is one that a model was trained on
)
_LEAST_OBJECTS = 4
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class TakeSettings:
    """What a walk is made from; equal settings give equal bytes.

    color_size, depth_size: (width, height) in pixels. lost: how many frames have no pose, as where tracking was lost.
    """

    seed: int
    frames: int = 300
    color_size: tuple[int, int] = (640, 480)
    depth_size: tuple[int, int] = (320, 240)
    lost: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"{self.frames} frames: a walk has at least 1")
        if not 0 <= self.lost < self.frames:
            raise ValueError(
                f"{self.lost} frames without a pose: of {self.frames} frames at least one must keep its pose"
            )
        for name, size in (("colour", self.color_size), ("depth", self.depth_size)):
            if min(size) < 16 or max(size) > 8192:
                raise ValueError(f"{name} of {size[0]}x{size[1]} pixels: each side needs 16 to 8192")


@dataclass(frozen=True)
class TakenObject:
    """A thing that annotators would mark.

    id: in pictures and annotation, from 1. label: raw category. color: its name, "" for pieces of the room.
    supported_by: id of the object below, or 0. middle: float64 [3], of its bounds, metres, layout's frame.
    size: metres along its own axes, the last upwards.
    """

    id: int
    label: str
    color: str
    supported_by: int
    middle: np.ndarray
    size: tuple[float, float, float]


@dataclass(frozen=True)
class TakenFrame:
    """One frame as it is stored: a JPEG file, a zlib stream of uint16 depth units, PNG files of object ids (8 bit) and
    of label ids (16 bit). pixels: int64 [objects + 1], how many colour pixels show each object id.
    """

    jpeg: bytes
    depth: bytes
    instance_png: bytes
    label_png: bytes
    pixels: np.ndarray


class Take:
    """A scene and its walk, made anew in every process that needs it.

    layout, world: the scene in the layout's frame, axes along the walls; `world.instance` numbers also walls and floor.
    objects: with ids 1, 2, ... scan_from_layout: 4x4, float64: a scan's frame starts anywhere, turned about the
    vertical.
    color_camera, depth_camera: of two sizes, same view. has_pose: bool [frames].
    """

    def __init__(self, settings: TakeSettings) -> None:
        self.settings = settings
        self.layout, rng = _furnished(settings.seed)
        self.world = World(self.layout)
        self.objects = _objects(self.layout)
        self._number_structure()
        self.color_camera = draw_camera(rng, *settings.color_size)
        self.depth_camera = depth_camera(self.color_camera, *settings.depth_size)
        self._strength, self._warmth = rng.uniform(0.6, 1.25), rng.uniform(-0.3, 1.0)
        self.scan_from_layout = np.eye(4)
        self.scan_from_layout[:3, :3] = rotation_z(rng.uniform(-np.pi, np.pi))
        self.scan_from_layout[:3, 3] = rng.uniform(-1, 1, 3) * (2.0, 2.0, 0.1)
        self.walk = Walk(self.layout, self.world, rng, settings.frames / FRAMES_PER_SECOND)
        self.has_pose = _kept_poses(settings, rng)

    def layout_pose(self, index: int) -> np.ndarray:
        """camera_to_world 4x4, float64, of a frame in the layout's frame."""
        return self.walk.pose(index / FRAMES_PER_SECOND)

    def camera_to_world(self, index: int) -> np.ndarray:
        """float32 4x4 in the scan's frame, as the file has it: all -inf where tracking was lost."""
        if not self.has_pose[index]:
            return np.full((4, 4), -np.inf, np.float32)
        return (self.scan_from_layout @ self.layout_pose(index)).astype(np.float32)

    def frame(self, index: int) -> TakenFrame:
        """Render, sense and pack one frame. The pictures of ids are empty where there is no pose, as ScanNet's are."""
        pose = self.layout_pose(index)
        rng = np.random.default_rng([_STREAM, self.settings.seed, 1000 + index])
        shown = render(self.world, self.layout, self.color_camera, pose, rng, self._strength, self._warmth, steady=True)
        depth = sense(*self._seen_by_depth_camera(shown, pose), rng)
        units = np.round(depth * DEPTH_SHIFT).astype("<u2")
        ids = shown.instance if self.has_pose[index] else np.zeros_like(shown.instance)
        label_ids = np.array([0, *(_label_id(item) for item in self.objects)], np.uint16)
        return TakenFrame(
            jpeg=_encoded(".jpg", shown.color[:, :, ::-1], cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY),
            depth=zlib.compress(units.tobytes(), 1),
            instance_png=_encoded(".png", ids.astype(np.uint8), cv2.IMWRITE_PNG_COMPRESSION, 2),
            label_png=_encoded(".png", label_ids[ids], cv2.IMWRITE_PNG_COMPRESSION, 2),
            pixels=np.bincount(ids.ravel(), minlength=len(self.objects) + 1),
        )

    def _seen_by_depth_camera(self, shown: Rendered, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(depth, slant, albedo), each float32 [h,w]: depth by rays of its own, the others from the nearest colour
        pixel.
        """
        camera, color = self.depth_camera, self.color_camera
        if camera == color:
            return shown.depth, shown.slant, shown.albedo
        across = (np.arange(camera.width) - camera.cx) / camera.fx
        down = (np.arange(camera.height) - camera.cy) / camera.fy
        x, y = np.meshgrid(across, down)
        direction = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ pose[:3, :3].T
        rays = np.concatenate([np.broadcast_to(pose[:3, 3], direction.shape), direction], 1)
        depth = self.world.cast(rays)["t_hit"].numpy().reshape(x.shape)
        u = np.clip(np.round(x * color.fx + color.cx), 0, color.width - 1).astype(np.intp)
        v = np.clip(np.round(y * color.fy + color.cy), 0, color.height - 1).astype(np.intp)
        return np.where(np.isfinite(depth), depth, 0).astype(np.float32), shown.slant[v, u], shown.albedo[v, u]

    def _number_structure(self) -> None:
        """Give walls, floor, door and window the ids after those of the placed objects; only skirting boards stay 0."""
        ids, numbers = [], iter(range(len(self.layout.objects) + 1, len(self.objects) + 1))
        for shape in self.layout.structure:
            count = sum(len(part.soup.points) for part in shape.parts)
            ids.append(np.full(count, next(numbers) if shape.label in LABEL_ROWS else 0, np.uint16))
        numbered = np.concatenate(ids)
        self.world.instance[: len(numbered)] = numbered


def depth_camera(color: Camera, width: int, height: int) -> Camera:
    """The camera of a calibrated scan's depth images: colour's, scaled by ScanNet's rule (centres by size - 1)."""
    return Camera(
        color.fx * width / color.width,
        color.fy * height / color.height,
        color.cx * (width - 1) / (color.width - 1),
        color.cy * (height - 1) / (color.height - 1),
        width,
        height,
    )


def _furnished(seed: int) -> tuple[Layout, np.random.Generator]:
    """A layout with enough in it, and the generator that goes on from there: rooms for even seeds, else table tops."""
    for attempt in range(20):
        rng = np.random.default_rng([_STREAM, seed, attempt])
        layout = (table_scene if seed % 2 else room_scene)(rng, EXEMPLARS["test"])
        if len(layout.objects) >= _LEAST_OBJECTS:
            break
    return layout, rng


def _objects(layout: Layout) -> tuple[TakenObject, ...]:
    found = []
    for number, item in enumerate(layout.objects, start=1):
        low, high = item.shape.bounds()
        middle = rotation_z(item.yaw) @ ((low + high) / 2) + item.position
        found.append(TakenObject(number, item.kind.name, item.color, item.supported_by, middle, _size(item.shape)))
    for shape in layout.structure:
        if shape.label in LABEL_ROWS:
            low, high = shape.bounds()
            found.append(TakenObject(len(found) + 1, shape.label, "", 0, (low + high) / 2, _size(shape)))
    return tuple(found)


def _size(shape: Shape) -> tuple[float, float, float]:
    low, high = shape.bounds()
    x, y, z = (float(side) for side in high - low)
    return x, y, z


def _label_id(item: TakenObject) -> int:
    return LABEL_ROWS[item.label].id


def _kept_poses(settings: TakeSettings, rng: np.random.Generator) -> np.ndarray:
    """bool [frames]: tracking is lost for some frames at a time, in up to three places."""
    kept = np.ones(settings.frames, bool)
    for share in np.array_split(np.arange(settings.lost), 3):
        free = np.flatnonzero(kept)
        start = int(rng.integers(max(len(free) - len(share), 0) + 1))
        kept[free[start : start + len(share)]] = False
    return kept


def _encoded(suffix: str, picture: np.ndarray, setting: int, value: int) -> bytes:
    return cv2.imencode(suffix, picture, [setting, value])[1].tobytes()
