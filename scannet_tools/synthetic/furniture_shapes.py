"""Shapes of furniture and of what stands about in rooms. Every function builds one kind: (rng, body material, scene) -> Shape."""
from __future__ import annotations

import numpy as np

from .materials import Material
from .shapes import Shape, Surface, arc, box, cushion, cylinder, lathe, leaf, rotation_x, rotation_z, slab, tube
from .table_shapes import DARK, GLASS_DARK, METAL, PAPER, RUBBER, neutral

BOOK_SPINES = [neutral(*c) for c in ((0.55, 0.16, 0.14), (0.16, 0.26, 0.48), (0.20, 0.38, 0.22), (0.78, 0.70, 0.52), (0.32, 0.20, 0.13),
                                     (0.72, 0.52, 0.20), (0.35, 0.36, 0.38), (0.60, 0.58, 0.55))]


def _legs(shape, x, y, height, thick, material, splay=0.0):
    for sx in (-1, 1):
        for sy in (-1, 1):
            foot, head = (sx * (x + splay), sy * (y + splay), 0), (sx * x, sy * y, height)
            shape.add(tube([foot, head], thick, 6), material)


def chair(rng, body, scene):
    shape = Shape()
    w, d, seat, h = rng.uniform(0.42, 0.50), rng.uniform(0.42, 0.48), rng.uniform(0.44, 0.48), rng.uniform(0.85, 1.0)
    shape.add(cushion((w, d, 0.07), (0, 0, seat - 0.02), 0.2, 16, 6), body)
    leg = body.shaded(0.8) if rng.random() < 0.6 else (METAL if rng.random() < 0.5 else DARK)
    _legs(shape, w * 0.42, d * 0.40, seat - 0.03, 0.019, leg, 0.02)
    for sx in (-1, 1):
        shape.add(tube([(sx * w * 0.42, d * 0.42, seat - 0.02), (sx * w * 0.42, d * 0.42 + 0.07, h)], 0.018, 6), leg)
    lean = rotation_x(-0.14)
    if rng.random() < 0.5:
        back = box((w * 0.92, 0.035, (h - seat) * 0.55), (0, 0, (h - seat) * 0.70))
        shape.add(back.turned(lean).moved((0, d * 0.42, seat)), body)
    else:
        for k in (0.28, 0.58, 0.88):
            shape.add(box((w * 0.90, 0.025, 0.075), (0, 0, (h - seat) * k)).turned(lean).moved((0, d * 0.42, seat)), body)
    return shape


def stool(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.17, 0.21), rng.uniform(0.45, 0.70)
    shape.add(lathe([(0, h - 0.06), (r * 0.95, h - 0.06), (r, h - 0.045), (r, h - 0.012), (r * 0.93, h), (0, h)], 22), body)
    leg = body.shaded(0.75) if rng.random() < 0.5 else METAL
    _legs(shape, r * 0.55, r * 0.55, h - 0.05, 0.017, leg, 0.06)
    ring = arc(r * 0.98, 0, 360, 17, "xy", (0, 0, h * 0.38))[:-1]
    shape.add(tube(ring, 0.010, 6, closed=True), leg)
    return shape


def _couch(rng, body, seats, width):
    shape = Shape()
    d, seat, h, arm = rng.uniform(0.80, 0.92), 0.42, rng.uniform(0.78, 0.92), 0.16
    inner = width - 2 * arm
    shape.add(slab((-width / 2 + 0.01, width / 2 - 0.01), (-d / 2 + 0.02, d / 2 - 0.02), (0.07, 0.27)), body.shaded(0.85))
    for k in range(seats):
        x = -inner / 2 + inner * (k + 0.5) / seats
        shape.add(cushion((inner / seats - 0.008, d - 0.20, 0.19), (x, -0.09, seat - 0.08), 0.22, 16, 8), body)
        shape.add(cushion((inner / seats - 0.012, 0.20, h - seat + 0.02), (x, d / 2 - 0.26, (h + seat) / 2), 0.30, 16, 8).turned(rotation_x(-0.02)),
                  body.shaded(1.08))
    shape.add(cushion((width - 0.04, 0.22, h - 0.10), (0, d / 2 - 0.11, h / 2 + 0.05), 0.18, 16, 8), body)
    for s in (-1, 1):
        shape.add(cushion((arm + 0.04, d, 0.56), (s * (width / 2 - arm / 2), 0, 0.35), 0.25, 16, 8), body)
        for y in (-1, 1):
            shape.add(cylinder(0.025, 0, 0.09, 8).moved((s * (width / 2 - 0.09), y * (d / 2 - 0.09), 0)), DARK)
    shape.surfaces.append(Surface(seat + 0.008, (-inner / 2, inner / 2), (-d / 2 + 0.10, d / 2 - 0.38), "seat"))
    return shape


def armchair(rng, body, scene):
    return _couch(rng, body, 1, rng.uniform(0.84, 0.95))


def sofa(rng, body, scene):
    seats = int(rng.integers(2, 4))
    return _couch(rng, body, seats, 0.36 + seats * rng.uniform(0.62, 0.70))


def table(rng, body, scene):
    shape = Shape()
    low = rng.random() < 0.3
    h = rng.uniform(0.40, 0.48) if low else rng.uniform(0.70, 0.77)
    if rng.random() < 0.3:
        r = rng.uniform(0.42, 0.55)
        shape.add(lathe([(0, h - 0.035), (r, h - 0.035), (r, h), (0, h)], 28), body)
        shape.add(cylinder(0.04, 0.03, h - 0.03, 12), body.shaded(0.7))
        shape.add(lathe([(0, 0), (r * 0.55, 0), (r * 0.5, 0.03), (0.05, 0.06)], 20), body.shaded(0.7))
        reach = r * 0.66
        shape.surfaces.append(Surface(h, (-reach, reach), (-reach, reach)))
        return shape
    w, d = rng.uniform(0.95, 1.5), rng.uniform(0.60, 0.85)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (h - 0.04, h)), body)
    _legs(shape, w / 2 - 0.06, d / 2 - 0.06, h - 0.03, 0.028, body.shaded(0.75))
    if rng.random() < 0.5:
        shape.add(slab((-w / 2 + 0.06, w / 2 - 0.06), (-d / 2 + 0.05, d / 2 - 0.05), (h - 0.11, h - 0.04)), body.shaded(0.85))
    shape.surfaces.append(Surface(h, (-w / 2, w / 2), (-d / 2, d / 2)))
    return shape


def bed(rng, body, scene):
    shape = Shape()
    w, d = rng.uniform(1.0, 1.7), rng.uniform(1.9, 2.1)
    frame = neutral(*((0.36, 0.24, 0.16), (0.85, 0.84, 0.82), (0.62, 0.46, 0.30))[int(rng.integers(3))], pattern="wood", scale=0.06)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0.12, 0.30)), frame)
    shape.add(slab((-w / 2 - 0.02, w / 2 + 0.02), (d / 2 - 0.05, d / 2 + 0.02), (0.0, rng.uniform(0.85, 1.1))), frame)
    for sx in (-1, 1):
        shape.add(box((0.07, 0.07, 0.14), (sx * (w / 2 - 0.05), -d / 2 + 0.05, 0.07)), frame)
    shape.add(cushion((w - 0.04, d - 0.08, 0.22), (0, -0.02, 0.40), 0.12, 20, 8), neutral(0.93, 0.92, 0.90, pattern="fabric"))
    shape.add(cushion((w + 0.05, d * 0.70, 0.25), (0, -d * 0.15, 0.41), 0.16, 20, 8), body)
    shape.add(cushion((w + 0.06, 0.24, 0.27), (0, d * 0.16, 0.41), 0.16, 20, 8), body.shaded(1.25))
    shape.surfaces.append(Surface(0.512, (-w / 2 + 0.08, w / 2 - 0.08), (d * 0.24, d / 2 - 0.07), "pillows"))
    shape.surfaces.append(Surface(0.538, (-w / 2 + 0.15, w / 2 - 0.15), (-d * 0.42, d * 0.06), "blanket"))
    return shape


def cabinet(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.75, 1.3), rng.uniform(0.40, 0.50), rng.uniform(0.65, 1.05)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0.06, h)), body)
    shape.add(slab((-w / 2 + 0.03, w / 2 - 0.03), (-d / 2 + 0.03, d / 2), (0, 0.06)), DARK)
    front, knob = -d / 2, METAL if rng.random() < 0.7 else DARK
    columns, rows = (2, 1) if rng.random() < 0.4 else (int(rng.integers(1, 3)), int(rng.integers(3, 5)))
    for i in range(columns):
        for j in range(rows):
            x0, x1 = -w / 2 + w * i / columns, -w / 2 + w * (i + 1) / columns
            z0, z1 = 0.08 + (h - 0.10) * j / rows, 0.08 + (h - 0.10) * (j + 1) / rows
            shape.add(slab((x0 + 0.014, x1 - 0.014), (front - 0.016, front), (z0 + 0.010, z1 - 0.010)), body.shaded(1.12))
            if rows == 1:
                x = x1 - 0.06 if i == 0 else x0 + 0.06
                shape.add(box((0.016, 0.03, 0.14), (x, front - 0.03, (z0 + z1) / 2)), knob)
            else:
                shape.add(box((0.14, 0.03, 0.018), ((x0 + x1) / 2, front - 0.03, (z0 + z1) / 2)), knob)
    shape.surfaces.append(Surface(h, (-w / 2, w / 2), (-d / 2, d / 2)))
    return shape


def bookshelf(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.75, 1.1), rng.uniform(0.28, 0.34), rng.uniform(1.5, 2.0)
    t, rows = 0.03, int(rng.integers(4, 6))
    for s in (-1, 1):
        shape.add(slab((s * w / 2 - (t if s > 0 else 0), s * w / 2 + (t if s < 0 else 0)), (-d / 2, d / 2), (0, h)), body)
    shape.add(slab((-w / 2, w / 2), (d / 2 - 0.015, d / 2), (0, h)), body.shaded(0.8))
    for j in range(rows + 1):
        z = 0.04 + (h - 0.04 - t) * j / rows
        shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2 - 0.01), (z, z + t)), body)
        if j == rows:
            break
        x, gap = -w / 2 + t + 0.01, (h - 0.04) / rows
        while x < w / 2 - t - 0.07:
            if rng.random() < 0.16:
                x += rng.uniform(0.05, 0.15)
                continue
            thick, tall = rng.uniform(0.030, 0.065), gap * rng.uniform(0.55, 0.82)
            spine = BOOK_SPINES[int(rng.integers(len(BOOK_SPINES)))]
            shape.add(slab((x, x + thick), (-d / 2 + rng.uniform(0.02, 0.05), d / 2 - 0.05), (z + t, z + t + tall)), spine)
            x += thick + 0.003
    shape.surfaces.append(Surface(h, (-w / 2, w / 2), (-d / 2, d / 2)))
    return shape


def plant(rng, body, scene):
    """A leafy plant in a pot; the body colour is the leaves'."""
    shape = Shape()
    k = rng.uniform(0.85, 1.25) if scene == "floor" else rng.uniform(0.30, 0.40)
    pot = neutral(*((0.66, 0.36, 0.24), (0.88, 0.87, 0.84), (0.33, 0.34, 0.36))[int(rng.integers(3))])
    r, h = 0.16 * k, 0.28 * k
    shape.add(lathe([(0, 0), (r * 0.72, 0), (r, h), (r * 0.9, h), (r * 0.86, h * 0.85), (0, h * 0.85)], 20), pot)
    shape.add(cylinder(r * 0.86, h * 0.80, h * 0.87, 16), neutral(0.20, 0.14, 0.10))
    count = int(rng.integers(16, 24))
    for i in range(count):
        angle = i * 2.39996 + rng.uniform(-0.3, 0.3)
        level = i / count
        root = h * 0.8 + 0.28 * k * level
        stem = np.array([(0, 0, root * 0.6), (0.015 * k * np.cos(angle), 0.015 * k * np.sin(angle), root + 0.05 * k)])
        blade = leaf(rng.uniform(0.30, 0.42) * k, rng.uniform(0.10, 0.15) * k, rng.uniform(0.9, 1.6), 0.55 + 0.75 * level)
        if i % 4 == 0:
            shape.add(tube(stem, 0.008 * k, 5), body.shaded(0.6))
        shape.add(blade.turned(rotation_z(angle)).moved(stem[1]), body.shaded(rng.uniform(0.75, 1.25)))
    return shape


def television(rng, body, scene):
    shape = Shape()
    w = rng.uniform(0.75, 1.1)
    h, lift = w * 0.57, 0.07
    shape.add(slab((-w / 2, w / 2), (-0.02, 0.025), (lift, lift + h)), body)
    on = rng.random() < 0.45
    screen = Material(tuple(float(c) for c in rng.uniform(0.02, 0.22, 3)), tuple(float(c) for c in rng.uniform(0.1, 0.5, 3)), "painting", h * 0.6, 1,
                      specular=0.4, shininess=80, emission=0.4) if on else GLASS_DARK
    face = slab((-w / 2 + 0.025, w / 2 - 0.025), (-0.0225, -0.02), (-h / 2 + 0.025, h / 2 - 0.025)).moved((0, 0, lift + h / 2))
    shape.add(face, screen)
    shape.add(slab((-w * 0.22, w * 0.22), (-0.10, 0.10), (0, 0.012)), body)
    shape.add(slab((-0.05, 0.05), (-0.015, 0.02), (0.0, lift + 0.02)), body)
    return shape


def bin_(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.14, 0.19), rng.uniform(0.34, 0.52)
    segments = 4 if rng.random() < 0.3 else 22
    profile = [(0, 0), (r * 0.75, 0), (r, h), (r * 1.06, h), (r * 1.06, h - 0.03), (r * 1.0, h - 0.03)]
    shape.add(lathe(profile, segments), body)
    shape.add(lathe([(r * 1.0, h), (r * 0.92, h), (r * 0.72, 0.02), (0, 0.02)], segments), body.shaded(0.5))
    if segments == 4:
        for part in shape.parts:
            part.soup = part.soup.turned(rotation_z(np.pi / 4))
    return shape


def pillow(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.42, 0.58), rng.uniform(0.34, 0.42), rng.uniform(0.13, 0.18)
    # Flat corners with a full middle: a superellipsoid squeezed towards its rim.
    soup = cushion((w, d, h), (0, 0, h / 2), 0.55, 22, 10)
    shape.add(soup, body)
    return shape


def rug(rng, body, scene):
    shape = Shape()
    if rng.random() < 0.35:
        r = rng.uniform(0.6, 0.95)
        shape.add(lathe([(r, 0), (r, 0.010), (0, 0.010)], 32), body)
        border, e = body.shaded(1.8 if max(body.color) < 0.35 else 0.5), 0.0005
        shape.add(lathe([(r * 0.88, 0.010 + e), (r * 0.80, 0.010 + e)], 32), border)
        return shape
    w, d = rng.uniform(1.3, 2.0), rng.uniform(0.9, 1.3)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0, 0.010)), body)
    border = PAPER if max(body.color) < 0.5 else body.shaded(0.5)
    for s in (-1, 1):
        shape.add(slab((s * w * 0.44 - 0.025, s * w * 0.44 + 0.025), (-d * 0.46, d * 0.46), (0.010, 0.0106)), border)
    return shape


def suitcase(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.38, 0.48), rng.uniform(0.22, 0.28), rng.uniform(0.55, 0.70)
    shape.add(cushion((w, d, h), (0, 0, h / 2 + 0.05), 0.16, 20, 12), body)
    for x in np.linspace(-0.30, 0.30, 4):
        for s in (-1, 1):
            shape.add(box((0.022, 0.014, h * 0.78), (w * x, s * (d / 2), h / 2 + 0.05)), body.shaded(0.75))
    for sx in (-1, 1):
        for sy in (-1, 1):
            shape.add(cylinder(0.028, 0, 0.06, 10).moved((sx * w * 0.40, sy * d * 0.34, 0)), RUBBER)
        shape.add(tube([(sx * w * 0.24, d * 0.30, h), (sx * w * 0.24, d * 0.30, h + 0.30)], 0.010, 6), METAL)
    shape.add(box((w * 0.56, 0.03, 0.03), (0, d * 0.30, h + 0.30)), DARK)
    return shape


def picture(rng, body, scene):
    """Hangs on a wall behind it (+y); its origin is the middle of the lower edge."""
    shape = Shape()
    w, h = rng.uniform(0.5, 1.0), rng.uniform(0.45, 0.75)
    b = rng.uniform(0.05, 0.08)
    canvas = Material(tuple(float(c) for c in rng.uniform(0.25, 0.75, 3)), tuple(float(c) for c in rng.uniform(0.05, 0.5, 3)), "painting", h * 0.7, 1,
                      specular=0.02, phase=float(rng.uniform(0, 6)))
    shape.add(slab((-w / 2 + b, w / 2 - b), (0.0, 0.015), (-h / 2 + b, h / 2 - b)).moved((0, 0, h / 2)), canvas)
    for s in (-1, 1):
        x = s * (w / 2 - b / 2)
        shape.add(slab((x - b / 2, x + b / 2), (-0.015, 0.015), (0, h)), body)
        z = h / 2 + s * (h / 2 - b / 2)
        shape.add(slab((-w / 2, w / 2), (-0.015, 0.015), (z - b / 2, z + b / 2)), body)
    return shape


def ladder(rng, body, scene):
    """A step ladder: four rails in an A, treads on the front."""
    shape = Shape()
    h, w, reach = rng.uniform(1.2, 1.7), rng.uniform(0.42, 0.52), 0.38
    steps = int(round(h / 0.28))
    for s in (-1, 1):
        shape.add(tube([(s * w / 2, -reach, 0), (s * w * 0.38, 0, h)], 0.026, 6), body)
        shape.add(tube([(s * w / 2, reach, 0), (s * w * 0.38, 0.03, h)], 0.020, 6), body.shaded(0.8))
    for j in range(1, steps + 1):
        k = j / (steps + 0.15)
        shape.add(box((w * (1 - 0.24 * k), 0.11, 0.03), (0, -reach * (1 - k) + 0.02, h * k)), body)
    shape.add(tube([(-w * 0.45, reach * 0.6, h * 0.4), (w * 0.45, reach * 0.6, h * 0.4)], 0.013, 6), METAL)
    return shape
