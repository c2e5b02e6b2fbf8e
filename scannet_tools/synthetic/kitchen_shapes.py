"""Shapes of more kitchen things and food. Every function builds one kind: (rng, body material, scene) -> Shape, as in ``table_shapes``."""
from __future__ import annotations

import numpy as np

from .materials import Material
from .shapes import Shape, Surface, arc, box, cushion, cylinder, lathe, leaf, rotation_z, slab, sphere, tube
from .table_shapes import DARK, METAL, RUBBER, STEEL, neutral

CRUST = neutral(0.72, 0.46, 0.22, pattern="speckle", second=(0.30, 0.14, 0.05))
CREAM = neutral(0.97, 0.93, 0.85)


def pot(rng, body, scene):
    """A cooking pot with a lid and two ears."""
    shape = Shape()
    r, h = rng.uniform(0.085, 0.115), rng.uniform(0.09, 0.14)
    shape.add(lathe([(0, 0), (r * 0.94, 0), (r, 0.008), (r, h), (r * 0.97, h), (r * 0.97, h - 0.02), (0, h - 0.02)], 26), body)
    if rng.random() < 0.75:
        shape.add(lathe([(r * 1.02, h), (r * 0.95, h + 0.012), (r * 0.4, h + 0.03), (0, h + 0.034)], 26, 60), body.shaded(1.12))
        shape.add(sphere(0.016, (0, 0, h + 0.05), 6, 10), DARK)
        shape.add(cylinder(0.006, h + 0.03, h + 0.045, 8), METAL)
    ear = DARK if rng.random() < 0.6 else METAL
    for turn in (-90, 90):
        shape.add(tube(arc(0.032, turn - 80, turn + 80, 7, "yx", (np.sign(turn) * r * 0.98, 0, h * 0.80)), 0.007, 7), ear)
    return shape


def kettle(rng, body, scene):
    """An electric kettle: a cone on a base, a short beak, a handle from top to bottom."""
    shape = Shape()
    r, h = rng.uniform(0.070, 0.085), rng.uniform(0.19, 0.24)
    top = r * rng.uniform(0.62, 0.74)
    shape.add(lathe([(0, 0), (r * 1.12, 0), (r * 1.12, 0.022), (0, 0.022)], 22), DARK)
    shape.add(lathe([(r * 0.97, 0.022), (r, 0.035), (top, h), (0, h)], 24), body)
    shape.add(lathe([(top * 0.9, h), (top * 0.8, h + 0.015), (0, h + 0.02)], 20), DARK)
    shape.add(sphere(0.012, (0, 0, h + 0.027), 6, 8), DARK)
    beak = np.array([(top * 0.7, 0, h * 0.88), (top * 1.25, 0, h * 0.96), (top * 1.5, 0, h * 1.0)])
    shape.add(tube(beak, [0.022, 0.016, 0.010], 8), body)
    bow = np.array([(-top * 0.9, 0, h * 0.97), (-r * 1.5, 0, h * 0.95), (-r * 1.62, 0, h * 0.6), (-r * 1.35, 0, h * 0.28), (-r * 0.95, 0, h * 0.25)])
    shape.add(tube(bow, 0.011, 8), DARK)
    return shape


def toaster(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.25, 0.30), rng.uniform(0.15, 0.18), rng.uniform(0.17, 0.20)
    shape.add(cushion((w, d, h), (0, 0, h / 2 + 0.012), 0.18, 20, 10), body)
    shape.add(slab((-w * 0.44, w * 0.44), (-d * 0.42, d * 0.42), (0, 0.03)), DARK)
    bread = rng.random() < 0.5
    for y in (-0.19, 0.19):
        shape.add(slab((-w * 0.36, w * 0.36), (d * y - 0.013, d * y + 0.013), (h + 0.008, h + 0.0135)), DARK)
        if bread:
            shape.add(slab((-w * 0.24, w * 0.24), (d * y - 0.009, d * y + 0.009), (h, h + 0.045)), CRUST)
    shape.add(slab((w * 0.49, w * 0.49 + 0.035), (-0.018, 0.018), (h * 0.66, h * 0.74)), DARK)
    shape.add(cylinder(0.014, 0, 0.012, 12).turned(np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)).moved((w * 0.495, 0.04, h * 0.32)), METAL)
    return shape


def pitcher(rng, body, scene):
    """A tall jug, open at the top, with a lip and a handle."""
    shape = Shape()
    r, h = rng.uniform(0.055, 0.068), rng.uniform(0.21, 0.27)
    shape.add(lathe([(0, 0), (r * 0.9, 0), (r * 1.05, h * 0.25), (r * 0.80, h * 0.72), (r * 0.95, h), (r * 0.88, h), (r * 0.73, h * 0.72), (r * 0.7, h * 0.5), (0, h * 0.5)],
                    24, 60), body)
    lip = np.array([(r * 0.6, 0, h * 0.86), (r * 1.05, 0, h * 0.97), (r * 1.28, 0, h * 1.01)])
    shape.add(tube(lip, [0.024, 0.018, 0.008], 8), body)
    shape.add(tube(arc(h * 0.27, 85, 275, 10, "xz", (-r * 0.80, 0, h * 0.62)), 0.0095, 8), body)
    return shape


def sponge(rng, body, scene):
    """A washing-up sponge, a scouring pad on it."""
    shape = Shape()
    w, d, h = rng.uniform(0.11, 0.14), rng.uniform(0.07, 0.085), rng.uniform(0.030, 0.042)
    foam = Material(body.color, tuple(c * 0.5 for c in body.color), "speckle", specular=0.0, phase=body.phase)
    shape.add(cushion((w, d, h), (0, 0, h / 2), 0.15, 18, 8), foam)
    shape.add(slab((-w * 0.485, w * 0.485), (-d * 0.48, d * 0.48), (h * 0.98, h + 0.008)), neutral(0.16, 0.30, 0.18, pattern="fabric"))
    return shape


def pineapple(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.052, 0.066), rng.uniform(0.14, 0.18)
    skin = Material(body.color, tuple(c * 0.45 for c in body.color), "checker", 0.018, specular=0.05, phase=body.phase)
    z = np.linspace(0, 1, 9)
    bulge = np.sqrt(np.clip(1 - (2 * z - 1) ** 2 * 0.72, 0, 1))
    shape.add(lathe([(0, 0), *[(float(r * b), float(h * t)) for b, t in zip(bulge, z)], (0, h)], 20, 70), skin)
    green = neutral(0.20, 0.42, 0.18)
    for k in range(14):
        blade = leaf(rng.uniform(0.08, 0.13), 0.022, rng.uniform(-0.2, 0.5), 1.45 - 0.055 * k, 3)
        shape.add(blade.turned(rotation_z(k * 2.4)).moved((0, 0, h * 0.97)), green.shaded(rng.uniform(0.8, 1.25)))
    return shape


def cake(rng, body, scene):
    """A round cake with icing in the body colour; a piece may be missing."""
    shape = Shape()
    r, h = rng.uniform(0.085, 0.11), rng.uniform(0.06, 0.085)
    shape.add(lathe([(0, 0), (r * 1.35, 0), (r * 1.38, 0.010), (0, 0.010)], 28), CREAM)
    shape.add(lathe([(r, 0.010), (r, 0.010 + h * 0.45)], 28), neutral(0.80, 0.62, 0.38))
    shape.add(lathe([(r, 0.010 + h * 0.45), (r * 1.02, 0.012 + h * 0.5), (r * 1.02, h), (r * 0.96, h + 0.008), (0, h + 0.008)], 28, 50), body)
    for k in range(10):
        x, y = r * 0.82 * np.cos(k * 0.628), r * 0.82 * np.sin(k * 0.628)
        shape.add(sphere(0.013, (x, y, h + 0.014), 5, 8), CREAM)
    if rng.random() < 0.6:
        shape.add(sphere(0.016, (0, 0, h + 0.02), 6, 10), neutral(0.75, 0.08, 0.10, specular=0.3))
    return shape


def bread(rng, body, scene):
    """A loaf with cuts across."""
    shape = Shape()
    w, d, h = rng.uniform(0.22, 0.30), rng.uniform(0.10, 0.13), rng.uniform(0.08, 0.105)
    loaf = Material(body.color, tuple(min(1.6 * c, 0.9) for c in body.color), "speckle", specular=0.03, phase=body.phase)
    shape.add(cushion((w, d, h), (0, 0, h * 0.45), 0.55, 20, 10), loaf)
    for x in np.linspace(-0.28, 0.28, 4):
        shape.add(cushion((0.014, d * 0.62, 0.012), (w * x, 0, h * 0.93), 0.8, 10, 6).turned(rotation_z(0.0)), neutral(0.90, 0.76, 0.52))
    return shape


def donut(rng, body, scene):
    """A ring of dough, iced in the body colour."""
    shape = Shape()
    r, t = rng.uniform(0.040, 0.050), rng.uniform(0.020, 0.025)
    shape.add(tube(arc(r, 0, 360, 21, "xy", (0, 0, t))[:-1], t, 10, closed=True), CRUST)
    shape.add(tube(arc(r, 0, 360, 21, "xy", (0, 0, t * 1.28))[:-1], t * 0.93, 10, closed=True), body)
    return shape


def tray(rng, body, scene):
    """A flat tray with a rim, on which things may stand."""
    shape = Shape()
    w, d = rng.uniform(0.32, 0.42), rng.uniform(0.24, 0.30)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, 0.010)), body)
    rim = body.shaded(0.82)
    for s in (-1, 1):
        shape.add(box((0.012, d, 0.030), (s * (w / 2 - 0.006), 0, 0.015)), rim)
        shape.add(box((w, 0.012, 0.030), (0, s * (d / 2 - 0.006), 0.015)), rim)
        shape.add(tube(arc(0.035, 0, 180, 7, "yz", (s * w / 2, 0, 0.028)), 0.006, 6), STEEL if rng.random() < 0.5 else RUBBER)
    shape.surfaces.append(Surface(0.0105, (-w * 0.44, w * 0.44), (-d * 0.42, d * 0.42)))
    return shape
