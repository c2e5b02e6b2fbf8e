"""Where things stand: the room, the camera's path, and objects on floor, walls and furniture without interpenetration."""
from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np

from .kinds import BY_NAME, Kind, paint
from .materials import Material
from .palette import srgb_to_linear
from .shapes import Shape, Surface, box, cylinder, rotation_z, slab
from .table_shapes import METAL, neutral

TABLE_KINDS = tuple(n for n, k in BY_NAME.items() if "table" in k.places)
FLOOR_KINDS = tuple(n for n, k in BY_NAME.items() if "floor" in k.places)
WALL_KINDS = tuple(n for n, k in BY_NAME.items() if "wall" in k.places)
SMALL = ("mug", "apple", "can", "ball", "candle", "banana", "phone", "clock", "bowl", "teddy bear", "sponge", "donut", "camera", "toy car", "toy robot")
ON_FURNITURE = ("lamp", "plant", "vase", "laptop", "teddy bear", "globe", "trophy", "camera", "toy robot", "hat", "backpack")
EXEMPLARS = {"train": (0, 400), "val": (400, 440), "test": (440, 500)}
"""Split -> the numbers of its exemplars: every kind comes in numbered shapes, and no split sees another's."""
_WEIGHT = {"rug": 0.7, "plant": 0.8, "keyboard": 1.0, "banana": 1.1, "scissors": 1.1, "phone": 1.1}


@dataclass
class Item:
    """One placed object, turned by `yaw` about z and moved to `position` (metres). `supported_by` is the number (1-based) of the object below, 0 for none."""

    kind: Kind
    color: str
    pattern: str
    shape: Shape
    position: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))
    yaw: float = 0.0
    supported_by: int = 0
    exemplar: int = 0

    def place(self, x: float, y: float, z: float, yaw: float) -> None:
        self.position, self.yaw = np.array([x, y, z], np.float32), float(yaw)


@dataclass
class Footprint:
    """An oriented rectangle on one level, with a height interval."""

    x: float
    y: float
    half_x: float
    half_y: float
    yaw: float

    def overlaps(self, other: Footprint, gap: float) -> bool:
        """Separating axes of two rectangles, `gap` metres apart at least."""
        dx, dy = other.x - self.x, other.y - self.y
        for angle in (self.yaw, self.yaw + math.pi / 2, other.yaw, other.yaw + math.pi / 2):
            c, s = math.cos(angle), math.sin(angle)
            reach = gap
            for f in (self, other):
                reach += f.half_x * abs(math.cos(f.yaw - angle)) + f.half_y * abs(math.sin(f.yaw - angle))
            if abs(dx * c + dy * s) >= reach:
                return False
        return True

    def corners(self) -> list[tuple[float, float]]:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return [(self.x + c * a * self.half_x - s * b * self.half_y, self.y + s * a * self.half_x + c * b * self.half_y)
                for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


@dataclass
class Layout:
    """A whole scene before any ray is cast. The room spans 0..size in x, y, z."""

    scene: str  # "room" or "table_top"
    room: np.ndarray
    exemplars: tuple[int, int]
    objects: list[Item] = field(default_factory=list)
    structure: list[Shape] = field(default_factory=list)  # in world coordinates
    eye: np.ndarray | None = None
    target: np.ndarray | None = None
    roll: float = 0.0
    horizontal_fov: float = 1.1
    light: np.ndarray | None = None  # where the lamp hangs
    ambient: float = 1.0
    glow: tuple[np.ndarray, np.ndarray] | None = None  # a second lamp without shadows: place, colour times strength


def look_from(eye, look_at, roll: float = 0.0) -> np.ndarray:
    """camera_to_world 4x4 of an optical frame (z forward, x right, y down) in a world with z up."""
    eye, look_at = np.asarray(eye, np.float64), np.asarray(look_at, np.float64)
    forward = look_at - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = c * right + s * down, c * down - s * right, forward, eye
    return pose


class _Ground:
    """Occupied rectangles of one level surface."""

    def __init__(self, gap: float):
        self.gap, self.taken = gap, []

    def free(self, footprint: Footprint) -> bool:
        return not any(footprint.overlaps(other, self.gap) for other in self.taken)


def _footprint(shape: Shape, x: float, y: float, yaw: float) -> Footprint:
    low, high = shape.bounds()
    mid, half = (low + high) / 2, (high - low) / 2
    c, s = math.cos(yaw), math.sin(yaw)
    return Footprint(x + c * mid[0] - s * mid[1], y + s * mid[0] + c * mid[1], float(half[0]), float(half[1]), yaw)


def _choose(rng, kinds, taken=()):
    weights = np.array([0.0 if k in taken else _WEIGHT.get(k, 1.0) for k in kinds])
    return str(rng.choice(kinds, p=weights / weights.sum()))


def _make(rng, layout: Layout, kind: str, scene: str, color: str | None = None) -> Item:
    """One of the split's exemplars of a kind, in a colour of the kind. Shape, material and pattern are the exemplar's."""
    entry = BY_NAME[kind]
    color = color or str(rng.choice(entry.colors))
    exemplar = int(rng.integers(*layout.exemplars))
    own = np.random.default_rng([zlib.crc32(kind.encode()), exemplar])
    material = str(own.choice(entry.materials))
    shape = entry.build(own, paint(color, material, own), scene)
    return Item(entry, color, material, shape, exemplar=exemplar)


def _structural(label: str, *parts) -> Shape:
    shape = Shape(label=label)
    for soup, material in parts:
        shape.add(soup, material)
    return shape


def _structure(rng, layout: Layout) -> None:
    """Walls, floor, ceiling, skirting, a door and a window."""
    w, d, h = layout.room
    tone = np.array([0.5, 0.5, 0.5]) + rng.uniform(-0.06, 0.06, 3) + rng.uniform(0.1, 0.38)
    tint = [(1, 1, 1), (1, 0.95, 0.84), (0.86, 0.93, 1), (0.90, 1, 0.90), (1, 0.90, 0.88)][int(rng.integers(5))]
    wall_rgb = tuple(float(c) for c in srgb_to_linear(np.clip(tone * tint, 0, 1)))
    pattern = ("plain", "plain", "plain", "stripes", "speckle", "marble", "tiles")[int(rng.integers(7))]
    soft = tuple(c * 0.80 for c in wall_rgb)
    scale = float(rng.uniform(0.15, 0.4))
    wall_x = Material(wall_rgb, soft, pattern, scale, 0, specular=0.0)
    wall_y = Material(wall_rgb, soft, pattern, scale, 1, specular=0.0)
    floor = (
        Material(tuple(float(c) for c in srgb_to_linear(rng.uniform(0.45, 0.75) * np.array([1, 0.76, 0.55]))), pattern="planks", scale=0.12, specular=0.10,
                 phase=float(rng.uniform(0, 9))),
        Material(tuple(float(c) for c in srgb_to_linear(np.full(3, rng.uniform(0.5, 0.85)))), (0.25, 0.25, 0.25), "tiles", float(rng.uniform(0.3, 0.5)), specular=0.15),
        Material(tuple(float(c) for c in srgb_to_linear(rng.uniform(0.35, 0.7) + rng.uniform(-0.06, 0.06, 3))), pattern="fabric", specular=0.0),
        Material(tuple(float(c) for c in srgb_to_linear(np.full(3, rng.uniform(0.5, 0.8)))), tuple(float(c) for c in srgb_to_linear(np.full(3, rng.uniform(0.3, 0.45)))),
                 "speckle", specular=0.1),
    )[int(rng.choice(4, p=(0.4, 0.2, 0.25, 0.15)))]
    add = lambda label, soup, material: layout.structure.append(_structural(label, (soup, material)))  # noqa: E731
    e = 0.05
    add("floor", slab((0, w), (0, d), (-e, 0)), floor)
    add("ceiling", slab((0, w), (0, d), (h, h + e)), neutral(0.93, 0.93, 0.92, specular=0.0))
    add("wall", slab((0, w), (d, d + e), (0, h)), wall_x)
    add("wall", slab((0, w), (-e, 0), (0, h)), wall_x)
    add("wall", slab((-e, 0), (0, d), (0, h)), wall_y)
    add("wall", slab((w, w + e), (0, d), (0, h)), wall_y)
    skirting = neutral(0.90, 0.90, 0.88) if rng.random() < 0.7 else neutral(0.35, 0.25, 0.18)
    for soup in (slab((0, w), (d - 0.012, d), (0, 0.09)), slab((0, 0.012), (0, d), (0, 0.09)), slab((w - 0.012, w), (0, d), (0, 0.09))):
        add("skirting board", soup, skirting)


def _on_wall(layout, wall: str, along: float, soup):
    """Move a soup made for the far wall (x = 0 in the middle, y = 0 at the wall, front towards -y) to one of three walls."""
    w, d, _ = layout.room
    if wall == "far":
        return soup.moved((along, d, 0))
    if wall == "left":
        return soup.turned(rotation_z(math.pi / 2)).moved((0, along, 0))
    return soup.turned(rotation_z(-math.pi / 2)).moved((w, along, 0))


def _door(rng, layout, wall, along):
    tone = neutral(0.88, 0.87, 0.84) if rng.random() < 0.5 else neutral(0.50, 0.36, 0.24, pattern="wood", scale=0.08)
    parts = (
        (slab((-0.48, 0.48), (-0.03, 0.0), (0, 2.06)), tone.shaded(0.75)),
        (slab((-0.42, 0.42), (-0.045, 0.0), (0, 2.0)), tone),
        (slab((-0.30, 0.30), (-0.055, -0.04), (1.1, 1.85)), tone.shaded(0.88)),
        (slab((-0.30, 0.30), (-0.055, -0.04), (0.2, 0.95)), tone.shaded(0.88)),
        (box((0.13, 0.04, 0.025), (0.33, -0.08, 1.02)), METAL),
    )
    placed = ((_on_wall(layout, wall, along, soup), material) for soup, material in parts)
    layout.structure.append(_structural("door", *placed))


def _window(rng, layout, wall, along):
    w = rng.uniform(0.55, 0.85)
    frame = neutral(0.95, 0.95, 0.94)
    sky = Material((0.55, 0.70, 0.95), (0.9, 0.9, 0.9), "plain", specular=0, emission=float(rng.uniform(0.7, 1.3)))
    z0, z1 = 0.95, 2.05
    parts = [(slab((-w, w), (-0.02, 0), (z0, z1)), sky), (slab((-w - 0.06, w + 0.06), (-0.12, 0), (z0 - 0.06, z0 - 0.02)), frame)]
    for x in (-w, 0, w):
        parts.append((slab((x - 0.03, x + 0.03), (-0.05, 0), (z0, z1)), frame))
    for z in (z0, z1):
        parts.append((slab((-w, w), (-0.05, 0), (z - 0.03, z + 0.03)), frame))
    placed = ((_on_wall(layout, wall, along, soup), material) for soup, material in parts)
    layout.structure.append(_structural("window", *placed))


def _lights(rng, layout: Layout) -> None:
    w, d, h = layout.room
    layout.light = np.array([rng.uniform(0.25, 0.75) * w, rng.uniform(0.2, 0.7) * d, h - 0.1])
    layout.ambient = float(rng.uniform(0.55, 1.5))
    if rng.random() < 0.4:
        place = np.array([rng.uniform(-0.2, 1.2) * w, rng.uniform(0.0, 0.8) * d, rng.uniform(0.8, h)], np.float32)
        tint = np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.65, 1.1)], np.float32)
        layout.glow = place, tint * np.float32(rng.uniform(0.1, 0.7))


def _pixel_on_plane(rng, layout, u, v, z, aspect=4 / 3):
    """World x, y where the view at normalised image position (0..1) meets the level z; None above the horizon."""
    pose = look_from(layout.eye, layout.target, layout.roll)
    t = math.tan(layout.horizontal_fov / 2)
    ray = pose[:3, :3] @ np.array([(2 * u - 1) * t, (2 * v - 1) * t / aspect, 1.0])
    if ray[2] > -1e-3:
        return None
    s = (z - layout.eye[2]) / ray[2]
    return layout.eye[0] + s * ray[0], layout.eye[1] + s * ray[1], s


def _stack(rng, layout: Layout, index: int, kinds, scene: str, surface: Surface, count: int, taken=()) -> None:
    """Put objects on a surface of item `index`."""
    below = layout.objects[index]
    ground = _Ground(0.012)
    used = list(taken)
    for _ in range(count):
        options = [k for k in kinds if k not in used]
        if not options:
            return
        item = _make(rng, layout, _choose(rng, options), scene)
        used.append(item.kind.name)
        faced = BY_NAME[item.kind.name].faces_viewer or item.kind.name in ("television", "pillow")
        for _ in range(12):
            x, y = rng.uniform(*surface.x), rng.uniform(*surface.y)
            yaw = rng.uniform(-0.3, 0.3) if faced else rng.uniform(0, 2 * math.pi)
            foot = _footprint(item.shape, x, y, yaw)
            inside = all(surface.x[0] <= a <= surface.x[1] and surface.y[0] <= b <= surface.y[1] for a, b in foot.corners())
            if inside and ground.free(foot):
                ground.taken.append(foot)
                c, s = math.cos(below.yaw), math.sin(below.yaw)
                px, py, pz = (float(value) for value in below.position)
                item.place(px + c * x - s * y, py + s * x + c * y, pz + surface.z + 0.0005, below.yaw + yaw)
                item.supported_by = index + 1
                layout.objects.append(item)
                break


def _mat(rng, layout: Layout, x: float, y: float, z: float) -> None:
    """A mat, a sheet, a cloth of any colour and pattern: part of the table, never asked for."""
    tones = srgb_to_linear(rng.uniform(0.1, 0.95, (2, 3)))
    pattern = ("plain", "checker", "stripes", "marble", "speckle", "fabric", "painting")[int(rng.integers(7))]
    material = Material(tuple(map(float, tones[0])), tuple(map(float, tones[1])), pattern, float(rng.uniform(0.02, 0.2)), 0, specular=0.02)
    w, d = rng.uniform(0.08, 0.25, 2)
    sheet = slab((-w, w), (-d, d), (0, 0.0004)).turned(rotation_z(rng.uniform(0, 6.28))).moved((x, y, z))
    layout.structure.append(_structural("", (sheet, material)))


def table_scene(rng: np.random.Generator, exemplars: tuple[int, int]) -> Layout:
    """A table seen by an arm camera, 0.5 to 1.2 m away, with 4 to 11 things on it."""
    layout = Layout("table_top", np.array([rng.uniform(3.5, 5.5), rng.uniform(3.0, 4.5), rng.uniform(2.4, 2.9)]), exemplars)
    w, d, _ = layout.room
    _structure(rng, layout)
    support = _make(rng, layout, "table", "table")
    tw, td, th = rng.uniform(1.2, 1.8), rng.uniform(0.9, 1.2), rng.uniform(0.68, 0.78)
    body = support.shape.parts[0].material
    if rng.random() < 0.4:  # some table tops are of stone or covered with a patterned cloth of the table's colour
        pattern = ("checker", "stripes", "marble", "speckle", "tiles")[int(rng.integers(5))]
        body = Material(body.color, tuple(c * rng.uniform(0.5, 0.9) for c in body.color), pattern, float(rng.uniform(0.04, 0.15)), 0, specular=float(rng.uniform(0, 0.3)))
    support.shape = Shape()
    support.shape.add(slab((-tw / 2, tw / 2), (-td / 2, td / 2), (th - 0.04, th)), body)
    for sx in (-1, 1):
        for sy in (-1, 1):
            support.shape.add(cylinder(0.03, 0, th - 0.04, 10).moved((sx * (tw / 2 - 0.07), sy * (td / 2 - 0.07), 0)), body.shaded(0.75))
    cx, cy = rng.uniform(0.4, 0.6) * w, d - td / 2 - rng.uniform(0.05, 0.8)
    support.place(cx, cy, 0, 0)
    layout.objects.append(support)
    target = np.array([cx + rng.uniform(-0.2, 0.2), cy + rng.uniform(-0.12, 0.1), th + 0.05])
    distance, elevation, azimuth = rng.uniform(0.62, 1.05), np.radians(rng.uniform(27, 58)), rng.uniform(-0.5, 0.5)
    layout.target = target
    layout.eye = target + distance * np.array([math.sin(azimuth) * math.cos(elevation), -math.cos(azimuth) * math.cos(elevation), math.sin(elevation)])
    layout.roll = float(rng.uniform(-0.04, 0.04))
    layout.horizontal_fov = math.radians(rng.uniform(58, 70))
    if rng.random() < 0.5:
        _window(rng, layout, ("far", "left", "right")[int(rng.integers(3))], rng.uniform(1, 2))
    _lights(rng, layout)
    for _ in range(int(rng.choice(3, p=(0.6, 0.3, 0.1)))):
        _mat(rng, layout, cx + rng.uniform(-0.4, 0.4) * tw, cy + rng.uniform(-0.4, 0.4) * td, th)
    count = int(rng.integers(4, 12))
    chosen: list[Item] = []
    for _ in range(count):
        if chosen and rng.random() < 0.28:
            twin = chosen[int(rng.integers(len(chosen)))]
            color = twin.color if rng.random() < 0.25 else None
            chosen.append(_make(rng, layout, twin.kind.name, "table", color))
        else:
            chosen.append(_make(rng, layout, _choose(rng, TABLE_KINDS, [c.kind.name for c in chosen]), "table"))
    area = lambda i: float(np.prod((i.shape.bounds()[1] - i.shape.bounds()[0])[:2]))  # noqa: E731
    ground = _Ground(0.008)
    for item in sorted(chosen, key=area, reverse=True):
        for _ in range(30):
            hit = _pixel_on_plane(rng, layout, rng.uniform(0.08, 0.92), rng.uniform(0.12, 0.90), th)
            if hit is None:
                continue
            x, y, _ = hit
            if BY_NAME[item.kind.name].faces_viewer:
                yaw = math.atan2(layout.eye[1] - y, layout.eye[0] - x) + math.pi / 2 + rng.uniform(-0.8, 0.8)
            else:
                yaw = rng.uniform(0, 2 * math.pi)
            foot = _footprint(item.shape, x, y, yaw)
            inside = all(abs(a - cx) < tw / 2 - 0.01 and abs(b - cy) < td / 2 - 0.01 for a, b in foot.corners())
            if inside and ground.free(foot):
                ground.taken.append(foot)
                item.place(x, y, th + 0.0005, yaw)
                item.supported_by = 1
                layout.objects.append(item)
                break
    for index, item in enumerate(list(layout.objects)):
        if index and item.shape.surfaces and rng.random() < 0.45:
            _stack(rng, layout, index, SMALL, "table", item.shape.surfaces[0], 1, [i.kind.name for i in layout.objects])
    return layout


def room_scene(rng: np.random.Generator, exemplars: tuple[int, int]) -> Layout:
    """A furnished room seen by a walking camera."""
    layout = Layout("room", np.array([rng.uniform(3.8, 5.4), rng.uniform(3.8, 5.2), rng.uniform(2.4, 2.9)]), exemplars)
    w, d, h = layout.room
    _structure(rng, layout)
    layout.eye = np.array([rng.uniform(0.3, 0.7) * w, rng.uniform(0.30, 0.6), rng.uniform(1.15, 1.6)])
    layout.target = np.array([rng.uniform(0.32, 0.68) * w, d * 0.72, rng.uniform(0.35, 0.75)])
    layout.roll = float(rng.uniform(-0.03, 0.03))
    layout.horizontal_fov = math.radians(rng.uniform(60, 72))
    _lights(rng, layout)
    ground = _Ground(0.03)
    reserve = Footprint(float(layout.eye[0]), float(layout.eye[1]), 0.65, 0.65, 0.0)
    ground.taken.append(reserve)
    # Furniture with its back to a wall.
    walls = {"far": [], "left": [], "right": []}
    heading = math.atan2(layout.target[1] - layout.eye[1], layout.target[0] - layout.eye[0])

    def wall_spot():
        """A wall and a place along it, uniform over the image columns."""
        angle = heading - rng.uniform(-0.46, 0.46) * layout.horizontal_fov
        dx, dy = math.cos(angle), math.sin(angle)
        options = [((d - layout.eye[1]) / dy, "far")] if dy > 1e-6 else []
        if dx < -1e-6:
            options.append((-layout.eye[0] / dx, "left"))
        if dx > 1e-6:
            options.append(((w - layout.eye[0]) / dx, "right"))
        s, wall = min(options)
        return wall, float(layout.eye[0] + s * dx if wall == "far" else layout.eye[1] + s * dy)

    def put_at_wall(item) -> bool:
        low, high = item.shape.bounds()
        half = float(high[0] - low[0]) / 2
        for _ in range(14):
            wall, along = wall_spot()
            span = w if wall == "far" else d
            if not half + 0.06 < along < span - half - 0.06:
                continue
            back = float(high[1]) + 0.02
            if wall == "far":
                x, y, yaw = along, d - back, 0.0
            elif wall == "left":
                x, y, yaw = back, along, math.pi / 2
            else:
                x, y, yaw = w - back, along, -math.pi / 2
            foot = _footprint(item.shape, x, y, yaw)
            if ground.free(foot):
                ground.taken.append(foot)
                item.place(x, y, 0.0, yaw)
                layout.objects.append(item)
                walls[wall].append((along - half, along + half, float(high[2])))
                return True
        return False

    taken: list[str] = []
    for _ in range(int(rng.integers(1, 4))):
        item = _make(rng, layout, _choose(rng, WALL_KINDS, taken), "room")
        taken.append(item.kind.name)
        put_at_wall(item)
    # Things that stand free.
    for _ in range(int(rng.integers(3, 7))):
        twin = [i for i in layout.objects if i.kind.name in ("chair", "stool", "box", "ball", "suitcase", "bin", "armchair", "bucket", "backpack", "shoe")]
        if twin and rng.random() < 0.25:
            other = twin[int(rng.integers(len(twin)))]
            item = _make(rng, layout, other.kind.name, "room", other.color if rng.random() < 0.3 else None)
        else:
            kind = _choose(rng, FLOOR_KINDS, taken)
            taken.append(kind)
            item = _make(rng, layout, kind, "floor" if kind in ("lamp", "plant", "fan") else "room")
        for _ in range(25):
            hit = _pixel_on_plane(rng, layout, rng.uniform(0.06, 0.94), rng.uniform(0.35, 0.93), 0.0)
            if hit is None:
                continue
            x, y, _ = hit
            near = math.hypot(x - layout.eye[0], y - layout.eye[1])
            height = float(item.shape.bounds()[1][2])
            if near < 1.1 + 0.7 * height:
                continue
            if BY_NAME[item.kind.name].faces_viewer:
                yaw = math.atan2(layout.eye[1] - y, layout.eye[0] - x) + math.pi / 2 + rng.uniform(-1.3, 1.3)
            elif item.kind.name in ("rug", "table"):
                yaw = rng.uniform(-0.15, 0.15) + (math.pi / 2) * int(rng.integers(2))
            else:
                yaw = rng.uniform(0, 2 * math.pi)
            foot = _footprint(item.shape, x, y, yaw)
            inside = all(0.05 < a < w - 0.05 and 0.05 < b < d - 0.05 for a, b in foot.corners())
            if inside and ground.free(foot):
                ground.taken.append(foot)
                item.place(x, y, 0.0, yaw)
                layout.objects.append(item)
                break
    # Things on furniture.
    for index, item in enumerate(list(layout.objects)):
        for surface in item.shape.surfaces:
            if item.kind.name in ("table", "cabinet", "piano", "washing machine"):
                if rng.random() < 0.85:
                    kinds = ("television", *ON_FURNITURE) if item.kind.name == "cabinet" else ON_FURNITURE
                    scene = "room" if rng.random() < 0.5 else "table"
                    _stack(rng, layout, index, [k for k in kinds if k not in taken], scene if scene == "table" else "on", surface, int(rng.integers(1, 3)))
            elif item.kind.name in ("bed", "sofa", "armchair") and rng.random() < 0.55:
                kinds = ("pillow",) if surface.name == "pillows" else ("pillow", "teddy bear")
                _stack(rng, layout, index, kinds, "room", surface, 1)
    # On the walls: a picture, a door, a window, where furniture leaves the space.
    for make in ("picture", "window", "door", "picture"):
        if rng.random() > 0.6:
            continue
        half, low = {"picture": (0.55, 1.25), "window": (0.95, 0.88), "door": (0.52, 0.0)}[make]
        for _ in range(8):
            wall, along = wall_spot()
            span = w if wall == "far" else d
            free = all(along + half < a or along - half > b or top < low for a, b, top in walls[wall])
            if not (half + 0.05 < along < span - half - 0.05) or not free:
                continue
            if make == "door":  # nothing may stand in front of its leaf
                yaw = {"far": 0.0, "left": math.pi / 2, "right": -math.pi / 2}[wall]
                x, y = {"far": (along, d - 0.05), "left": (0.05, along), "right": (w - 0.05, along)}[wall]
                foot = Footprint(x, y, half, 0.06, yaw)
                if not ground.free(foot):
                    continue
            walls[wall].append((along - half, along + half, h))
            if make == "picture":
                item = _make(rng, layout, "picture", "room")
                z = rng.uniform(1.25, 1.45)
                x, y, yaw = {"far": (along, d - 0.016, 0.0), "left": (0.016, along, math.pi / 2), "right": (w - 0.016, along, -math.pi / 2)}[wall]
                item.place(x, y, z, yaw)
                layout.objects.append(item)
            elif make == "door":
                _door(rng, layout, wall, along)
            else:
                _window(rng, layout, wall, along)
            break
    return layout


def make_layout(rng: np.random.Generator, split: str) -> Layout:
    """A table top or a room, of the split's exemplars."""
    scene = table_scene if rng.random() < 0.55 else room_scene
    return scene(rng, EXEMPLARS[split])


__all__ = ["Footprint", "Item", "Layout", "look_from", "make_layout", "room_scene", "table_scene"]
