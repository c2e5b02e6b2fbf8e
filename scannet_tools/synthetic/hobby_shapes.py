"""Shapes of tools, toys, clothes and gadgets. Every function builds one kind: (rng, body material, scene) -> Shape, as in ``table_shapes``."""
from __future__ import annotations

import numpy as np

from .materials import Material
from .shapes import Shape, arc, box, cushion, cylinder, lathe, rotation_x, rotation_y, rotation_z, slab, sphere, tube
from .table_shapes import DARK, GLASS_DARK, METAL, PALE_WOOD, RUBBER, STEEL, neutral

LYING_X = rotation_y(np.pi / 2)  # z axis -> x axis
LYING_Y = rotation_x(np.pi / 2)  # z axis -> -y axis


def hammer(rng, body, scene):
    """Lying on its side; the handle has the body colour."""
    shape = Shape()
    length = rng.uniform(0.26, 0.33)
    shape.add(tube([(-length * 0.5, 0, 0.018), (-length * 0.1, 0, 0.018), (length * 0.42, 0, 0.018)], [0.018, 0.016, 0.013], 10), body)
    shape.add(cylinder(0.019, -0.055, 0.02, 12).turned(LYING_Y).moved((length * 0.44, 0, 0.020)), STEEL)
    shape.add(cylinder(0.024, -0.07, -0.045, 14).turned(LYING_Y).moved((length * 0.44, 0, 0.024)), STEEL)
    claw = np.array([(length * 0.44, -0.02, 0.02), (length * 0.43, -0.06, 0.02), (length * 0.38, -0.085, 0.018)])
    shape.add(tube(claw, [0.017, 0.014, 0.006], 8), STEEL)
    return shape


def drill(rng, body, scene):
    """A cordless drill standing on its battery, the chuck towards +x."""
    shape = Shape()
    k = rng.uniform(0.95, 1.15)
    shape.add(cushion(np.array((0.11, 0.085, 0.055)) * k, np.array((-0.02, 0, 0.028)) * k, 0.25, 16, 8), DARK)
    shape.add(tube(np.array([(-0.015, 0, 0.04), (-0.025, 0, 0.10), (-0.03, 0, 0.15)]) * k, np.array([0.022, 0.021, 0.024]) * k, 10), DARK)
    shape.add(cushion(np.array((0.17, 0.075, 0.085)) * k, np.array((0.0, 0, 0.185)) * k, 0.4, 18, 8), body)
    shape.add(cylinder(0.026 * k, 0.07 * k, 0.12 * k, 14).turned(LYING_X).moved((0, 0, 0.185 * k)), DARK)
    shape.add(lathe([(0.020 * k, 0.12 * k), (0.009 * k, 0.15 * k), (0.004 * k, 0.155 * k), (0.004 * k, 0.20 * k), (0, 0.20 * k)], 10).turned(LYING_X).moved((0, 0, 0.185 * k)), STEEL)
    return shape


def toy_car(rng, body, scene):
    shape = Shape()
    k = rng.uniform(0.9, 1.25) * (1.6 if scene == "room" else 1.0)
    shape.add(cushion(np.array((0.16, 0.075, 0.038)) * k, np.array((0, 0, 0.034)) * k, 0.3, 18, 8), body)
    shape.add(cushion(np.array((0.085, 0.062, 0.045)) * k, np.array((-0.010, 0, 0.062)) * k, 0.35, 16, 8), body.shaded(0.95))
    for s in (-1, 1):
        shape.add(slab((-0.042 * k, 0.022 * k), (s * 0.0305 * k - 0.0015, s * 0.0305 * k + 0.0015), (0.058 * k, 0.076 * k)), GLASS_DARK)
        for x in (-0.05, 0.05):
            wheel = cylinder(0.019 * k, -0.007 * k, 0.007 * k, 14).turned(LYING_Y)
            shape.add(wheel.moved((x * k, s * 0.036 * k, 0.019 * k)), RUBBER)
            shape.add(cylinder(0.009 * k, -0.0085 * k, 0.0085 * k, 10).turned(LYING_Y).moved((x * k, s * 0.036 * k, 0.019 * k)), STEEL)
    return shape


def hat(rng, body, scene):
    """A hat with a brim all round and a ribbon."""
    shape = Shape()
    r, h = rng.uniform(0.085, 0.10), rng.uniform(0.095, 0.125)
    brim = r * rng.uniform(1.6, 1.85)
    shape.add(lathe([(r, 0.004), (brim, 0.012), (brim, 0.016), (r * 1.0, 0.012)], 28), body)
    shape.add(lathe([(r, 0.008), (r * 0.93, h * 0.8), (r * 0.8, h), (r * 0.3, h * 0.95), (0, h * 0.93)], 26, 60), body)
    ribbon = DARK if sum(body.color) > 0.4 else neutral(0.85, 0.82, 0.75)
    shape.add(lathe([(r * 1.01, 0.014), (r * 0.985, 0.040)], 26), ribbon)
    return shape


def shoe(rng, body, scene):
    """A trainer, its toe towards -y."""
    shape = Shape()
    k = rng.uniform(0.95, 1.1)
    sole = neutral(0.92, 0.91, 0.88) if rng.random() < 0.7 else RUBBER
    shape.add(cushion(np.array((0.105, 0.29, 0.035)) * k, np.array((0, 0, 0.017)) * k, 0.4, 20, 6), sole)
    shape.add(cushion(np.array((0.098, 0.19, 0.085)) * k, np.array((0, -0.045, 0.052)) * k, 0.75, 18, 8), body)
    shape.add(cushion(np.array((0.092, 0.15, 0.125)) * k, np.array((0, 0.062, 0.070)) * k, 0.45, 18, 8), body)
    shape.add(cushion(np.array((0.060, 0.085, 0.02)) * k, np.array((0, 0.065, 0.130)) * k, 0.8, 14, 6), DARK)
    for j in range(4):
        y, z = -0.055 + 0.024 * j, 0.094 + 0.008 * j
        shape.add(box(np.array((0.055, 0.007, 0.006)) * k, np.array((0, y, z)) * k), sole)
    return shape


def headphones(rng, body, scene):
    """Lying flat: a bow and two cups."""
    shape = Shape()
    r = rng.uniform(0.078, 0.092)
    shape.add(tube(arc(r, 0, 180, 15, "xy", (0, 0, 0.03)), [0.008] + [0.011] * 13 + [0.008], 8), body)
    for s in (-1, 1):
        cup = cylinder(0.040, -0.022, 0.012, 18).turned(LYING_X)
        shape.add(cup.moved((s * r, -0.028, 0.040)), body)
        shape.add(cylinder(0.037, -0.016, 0.016, 16).turned(LYING_X).moved((s * (r - 0.020), -0.028, 0.040)), RUBBER)
    return shape


def camera(rng, body, scene):
    """A photo camera facing -y."""
    shape = Shape()
    k = rng.uniform(1.0, 1.2)
    w, d, h = 0.135 * k, 0.055 * k, 0.085 * k
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, h)), body)
    shape.add(slab((-w * 0.17, w * 0.17), (-d * 0.5, d * 0.4), (h, h + 0.022 * k)), body.shaded(0.85))
    lens = [(0.036, 0), (0.036, 0.045), (0.031, 0.05), (0.027, 0.05), (0.025, 0.04), (0, 0.04)]
    shape.add(lathe([(a * k, b * k) for a, b in lens], 22).turned(LYING_Y).moved((0, -d / 2, h * 0.48)), DARK)
    shape.add(cylinder(0.024 * k, 0.038 * k, 0.042 * k, 18).turned(LYING_Y).moved((0, -d / 2, h * 0.48)), neutral(0.12, 0.16, 0.30, specular=0.6, shininess=80))
    shape.add(cylinder(0.009 * k, h, h + 0.012 * k, 10).moved((w * 0.35, 0, 0)), STEEL)
    shape.add(slab((-w / 2 - 0.001, w / 2 + 0.001), (-d / 2 - 0.001, d / 2 + 0.001), (h * 0.10, h * 0.62)), DARK if sum(body.color) > 0.3 else RUBBER)
    return shape


def globe(rng, body, scene):
    """The Earth on a stand; the body colour is that of its seas."""
    shape = Shape()
    r = rng.uniform(0.085, 0.115)
    lift = 0.045 + r * 1.15
    seas = Material(body.color, (0.45, 0.42, 0.18), "speckle", 0.05, specular=0.2, phase=body.phase)
    shape.add(sphere(r, (0, 0, lift), 14, 22), seas)
    for _ in range(5):  # continents
        turn = rotation_z(rng.uniform(0, 6.28)) @ rotation_x(rng.uniform(-1.0, 1.0))
        spot = cushion((r * rng.uniform(0.5, 0.9), r * 0.3, r * rng.uniform(0.5, 1.0)), (0, -r * 0.88, 0), 0.9, 14, 8).turned(turn)
        shape.add(spot.moved((0, 0, lift)), neutral(0.45, 0.52, 0.25))
    bow = arc(r * 1.12, -100, 80, 14, "xz", (0, 0, lift))
    stand = METAL if rng.random() < 0.5 else PALE_WOOD
    shape.add(tube(bow, 0.007, 7), stand)
    shape.add(lathe([(0, 0), (r * 0.75, 0), (r * 0.7, 0.015), (0.012, 0.03), (0.012, 0.05), (0, 0.05)], 20), stand)
    return shape


def trophy(rng, body, scene):
    """A cup of honour: bowl, stem, two ears, on a dark base."""
    shape = Shape()
    k = rng.uniform(0.9, 1.25)
    base = 0.05 * k
    shape.add(slab((-0.05 * k, 0.05 * k), (-0.05 * k, 0.05 * k), (0, base)), DARK)
    profile = [(0, 0), (0.032, 0), (0.010, 0.025), (0.010, 0.06), (0.035, 0.08), (0.055, 0.12), (0.062, 0.185), (0.056, 0.185), (0.045, 0.12), (0, 0.10)]
    shape.add(lathe([(a * k, base + b * k) for a, b in profile], 22, 55), body)
    for s in (-1, 1):
        ear = arc(0.038 * k, -80, 80, 9, "xz", (0.052 * k, 0, base + 0.145 * k)) * [s, 1, 1]
        shape.add(tube(ear, 0.0065 * k, 7), body)
    return shape


def watering_can(rng, body, scene):
    shape = Shape()
    k = rng.uniform(0.95, 1.2)
    r, h = 0.075 * k, 0.14 * k
    shape.add(lathe([(0, 0), (r, 0), (r * 0.92, h), (r * 0.85, h), (r * 0.85, h - 0.02), (0, h - 0.02)], 22), body)
    spout = np.array([(r * 0.85, 0, h * 0.18), (r * 1.7, 0, h * 0.75), (r * 2.35, 0, h * 1.15)])
    shape.add(tube(spout, np.array([0.018, 0.013, 0.011]) * k, 9), body)
    rose = lathe([(0.011 * k, 0), (0.030 * k, 0.028 * k), (0, 0.034 * k)], 14).turned(rotation_y(0.9)).moved(spout[-1])
    shape.add(rose, body.shaded(0.8))
    bow = arc(r * 1.15, 30, 200, 11, "xz", (-r * 0.25, 0, h * 0.85))
    shape.add(tube(bow, 0.009 * k, 8), body.shaded(0.85))
    return shape


def robot_toy(rng, body, scene):
    """A toy robot: square head and trunk, arms, legs, an aerial; it faces -y."""
    shape = Shape()
    k = rng.uniform(0.85, 1.15)
    limb = METAL if rng.random() < 0.6 else DARK
    shape.add(slab((-0.05 * k, 0.05 * k), (-0.035 * k, 0.035 * k), (0.07 * k, 0.165 * k)), body)
    shape.add(slab((-0.036 * k, 0.036 * k), (-0.03 * k, 0.03 * k), (0.175 * k, 0.235 * k)), body.shaded(1.1))
    shape.add(cylinder(0.012 * k, 0.16 * k, 0.18 * k, 8), limb)
    shape.add(tube([(0, 0, 0.235 * k), (0, 0, 0.265 * k)], 0.003 * k, 5), limb)
    shape.add(sphere(0.008 * k, (0, 0, 0.268 * k), 6, 8), neutral(0.8, 0.1, 0.1))
    for s in (-1, 1):
        shape.add(sphere(0.009 * k, (s * 0.016 * k, -0.031 * k, 0.210 * k), 6, 8), Material((0.9, 0.9, 0.5), emission=0.8))
        shape.add(tube([(s * 0.058 * k, 0, 0.150 * k), (s * 0.068 * k, -0.01 * k, 0.115 * k), (s * 0.066 * k, -0.04 * k, 0.095 * k)], 0.011 * k, 8), limb)
        shape.add(slab((s * 0.026 * k - 0.016 * k, s * 0.026 * k + 0.016 * k), (-0.04 * k, 0.025 * k), (0, 0.022 * k)), DARK)
        shape.add(cylinder(0.013 * k, 0.015 * k, 0.075 * k, 10).moved((s * 0.026 * k, 0, 0)), limb)
    shape.add(slab((-0.026 * k, 0.026 * k), (-0.037 * k, -0.034 * k), (0.10 * k, 0.145 * k)), GLASS_DARK)
    return shape
