"""Named object colours: what a person would call them, with some variation inside each name."""
from __future__ import annotations

import colorsys

import numpy as np

# name -> (sRGB hue in degrees, saturation, value), and how far each may drift inside the name.
# Names are far apart on purpose: light and exposure move a colour, and its name must survive that.
_HSV = {
    "red": ((357, 0.87, 0.78), (4, 0.08, 0.10)),
    "orange": ((27, 0.90, 0.95), (3, 0.07, 0.05)),
    "yellow": ((51, 0.85, 0.95), (4, 0.10, 0.05)),
    "green": ((130, 0.66, 0.55), (16, 0.12, 0.12)),
    "blue": ((219, 0.80, 0.78), (9, 0.10, 0.12)),
    "purple": ((279, 0.66, 0.58), (8, 0.10, 0.10)),
    "pink": ((338, 0.42, 0.95), (8, 0.08, 0.05)),
    "brown": ((23, 0.64, 0.43), (5, 0.08, 0.08)),
    "white": ((45, 0.03, 0.92), (30, 0.03, 0.05)),
    "gray": ((220, 0.04, 0.50), (40, 0.03, 0.06)),
    "black": ((220, 0.10, 0.12), (60, 0.08, 0.04)),
}
COLORS: tuple[str, ...] = tuple(_HSV)


def srgb_to_linear(srgb) -> np.ndarray:
    """sRGB in 0..1 to linear light in 0..1, any shape."""
    srgb = np.asarray(srgb, np.float32)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def sample(name: str, rng: np.random.Generator) -> np.ndarray:
    """One linear RGB colour [3] that goes by this name."""
    center, spread = _HSV[name]
    drift = rng.uniform(-1, 1, 3) * spread
    hue, saturation, value = np.asarray(center) + drift
    rgb = colorsys.hsv_to_rgb((hue % 360) / 360, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))
    return srgb_to_linear(rgb)
