"""Shapes of things that stand on tables. Every function builds one kind: (rng, body material, scene) -> Shape.

The body material carries the object's colour name and covers most of what is seen; other parts stay neutral.
"""
from __future__ import annotations

import numpy as np

from .materials import Material
from .palette import srgb_to_linear
from .shapes import (
    Shape,
    Surface,
    arc,
    cushion,
    cylinder,
    lathe,
    prism,
    rotation_x,
    rotation_y,
    rotation_z,
    slab,
    sphere,
    tube,
)


def neutral(r: float, g: float, b: float, **kwargs) -> Material:
    """A material from an sRGB colour in 0..1."""
    return Material(tuple(float(x) for x in srgb_to_linear((r, g, b))), **kwargs)


METAL = neutral(0.62, 0.63, 0.65, specular=0.5, shininess=40)
STEEL = neutral(0.78, 0.79, 0.80, specular=0.6, shininess=60)
DARK = neutral(0.10, 0.10, 0.11, specular=0.1)
RUBBER = neutral(0.16, 0.16, 0.17, specular=0.02)
PAPER = neutral(0.93, 0.91, 0.85, specular=0.0)
PORCELAIN = neutral(0.95, 0.95, 0.93, specular=0.3, shininess=60)
PALE_WOOD = neutral(0.70, 0.53, 0.36, pattern="wood", scale=0.05)
GLASS_DARK = neutral(0.06, 0.07, 0.09, specular=0.5, shininess=80)


def mug(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.040, 0.050), rng.uniform(0.085, 0.110)
    flare = rng.uniform(0.92, 1.06)
    t = 0.005
    shape.add(lathe([(0, 0), (r * 0.92, 0), (r, 0.006), (r * flare, h), (r * flare - t, h), (r - t, 0.010), (0, 0.010)], 22), body)
    ring = arc(h * 0.30, -90, 90, 9, "xz", (r * 0.97, 0, h * 0.52))
    shape.add(tube(ring * [1, 1, 1], 0.0065, 8), body)
    return shape


def bottle(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.034, 0.044), rng.uniform(0.23, 0.31)
    neck, shoulder = r * rng.uniform(0.32, 0.42), h * rng.uniform(0.58, 0.66)
    shape.add(lathe([(0, 0), (r * 0.93, 0), (r, 0.008), (r, shoulder), (r * 0.93, shoulder + 0.25 * r), (r * 0.6, shoulder + r),
                     (neck, shoulder + 1.6 * r), (neck, h * 0.93), (0, h * 0.93)], 20), body)
    shape.add(cylinder(neck * 1.2, h * 0.90, h, 14), STEEL if rng.random() < 0.5 else DARK)
    if rng.random() < 0.6:
        shape.add(lathe([(r * 1.015, h * 0.20), (r * 1.015, h * 0.42)], 20), PAPER)
    return shape


def bowl(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.075, 0.110), rng.uniform(0.055, 0.080)
    a = np.radians(np.linspace(18, 88, 6))
    outer = [(0, 0), (r * 0.42, 0), (r * 0.42, 0.008)] + [(r * np.sin(x), 0.008 + (h - 0.008) * (1 - np.cos(x))) for x in a[1:]]
    rim = [(r * 0.95, outer[-1][1])]
    inner = [((r - 0.006) * np.sin(x), 0.014 + (h - 0.016) * (1 - np.cos(x))) for x in a[::-1][1:]] + [(0, 0.014)]
    shape.add(lathe(outer + rim + inner, 24), body)
    return shape


def plate(rng, body, scene):
    shape = Shape()
    r = rng.uniform(0.105, 0.145)
    shape.add(lathe([(0, 0), (r * 0.6, 0), (r, 0.018), (r, 0.022), (r * 0.70, 0.010), (0, 0.008)], 28, 25), body)
    shape.add(lathe([(r * 0.995, 0.0225), (r * 0.93, 0.0200)], 28), body.shaded(0.55) if max(body.color) > 0.3 else PORCELAIN)
    return shape


def wine_glass(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.036, 0.046), rng.uniform(0.17, 0.22)
    shape.add(lathe([(0, 0), (r * 0.9, 0), (r * 0.8, 0.005), (0.007, 0.012), (0.0055, h * 0.45), (r * 0.55, h * 0.52), (r * 0.95, h * 0.66),
                     (r, h * 0.80), (r * 0.82, h), (r * 0.78, h), (r * 0.94, h * 0.80), (r * 0.5, h * 0.56), (0, h * 0.54)], 20), body)
    return shape


def can(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.033, 0.038), rng.uniform(0.115, 0.145)
    shape.add(lathe([(r * 0.86, 0.0), (r, 0.010), (r, h - 0.012)], 20), body)
    shape.add(lathe([(r, h - 0.012), (r * 0.84, h), (r * 0.78, h), (r * 0.76, h - 0.005), (0, h - 0.005)], 20), STEEL)
    shape.add(tube(arc(0.008, 0, 330, 8, "xy", (0.006, 0, h - 0.002)), 0.0018, 5), METAL)
    return shape


def book(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.14, 0.19), rng.uniform(0.20, 0.26), rng.uniform(0.022, 0.055)
    c = 0.004
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, c)), body)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (h - c, h)), body)
    shape.add(slab((-w / 2, -w / 2 + c), (-d / 2, d / 2), (c, h - c)), body)
    shape.add(slab((-w / 2 + c, w / 2 - 0.006), (-d / 2 + 0.006, d / 2 - 0.006), (c, h - c)), PAPER)
    if rng.random() < 0.7:  # a title on the cover
        shape.add(slab((-w * 0.28, w * 0.30), (d * 0.12, d * 0.27), (h, h + 0.0006)), PAPER)
        shape.add(slab((-w * 0.18, w * 0.20), (-d * 0.30, -d * 0.26), (h, h + 0.0006)), PAPER)
    shape.surfaces.append(Surface(h, (-w / 2, w / 2), (-d / 2, d / 2)))
    return shape


def laptop(rng, body, scene):
    shape = Shape()
    w, d = rng.uniform(0.30, 0.36), rng.uniform(0.21, 0.25)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, 0.016)), body)
    shape.add(slab((-w * 0.43, w * 0.43), (-d * 0.05, d * 0.40), (0.016, 0.0175)), DARK)
    rows = [slab((-w * 0.42 + w * 0.84 * i / 10 + 0.002, -w * 0.42 + w * 0.84 * (i + 1) / 10 - 0.002),
                 (d * (-0.03 + 0.105 * j), d * (0.05 + 0.105 * j)), (0.0175, 0.0195)) for i in range(10) for j in range(4)]
    for key in rows:
        shape.add(key, RUBBER)
    shape.add(slab((-w * 0.16, w * 0.16), (-d * 0.42, -d * 0.12), (0.016, 0.0168)), body.shaded(0.75))
    tilt = rotation_x(-np.radians(rng.uniform(8, 28)))  # the lid leans back from upright
    hinge = (0, d / 2 - 0.006, 0.014)
    lid = slab((-w / 2, w / 2), (-0.004, 0.006), (0, d * 0.96))
    shape.add(lid.turned(tilt).moved(hinge), body)
    screen = Material(tuple(float(x) for x in rng.uniform(0.05, 0.30, 3)), (0.75, 0.78, 0.80), "screen", d * 0.9, 1,
                      specular=0.2, shininess=60, emission=rng.uniform(0.35, 0.8), phase=0.5)
    shape.add(slab((-w * 0.455, w * 0.455), (-0.0055, -0.004), (d * 0.07, d * 0.90)).turned(tilt).moved(hinge), screen)
    return shape


def keyboard(rng, body, scene):
    shape = Shape()
    w, d = rng.uniform(0.36, 0.44), rng.uniform(0.13, 0.155)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, 0.018)), body)
    key = DARK if body.color[0] + body.color[1] + body.color[2] > 0.35 else neutral(0.75, 0.75, 0.75)
    columns = 13
    for row in range(4):
        y0 = -d * 0.42 + d * 0.21 * row
        if row == 0:
            spans = [(0, 2), (2, 3), (3, 9), (9, 10), (10, 13)]
        else:
            spans = [(i, i + 1) for i in range(columns)]
        for a, b in spans:
            x0, x1 = -w * 0.47 + w * 0.94 * a / columns, -w * 0.47 + w * 0.94 * b / columns
            shape.add(slab((x0 + 0.003, x1 - 0.003), (y0 + 0.002, y0 + d * 0.21 - 0.003), (0.018, 0.026)), key)
    return shape


def phone(rng, body, scene):
    shape = Shape()
    w, d = rng.uniform(0.080, 0.092), rng.uniform(0.165, 0.185)
    c = 0.014
    outline = []
    for sx, sy, start in ((1, -1, -90), (1, 1, 0), (-1, 1, 90), (-1, -1, 180)):
        for a in np.radians(np.linspace(start, start + 90, 4)):
            outline.append((sx * (w / 2 - c) + c * np.cos(a), sy * (d / 2 - c) + c * np.sin(a)))
    shape.add(prism(outline, 0, 0.012), body)
    if rng.random() < 0.65:
        screen = Material(tuple(float(x) for x in rng.uniform(0.02, 0.12, 3)), (0.55, 0.58, 0.60), "checker", 0.020, specular=0.4,
                          shininess=80, emission=0.25, phase=0.3)
        shape.add(slab((-w * 0.40, w * 0.40), (-d * 0.40, d * 0.40), (0.012, 0.0126)), GLASS_DARK)
        shape.add(slab((-w * 0.34, w * 0.34), (-d * 0.33, d * 0.35), (0.0126, 0.0129)), screen)
    else:  # face down: camera bump
        shape.add(slab((-w * 0.40, -w * 0.02), (d * 0.24, d * 0.43), (0.012, 0.0145)), body.shaded(0.7))
        for x, y in ((-0.30, 0.29), (-0.30, 0.38), (-0.12, 0.335)):
            shape.add(cylinder(0.007, 0.0145, 0.016, 10).moved((w * x, d * y, 0)), GLASS_DARK)
    return shape


def vase(rng, body, scene):
    shape = Shape()
    h = rng.uniform(0.22, 0.33)
    r = h * rng.uniform(0.24, 0.32)
    foot, neck, lip = r * rng.uniform(0.5, 0.65), r * rng.uniform(0.28, 0.4), r * rng.uniform(0.5, 0.65)
    z = np.linspace(0, 1, 9)
    belly = np.interp(z, [0, 0.4, 0.78, 1.0], [foot, r, neck, lip])
    smooth = np.convolve(np.r_[belly[0], belly, belly[-1]], [0.25, 0.5, 0.25], "valid")
    outer = [(0, 0)] + [(float(a), float(b * h)) for a, b in zip(smooth, z)]
    end = outer[-1][0]
    shape.add(lathe(outer + [(end - 0.007, h), (neck - 0.004, h * 0.80), (0, h * 0.72)], 24, 60), body)
    return shape


def banana(rng, body, scene):
    shape = Shape()
    length = rng.uniform(0.19, 0.23)
    radius = length * 0.62
    path = arc(radius, 205, 335, 12, "xy", (0, radius * 0.80, 0))
    thick = length * 0.105 * np.array([0.25, 0.45, 0.8, 0.95, 1, 1, 1, 1, 0.95, 0.8, 0.5, 0.3])
    path[:, 2] = length * 0.105
    shape.add(tube(path, thick, 7), body)
    shape.add(tube(path[:2] + (path[0] - path[1]) * 0.55, length * 0.024, 6), neutral(0.30, 0.22, 0.10))
    return shape


def apple(rng, body, scene):
    shape = Shape()
    r = rng.uniform(0.040, 0.050)
    profile = [(0, 0.10), (0.30, 0.0), (0.62, 0.08), (0.90, 0.45), (1.0, 0.95), (0.92, 1.40), (0.66, 1.68), (0.32, 1.72), (0.10, 1.60), (0, 1.5)]
    shape.add(lathe([(a * r, b * r) for a, b in profile], 20, 75), body)
    shape.add(tube([(0, 0, r * 1.5), (0.1 * r, 0, r * 1.8), (0.28 * r, 0, r * 2.1)], 0.0028, 5), neutral(0.28, 0.18, 0.10))
    return shape


def carton(rng, body, scene):
    """A closed box with a band of tape."""
    shape = Shape()
    big = 2.2 if scene == "room" else 1.0
    w, d, h = rng.uniform(0.13, 0.21) * big, rng.uniform(0.11, 0.18) * big, rng.uniform(0.08, 0.15) * big
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, h)), body)
    band, e = 0.16 * d, 0.0008 * big
    tape = PAPER if sum(body.color) < 1.2 else neutral(0.55, 0.42, 0.28)
    shape.add(slab((-w / 2 - e, w / 2 + e), (-band / 2, band / 2), (h * 0.55, h + e)), tape)
    if rng.random() < 0.5:
        shape.add(slab((-band / 2, band / 2), (-d / 2 - e, d / 2 + e), (h * 0.55, h + e)), tape)
    shape.surfaces.append(Surface(h + e, (-w / 2, w / 2), (-d / 2, d / 2)))
    return shape


def teapot(rng, body, scene):
    shape = Shape()
    r = rng.uniform(0.062, 0.078)
    profile = [(0, 0), (0.55, 0), (0.85, 0.25), (1.0, 0.62), (0.95, 1.0), (0.70, 1.30), (0.45, 1.40), (0, 1.42)]
    shape.add(lathe([(a * r, b * r) for a, b in profile], 22, 70), body)
    shape.add(lathe([(0.50 * r, 1.38 * r), (0.40 * r, 1.50 * r), (0, 1.58 * r)], 18, 60), body.shaded(0.85))
    shape.add(sphere(0.12 * r, (0, 0, 1.68 * r), 6, 10), body)
    spout = np.array([(0.80, 0.55), (1.25, 0.75), (1.45, 1.10), (1.75, 1.40)]) * r
    shape.add(tube(np.stack([spout[:, 0], 0 * spout[:, 0], spout[:, 1]], 1), np.array([0.26, 0.20, 0.14, 0.11]) * r, 9), body)
    shape.add(tube(arc(0.48 * r, 80, 280, 9, "xz", (-0.88 * r, 0, 0.78 * r)), 0.10 * r, 7), body)
    return shape


def scissors(rng, body, scene):
    shape = Shape()
    scale = rng.uniform(1.05, 1.3)
    spread = np.radians(rng.uniform(11, 19))
    for sign, z in ((1, 0.0), (-1, 0.004)):
        turn = rotation_z(sign * spread)
        blade = prism([(-0.010, -0.012), (0.010, -0.012), (0.009, 0.06), (0.000, 0.115), (-0.006, 0.10)], z + 0.003, z + 0.007)
        shape.add(blade.stretched((scale, scale, 1)).turned(turn), STEEL)
        ring = arc(0.026, 0, 360, 15, "xy")[:-1] * [0.85, 1.3, 1] + [-sign * 0.014, -0.068, 0.009]
        shape.add(tube(ring * [scale, scale, 1], 0.0085, 7, closed=True).turned(turn), body)
        grip = np.array([(0, -0.005, 0.009), (-sign * 0.006, -0.035, 0.009)]) * [scale, scale, 1]
        shape.add(tube(grip, 0.010, 7).turned(turn), body)
    shape.add(cylinder(0.006, 0.0, 0.014, 10), METAL)
    return shape


def candle(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.026, 0.036), rng.uniform(0.11, 0.18)
    shape.add(lathe([(0, 0), (r * 1.7, 0), (r * 2.0, 0.014), (r * 1.9, 0.014), (r * 1.6, 0.006), (0, 0.006)], 20), METAL)
    shape.add(lathe([(r, 0.006), (r, h), (r * 0.85, h + 0.003), (r * 0.75, h - 0.004), (0, h - 0.006)], 18), body)
    shape.add(cylinder(0.0015, h - 0.006, h + 0.010, 6), DARK)
    flame = [(0, h + 0.006), (0.006, h + 0.014), (0.0075, h + 0.022), (0.004, h + 0.036), (0, h + 0.048)]
    shape.add(lathe(flame, 10, 70), Material((1.0, 0.72, 0.22), emission=2.2, specular=0))
    return shape


def clock(rng, body, scene):
    """A twin-bell alarm clock facing -y."""
    shape = Shape()
    r, t = rng.uniform(0.055, 0.075), 0.045
    upright = rotation_x(np.pi / 2)
    middle = (0, t / 2, r * 1.18)
    shape.add(lathe([(0, 0), (r * 0.94, 0), (r, 0.006), (r, t - 0.004), (r * 0.96, t), (r * 0.84, t), (r * 0.84, t - 0.006)], 26, 30)
              .turned(upright).moved(middle), body)
    shape.add(cylinder(r * 0.85, t - 0.008, t - 0.006, 24).turned(upright).moved(middle), PORCELAIN)
    face = -t / 2 + 0.004
    for angle, length in ((rng.uniform(0, 6.28), 0.45), (rng.uniform(0, 6.28), 0.68)):
        hand = slab((-0.0022, 0.0022), (face - 0.001, face), (0, r * length)).turned(rotation_y(angle))
        shape.add(hand.moved((0, 0, r * 1.18)), DARK)
    for k in range(12):
        tick = slab((-0.002, 0.002), (face - 0.0006, face), (r * 0.68, r * 0.79)).turned(rotation_y(k * np.pi / 6))
        shape.add(tick.moved((0, 0, r * 1.18)), DARK)
    for sign in (-1, 1):
        shape.add(sphere(r * 0.34, (sign * r * 0.58, 0, r * 2.05), 8, 12), body)
        shape.add(tube([(sign * r * 0.5, 0, r * 0.30), (sign * r * 0.78, 0, 0.004)], 0.006, 7), METAL)
    shape.add(tube(arc(r * 0.45, 0, 180, 7, "xz", (0, 0, r * 2.25)), 0.004, 6), METAL)
    return shape


def ball(rng, body, scene):
    shape = Shape()
    r = rng.uniform(0.11, 0.16) if scene == "room" else rng.uniform(0.042, 0.060)
    shape.add(sphere(r, (0, 0, r), 14, 22), body)
    if rng.random() < 0.6:
        seam = neutral(0.92, 0.92, 0.90) if sum(body.color) < 1.6 else DARK
        tilt = rotation_x(rng.uniform(0, 3)) @ rotation_y(rng.uniform(0, 3))
        for turn in (np.eye(3, dtype=np.float32), rotation_x(np.pi / 2)):
            ring = arc(r * 1.0, 0, 360, 25, "xy")[:-1] @ (tilt @ turn).T
            shape.add(tube(ring + [0, 0, r], r * 0.045, 5, closed=True), seam)
    return shape


def basket(rng, body, scene):
    shape = Shape()
    k = 1.9 if scene == "room" else 1.0
    r, h = rng.uniform(0.085, 0.11) * k, rng.uniform(0.08, 0.11) * k
    shape.add(lathe([(0, 0), (r * 0.78, 0), (r, h), (r * 0.94, h), (r * 0.73, 0.01), (0, 0.01)], 24), body)
    shape.add(tube(arc(r * 0.98, 0, 360, 23, "xy", (0, 0, h))[:-1], 0.008 * k, 6, closed=True), body.shaded(0.8))
    handle = arc(r * 0.98, 0, 180, 13, "xz", (0, 0, h)) * [1, 1, 1]
    handle[:, 2] = h + (handle[:, 2] - h) * 1.15
    shape.add(tube(handle, 0.007 * k, 7), body.shaded(0.8))
    return shape


def teddy(rng, body, scene):
    shape = Shape()
    k = (rng.uniform(0.30, 0.42) if scene == "room" else rng.uniform(0.17, 0.24)) / 1.0
    muzzle = body.shaded(1.5) if max(body.color) < 0.5 else body.shaded(0.7)

    def blob(size, center, material):
        shape.add(cushion(np.array(size) * k, np.array(center) * k, 1.0, 14, 8), material)

    blob((0.46, 0.42, 0.50), (0, 0, 0.27), body)
    blob((0.40, 0.38, 0.36), (0, 0, 0.66), body)
    blob((0.22, 0.10, 0.26), (0, -0.19, 0.28), muzzle)
    blob((0.18, 0.16, 0.13), (0, -0.18, 0.61), muzzle)
    blob((0.06, 0.05, 0.05), (0, -0.26, 0.64), DARK)
    for s in (-1, 1):
        blob((0.15, 0.09, 0.15), (s * 0.16, 0, 0.85), body)
        blob((0.045, 0.03, 0.05), (s * 0.08, -0.175, 0.71), DARK)
        blob((0.16, 0.30, 0.15), (s * 0.25, -0.10, 0.40), body)
        blob((0.19, 0.36, 0.18), (s * 0.17, -0.24, 0.09), body)
        blob((0.13, 0.03, 0.13), (s * 0.17, -0.415, 0.10), muzzle)
    return shape


def pan(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.105, 0.135), rng.uniform(0.040, 0.055)
    shape.add(lathe([(0, 0), (r * 0.85, 0), (r, h), (r * 0.97, h), (r * 0.83, 0.006)], 26), body)
    shape.add(lathe([(r * 0.83, 0.006), (0, 0.006)], 26), neutral(0.22, 0.22, 0.23, specular=0.3))
    handle = np.array([(r * 0.94, 0, h * 0.75), (r * 1.2, 0, h * 1.05), (r * 2.35, 0, h * 1.25)])
    shape.add(tube(handle, [0.010, 0.011, 0.014], 8), DARK if sum(body.color) > 0.15 else METAL)
    return shape


def lamp(rng, body, scene):
    """Shade in the body colour on a pole: a desk lamp on tables, a standard lamp on floors."""
    shape = Shape()
    if scene == "floor":
        h, r = rng.uniform(1.35, 1.65), rng.uniform(0.20, 0.27)
    else:
        h, r = rng.uniform(0.38, 0.52), rng.uniform(0.11, 0.15)
    shade, top = h * (0.24 if scene == "floor" else 0.42), rng.uniform(0.5, 0.85)
    stand = METAL if rng.random() < 0.5 else DARK
    shape.add(lathe([(0, 0), (r * 0.62, 0), (r * 0.62, 0.02), (r * 0.1, 0.035), (0, 0.035)], 20), stand)
    shape.add(cylinder(0.011 if scene == "floor" else 0.009, 0.02, h - shade * 0.3, 10), stand)
    lit = Material(body.color, body.second, body.pattern, body.scale, body.axis, 0.0, 10, emission=0.35 * (rng.random() < 0.6))
    shape.add(lathe([(r, h - shade), (r * top, h)], 24), lit)
    shape.add(lathe([(r * top * 0.98, h), (r * 0.98, h - shade)], 24), lit)
    shape.add(sphere(0.035 if scene == "floor" else 0.028, (0, 0, h - shade * 0.55), 6, 10), Material((1.0, 0.9, 0.7), emission=2.0))
    return shape

