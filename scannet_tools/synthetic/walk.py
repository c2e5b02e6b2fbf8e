"""Where a hand-held camera is while somebody walks once round a room, or round a table, and films it."""

from __future__ import annotations

import numpy as np

from scannet_tools.synthetic.layout import Layout
from scannet_tools.synthetic.render import World, look_at

WAYPOINTS = 10
CLEARANCE = 0.3
"""Metres that the camera wants to keep from everything."""

DRAWS = 20
"""Walks that are drawn until one keeps the clearance; the best of them is taken when none does."""

_LINGER = (
    0.35  # of the speed: slower while the furnished far half of a room is in view, faster along the bare near wall
)
_HAND_HZ = (0.35, 0.8, 1.7)
_HAND_METRES = np.array((0.012, 0.006, 0.002))
_HAND_RADIANS = np.array((0.016, 0.008, 0.003))


class Walk:
    """The path of one camera, a smooth function of time.

    Args:
        seconds: how long the walk takes.

    A room is filmed from a ring round its middle, looking across it, so that each wall and each side of the furniture
    is seen once; a table from the side that is open to the room, near and far, with a look at the wall behind it
    half-way.
    """

    def __init__(self, layout: Layout, world: World, rng: np.random.Generator, seconds: float) -> None:
        self._layout, self._world, self._seconds = layout, world, seconds
        self._hand_phase = rng.uniform(0, 2 * np.pi, (6, len(_HAND_HZ)))
        times = np.linspace(0, seconds, 200)
        best = -np.inf
        for _ in range(DRAWS):
            shape = self._round_room(rng) if layout.scene == "room" else self._round_table(rng)
            clearance = self._clearance(np.array([shape(t / seconds)[0] for t in times]))
            if clearance > best:
                best, self._shape = clearance, shape
            if best >= CLEARANCE:
                break

    def pose(self, time: float) -> np.ndarray:
        """camera_to_world 4x4, float64, at a time in seconds; the world is the layout's."""
        eye, target = self._shape(time / self._seconds)
        wave = np.sin(2 * np.pi * np.outer(np.ones(6), _HAND_HZ) * time + self._hand_phase)
        eye = eye + wave[:3] @ _HAND_METRES
        pan, tilt, roll = wave[3:] @ _HAND_RADIANS
        pose = look_at(eye, target, roll)
        across, down, ahead = pose[:3, 0], pose[:3, 1], pose[:3, 2]
        return look_at(eye, eye + ahead + pan * across + tilt * down, roll)

    def _round_room(self, rng: np.random.Generator):
        size, middle = self._layout.room, self._layout.room[:2] / 2
        eyes = []
        for place in np.linspace(0, 2 * np.pi, WAYPOINTS, endpoint=False):
            turn, reach = place + rng.normal(0, 0.08, 16), rng.uniform(0.16, 0.30, 16)
            ring = middle + (reach * np.stack([np.cos(turn), np.sin(turn)])).T * size[:2]
            choice = np.column_stack([ring, rng.uniform(1.3, 1.65, 16)])
            score = np.minimum(self._distance(choice), 0.5) + 0.4 * reach
            eyes.append(choice[np.argmax(score)])
        spectrum = np.fft.fft(np.array(eyes), axis=0) / WAYPOINTS
        order = np.fft.fftfreq(WAYPOINTS) * WAYPOINTS
        start, turning = rng.uniform(0, 2 * np.pi), rng.choice((-1, 1))
        sweep, nod = rng.uniform(0, 2 * np.pi, 2)

        def at(t: float) -> tuple[np.ndarray, np.ndarray]:
            round_ = start + 2 * np.pi * t
            place = 1.5 * np.pi + turning * (round_ - _LINGER * np.sin(round_))
            eye = (np.exp(1j * order * place) @ spectrum).real
            across = place + np.pi + 0.45 * np.sin(2 * np.pi * 2 * t + sweep)
            pitch = np.radians(-24 + 13 * np.sin(2 * np.pi * 4 * t + nod))
            ahead = np.array([np.cos(across) * np.cos(pitch), np.sin(across) * np.cos(pitch), np.sin(pitch)])
            return eye, eye + 2 * ahead

        return at

    def _round_table(self, rng: np.random.Generator):
        table = self._layout.objects[0]
        low, high = table.shape.bounds()
        top = table.position + np.array([0.0, 0.0, high[2] + 0.05])
        reach, swing, nod = (
            rng.uniform(0.95, 1.15),
            rng.choice((-1, 1)) * rng.uniform(1.0, 1.25),
            rng.uniform(0, 2 * np.pi),
        )
        wide = 0.2 * (high[0] - low[0])

        def at(t: float) -> tuple[np.ndarray, np.ndarray]:
            side = np.sin(2 * np.pi * t)
            azimuth, distance = swing * side, reach + 0.22 * np.cos(4 * np.pi * t)
            elevation = np.radians(38 + 12 * np.sin(6 * np.pi * t + nod))
            level = distance * np.cos(elevation)
            eye = top + np.array([level * np.sin(azimuth), -level * np.cos(azimuth), distance * np.sin(elevation)])
            look_up = np.exp(-(((t - 0.5) / 0.07) ** 2))
            return eye, top + np.array([wide * side, 0.9 * look_up, 0.6 * look_up])

        return at

    def _distance(self, points: np.ndarray) -> np.ndarray:
        """Metres [n] from points [n,3] to the nearest surface."""
        return self._world.scene.compute_distance(np.ascontiguousarray(points, np.float32), nthreads=1).numpy()

    def _clearance(self, eyes: np.ndarray) -> float:
        inside = ((eyes > 0) & (eyes < self._layout.room)).all()
        return float(self._distance(eyes).min()) if inside else -1.0
