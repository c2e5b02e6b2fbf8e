"""Surface materials: procedural patterns evaluated on the object's own coordinates of each hit point."""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

PATTERNS = ("plain", "wood", "stripes", "checker", "fabric", "speckle", "planks", "tiles", "screen", "painting", "marble")


@dataclass(frozen=True)
class Material:
    """How one part of an object looks. Colours are linear RGB; `scale` is the pattern's period in metres."""

    color: tuple[float, float, float]
    second: tuple[float, float, float] = (0.8, 0.8, 0.8)
    pattern: str = "plain"
    scale: float = 0.05
    axis: int = 2  # stripes run across this object axis; the grain of wood runs along it
    specular: float = 0.05
    shininess: float = 20.0
    emission: float = 0.0
    phase: float = 0.0  # shifts the pattern, so that two equal objects differ

    def shaded(self, factor: float) -> Material:
        """The same material, darker or lighter."""
        return replace(self, color=tuple(float(min(c * factor, 0.95)) for c in self.color))


@lru_cache(maxsize=1)
def _noise_table() -> np.ndarray:
    """Periodic 64^3 noise in about -1..1 with a few octaves, the same in every process."""
    rng = np.random.default_rng(20240607)
    spectrum = np.fft.rfftn(rng.standard_normal((64, 64, 64)))
    full, half = np.fft.fftfreq(64) * 64, np.fft.rfftfreq(64) * 64
    radius = np.sqrt(full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2)
    spectrum *= np.where((radius > 2) & (radius < 20), 1 / np.maximum(radius, 1) ** 1.9, 0)
    noise = np.fft.irfftn(spectrum, s=(64, 64, 64), axes=(0, 1, 2))
    return np.clip(noise / (2.2 * noise.std()), -1, 1).astype(np.float32)


def noise(points: np.ndarray, cell: float) -> np.ndarray:
    """Smooth noise in -1..1 at points [N,3]; `cell` is the size of one table cell in metres (features are 3..20 cells)."""
    cells = np.floor(points * np.float32(1.0 / cell)).astype(np.int32) & 63
    return _noise_table()[cells[:, 0], cells[:, 1], cells[:, 2]]


class MaterialTable:
    """Materials of a whole scene as arrays, so that all hits are coloured at once."""

    def __init__(self, materials: list[Material]):
        self.color = np.array([m.color for m in materials], np.float32)
        self.second = np.array([m.second for m in materials], np.float32)
        self.pattern = np.array([PATTERNS.index(m.pattern) for m in materials], np.uint8)
        self.scale = np.array([m.scale for m in materials], np.float32)
        self.axis = np.array([m.axis for m in materials], np.intp)
        self.phase = np.array([m.phase for m in materials], np.float32)
        self.specular = np.array([m.specular for m in materials], np.float32)
        self.shininess = np.array([m.shininess for m in materials], np.float32)
        self.emission = np.array([m.emission for m in materials], np.float32)

    def albedo(self, index: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Linear RGB [N,3] of hits with material index [N] at object coordinates points [N,3] in metres."""
        color = self.color[index]
        pattern = self.pattern[index]
        for number in np.flatnonzero(np.bincount(pattern, minlength=len(PATTERNS))):
            at = np.flatnonzero(pattern == number)
            which = index[at]
            rule = getattr(self, "_" + PATTERNS[number])
            color[at] = rule(color[at], which, points[at])
        return color

    def _coordinate(self, which, p, shift=0):
        return np.take_along_axis(p, ((self.axis[which] + shift) % 3)[:, None], 1)[:, 0]

    def _mix(self, color, which, weight):
        return color + (self.second[which] - color) * weight[:, None].astype(np.float32)

    def _plain(self, color, which, p):
        return color * (1 + 0.05 * noise(p, 0.012))[:, None]

    def _wood(self, color, which, p):
        along = self._coordinate(which, p)
        across = self._coordinate(which, p, 1) + 0.6 * self._coordinate(which, p, 2)
        stretched = np.stack([along * 0.08, across, self.phase[which]], 1)
        rings = across / self.scale[which] + 1.6 * noise(stretched, 0.006) + self.phase[which]
        weight = 0.5 + 0.5 * np.sin(2 * np.pi * rings)
        return self._mix(color, which, 0.55 * weight**2) * (1 + 0.08 * noise(stretched, 0.0015))[:, None]

    def _stripes(self, color, which, p):
        place = self._coordinate(which, p) / self.scale[which] + self.phase[which]
        return self._mix(color, which, (place % 1.0) < 0.32)

    def _checker(self, color, which, p):
        cells = np.floor(p / self.scale[which][:, None] + self.phase[which][:, None] + 0.013).astype(np.int32)
        return self._mix(color, which, 0.8 * ((cells.sum(1) & 1) == 1))

    def _fabric(self, color, which, p):
        weave = np.sin(p[:, 0] * (6.28 / 0.006)) * np.sin(p[:, 1] * (6.28 / 0.006))
        return color * (1 + 0.16 * noise(p, 0.0025) + 0.06 * noise(p, 0.02) + 0.05 * weave)[:, None]

    def _speckle(self, color, which, p):
        return self._mix(color, which, np.clip((noise(p, 0.004) - 0.55) * 5, 0, 1))

    def _marble(self, color, which, p):
        """Soft blotches, `scale` across."""
        cell = p / (self.scale[which] / 8)[:, None]
        return self._mix(color, which, np.clip(0.5 + 0.9 * noise(cell + self.phase[which][:, None] * 9, 1.0), 0, 1))

    def _planks(self, color, which, p):
        across = p[:, 1] / self.scale[which]
        row = np.floor(across)
        along = p[:, 0] / (self.scale[which] * 8) + 0.37 * row
        tone = np.sin(row * 12.9898 + np.floor(along) * 78.233 + self.phase[which] * 7) * 43758.5453
        tone = (tone - np.floor(tone)) - 0.5
        gap = (np.abs((across % 1) - 0.5) > 0.48) | (np.abs((along % 1) - 0.5) > 0.496)
        stretched = np.stack([p[:, 0] * 0.08, p[:, 1], row * 0.1], 1)
        grain = 1 + 0.30 * tone + 0.12 * noise(stretched, 0.004)
        return color * (grain * np.where(gap, 0.55, 1.0))[:, None]

    def _tiles(self, color, which, p):
        place = np.abs((p / self.scale[which][:, None] + 0.21) % 1 - 0.5)
        cells = np.floor(p / self.scale[which][:, None] + 0.21)
        grout = (place[:, 0] > 0.48) | (place[:, 1] > 0.48)
        tone = np.sin(cells[:, 0] * 12.9898 + cells[:, 1] * 78.233) * 43758.5453
        tone = 1 + 0.10 * (tone - np.floor(tone) - 0.5) + 0.08 * noise(p, 0.02)
        return self._mix(color * tone[:, None], which, 0.8 * grout)

    def _screen(self, color, which, p):
        """A lit display: a window with lines of text on a coloured background."""
        x = self._coordinate(which, p, 1) / self.scale[which] + self.phase[which]
        y = self._coordinate(which, p, 2) / self.scale[which]
        window = (x % 1 > 0.12) & (x % 1 < 0.80) & (y % 1 > 0.15) & (y % 1 < 0.85)
        lines = window & ((y * 9) % 1 < 0.4) & (x % 1 < 0.3 + 0.45 * (np.sin(np.floor(y * 9) * 37.7) * 0.5 + 0.5))
        shown = self._mix(color, which, 0.9 * window)
        shown[lines] *= 0.35
        return shown

    def _painting(self, color, which, p):
        """Two hills of colour under a lighter sky: reads as a picture, without being an object of its own."""
        x = self._coordinate(which, p, 1) / self.scale[which] + self.phase[which]
        y = self._coordinate(which, p, 2) / self.scale[which]
        far = y < 0.15 + 0.22 * np.sin(x * 2.1)
        near = y < -0.15 + 0.18 * np.sin(x * 1.3 + 2)
        shown = self._mix(color, which, 0.85 * far)
        shown[near] = self.second[which[near]] * 0.35
        return shown * (1 + 0.15 * noise(p, 0.008))[:, None]
