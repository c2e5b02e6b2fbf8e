"""Whole synthetic frames: ``make_frame`` for one picture, ``make_sequence`` for a camera that moves through one scene."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lisa_ros.geometry.camera import Camera

from .layout import Layout, make_layout
from .questions import Asker, Question, kinds_of, views
from .render import World, look_at, render
from .sensor import sense

SPLITS = {"train": 0, "val": 1, "test": 2}
MIN_OBJECTS = 3  # fewer in view: the scene is drawn again


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        id: instance number. kind, color, material: names. size: [3] metres, of its own axes.
        pose: 4x4 object to world. pixels: visible pixels in the frame. supported_by: number of the object it stands on, or 0.
        exemplar: number of its shape among those of its kind; no split has one of another's.
    """

    id: int
    kind: str
    color: str
    material: str
    size: tuple[float, float, float]
    pose: np.ndarray
    pixels: int
    supported_by: int
    exemplar: int


@dataclass
class SyntheticFrame:
    """A frame with its ground truth.

    Attributes:
        color: uint8 [H,W,3] RGB. depth: float32 [H,W] metres, sensor-like, 0 = hole. depth_true: float32 [H,W] metres.
        instance: uint16 [H,W], 0 = none. category: uint8 [H,W], index into KIND_NAMES.
        camera: intrinsics. camera_to_world: 4x4, optical frame (z forward) to a z-up world.
        scene: "room" or "table_top".
    """

    color: np.ndarray
    depth: np.ndarray
    depth_true: np.ndarray
    instance: np.ndarray
    category: np.ndarray
    camera: Camera
    camera_to_world: np.ndarray
    scene: str
    objects: list[SceneObject] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def make_frame(seed: int, *, split: str = "train", width: int = 640, height: int = 480) -> SyntheticFrame:
    """One frame of one scene; equal arguments give equal frames.

    Args:
        split: "train", "val" or "test": streams of scenes that share none; "test" asks in wordings that training never uses.

    Raises:
        ValueError: an unknown split.
    """
    return make_sequence(seed, 1, split=split, width=width, height=height)[0]


def make_sequence(seed: int, frames: int, *, split: str = "train", width: int = 640, height: int = 480, arc: float = 0.5) -> list[SyntheticFrame]:
    """``frames`` frames of one scene; the camera swings by ``arc`` radians about the point it looks at. The first is make_frame's."""
    if split not in SPLITS:
        raise ValueError(f'split "{split}" is not known; choose from {", ".join(SPLITS)}')
    for attempt in range(20):
        rng = np.random.default_rng([SPLITS[split], seed, attempt])
        layout = make_layout(rng, split)
        camera = draw_camera(rng, width, height)
        strength, warmth, roll = rng.uniform(0.45, 1.4), rng.uniform(-0.5, 1.2), rng.normal(0, 0.03)
        world = World(layout)
        pose = look_at(layout.eye, layout.target, roll)
        first = finish(render(world, layout, camera, pose, rng, strength, warmth), layout, camera, pose, rng, split)
        if sum(item.pixels > 0.003 * width * height for item in first.objects) >= MIN_OBJECTS or attempt == 19:
            break
    result = [first]
    for index in range(1, frames):
        turn = arc * np.sin(np.pi * index / max(frames, 2))
        c, s = np.cos(turn), np.sin(turn)
        offset = layout.eye - layout.target
        eye = layout.target + np.array([c * offset[0] - s * offset[1], s * offset[0] + c * offset[1], offset[2]])
        pose = look_at(eye, layout.target, roll)
        rng = np.random.default_rng([SPLITS[split], seed, 1000 + index])
        result.append(finish(render(world, layout, camera, pose, rng, strength, warmth), layout, camera, pose, rng, split))
    return result


def draw_camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    """A pinhole camera with 62 to 70 degrees of horizontal view, principal point near the middle."""
    focal = 0.5 / np.tan(np.radians(rng.uniform(62, 70)) / 2)
    cx, cy = rng.normal(0, 0.006, 2)
    return Camera(focal * width, focal * width, (width - 1) / 2 + cx * width, (height - 1) / 2 + cy * width, width, height)


def finish(rendered, layout: Layout, camera: Camera, pose: np.ndarray, rng: np.random.Generator, split: str) -> SyntheticFrame:
    """Sensor model, object list and questions of a rendered view."""
    counts = np.bincount(rendered.instance.ravel(), minlength=len(layout.objects) + 1)
    objects = []
    for number, placed in enumerate(layout.objects, start=1):
        low, high = placed.shape.bounds()
        to_world = np.eye(4)
        c, s = np.cos(placed.yaw), np.sin(placed.yaw)
        to_world[:2, :2], to_world[:3, 3] = [[c, -s], [s, c]], placed.position
        size = tuple(float(x) for x in high - low)
        objects.append(SceneObject(number, placed.kind.name, placed.color, placed.pattern, size, to_world, int(counts[number]), placed.supported_by, placed.exemplar))
    seen = views(objects, rendered.instance, rendered.depth)
    questions = Asker(seen, rendered.instance.shape, kinds_of(layout.scene), rng, split == "test").ask()
    return SyntheticFrame(
        color=rendered.color,
        depth=sense(rendered.depth, rendered.slant, rendered.albedo, rng),
        depth_true=rendered.depth,
        instance=rendered.instance,
        category=rendered.category,
        camera=camera,
        camera_to_world=pose,
        scene=layout.scene,
        objects=objects,
        questions=questions,
    )
