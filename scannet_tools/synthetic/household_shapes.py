"""Shapes of appliances and large things that stand in rooms. Every function builds one kind: (rng, body material, scene) -> Shape."""
from __future__ import annotations

import numpy as np

from .materials import Material
from .shapes import Shape, Surface, arc, box, cushion, cylinder, lathe, rotation_x, rotation_y, slab, tube
from .table_shapes import DARK, GLASS_DARK, METAL, PALE_WOOD, PORCELAIN, RUBBER, STEEL, neutral

FRONT = rotation_x(np.pi / 2)  # z axis -> -y axis: what is turned on a lathe looks forward


def backpack(rng, body, scene):
    """Standing, pocket towards -y, straps behind."""
    shape = Shape()
    w, d, h = rng.uniform(0.28, 0.34), rng.uniform(0.15, 0.19), rng.uniform(0.40, 0.48)
    shape.add(cushion((w, d, h), (0, 0, h / 2), 0.35, 20, 12), body)
    shape.add(cushion((w * 0.74, d * 0.5, h * 0.42), (0, -d * 0.42, h * 0.28), 0.35, 18, 8), body.shaded(0.8))
    shape.add(slab((-w * 0.30, w * 0.30), (-d * 0.70, -d * 0.66), (h * 0.40, h * 0.42)), METAL)
    shape.add(tube(arc(0.045, 0, 180, 7, "xz", (0, d * 0.25, h * 0.97)), 0.008, 6), DARK)
    for s in (-1, 1):
        shape.add(tube([(s * w * 0.25, d * 0.40, h * 0.9), (s * w * 0.28, d * 0.75, h * 0.55), (s * w * 0.32, d * 0.45, h * 0.12)], 0.015, 6), DARK)
    return shape


def bucket(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.13, 0.16), rng.uniform(0.24, 0.30)
    shape.add(lathe([(0, 0), (r * 0.72, 0), (r, h), (r * 1.05, h), (r * 1.05, h - 0.02)], 24), body)
    shape.add(lathe([(r * 0.98, h), (r * 0.71, 0.01), (0, 0.01)], 24), body.shaded(0.7))
    shape.add(tube(arc(r * 1.04, 10, 170, 13, "xz", (0, 0, h * 0.92)) @ rotation_x(rng.uniform(-0.7, 0.7)).T + [0, 0, 0.0], 0.006, 6), METAL)
    return shape


def fan(rng, body, scene):
    """A fan on a foot, blowing towards -y: small on tables, tall on floors."""
    shape = Shape()
    tall = scene in ("room", "floor")
    r, lift = (rng.uniform(0.19, 0.23), rng.uniform(0.95, 1.15)) if tall else (rng.uniform(0.10, 0.13), rng.uniform(0.20, 0.25))
    shape.add(lathe([(0, 0), (r * 0.85, 0), (r * 0.8, 0.02), (0.02, 0.04), (0, 0.04)], 20), body.shaded(0.9))
    shape.add(cylinder(r * 0.085, 0.03, lift - r * 0.2, 10), METAL)
    shape.add(cylinder(r * 0.28, -0.4 * r, 0.25 * r, 14).turned(FRONT).moved((0, 0, lift)), body)
    for k in range(3):
        blade = cushion((r * 0.55, 0.012, r * 0.85), (r * 0.1, 0, r * 0.5), 0.6, 14, 6).turned(rotation_y(k * 2.0944 + 0.4))
        shape.add(blade.moved((0, -r * 0.30, lift)), body)
    for radius in (1.0, 0.66, 0.33):
        shape.add(tube(arc(r * radius, 0, 360, 25, "xz", (0, -r * 0.42, lift))[:-1], r * 0.022, 5, closed=True), METAL)
    shape.add(tube(arc(r, 0, 360, 25, "xz", (0, -r * 0.15, lift))[:-1], r * 0.035, 5, closed=True), body)
    for k in range(8):
        spoke = slab((-r * 0.012, r * 0.012), (-0.004, 0.0), (0, r)).turned(rotation_y(k * np.pi / 4))
        shape.add(spoke.moved((0, -r * 0.42, lift)), METAL)
    return shape


def guitar(rng, body, scene):
    """Leaning back a little, strings towards -y."""
    shape = Shape()
    k = rng.uniform(0.95, 1.08)
    lean = rotation_x(-0.22)

    def add(soup, material):
        shape.add(soup.turned(lean).moved((0, -0.02, 0.0)), material)

    add(cushion(np.array((0.38, 0.10, 0.36)) * k, np.array((0, 0, 0.19)) * k, 0.8, 22, 10), body)
    add(cushion(np.array((0.28, 0.10, 0.28)) * k, np.array((0, 0, 0.42)) * k, 0.8, 20, 10), body)
    hole = cylinder(0.05 * k, 0, 0.056 * k, 18).turned(FRONT)
    add(hole.moved((0, 0, 0.33 * k)), DARK)
    add(slab((-0.026 * k, 0.026 * k), (-0.066 * k, -0.045 * k), (0.36 * k, 0.93 * k)), neutral(0.25, 0.16, 0.10))
    add(slab((-0.038 * k, 0.038 * k), (-0.062 * k, -0.042 * k), (0.93 * k, 1.06 * k)), neutral(0.20, 0.13, 0.09))
    add(slab((-0.055 * k, 0.055 * k), (-0.062 * k, -0.04 * k), (0.165 * k, 0.185 * k)), DARK)
    for x in np.linspace(-0.018, 0.018, 5):
        add(slab((x * k - 0.001, x * k + 0.001), (-0.070 * k, -0.067 * k), (0.18 * k, 0.95 * k)), STEEL)
    return shape


def washing_machine(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.58, 0.63), rng.uniform(0.52, 0.60), rng.uniform(0.83, 0.90)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0.02, h)), body)
    front, middle = -d / 2, h * 0.48
    ring = lathe([(0.13, 0), (0.20, 0), (0.20, 0.03), (0.165, 0.045), (0.14, 0.03)], 28)
    shape.add(ring.turned(FRONT).moved((0, front, middle)), STEEL if rng.random() < 0.6 else DARK)
    shape.add(lathe([(0.15, 0.0), (0.14, 0.035), (0.08, 0.055), (0, 0.06)], 24, 60).turned(FRONT).moved((0, front, middle)), GLASS_DARK)
    shape.add(slab((-w * 0.48, w * 0.48), (front - 0.012, front), (h - 0.13, h - 0.015)), body.shaded(0.85))
    shape.add(cylinder(0.035, 0, 0.035, 16).turned(FRONT).moved((w * 0.05, front, h - 0.072)), STEEL)
    shape.add(slab((-w * 0.44, -w * 0.16), (front - 0.018, front), (h - 0.11, h - 0.04)), body.shaded(0.7))
    shape.add(slab((w * 0.20, w * 0.42), (front - 0.014, front), (h - 0.10, h - 0.05)), GLASS_DARK)
    shape.surfaces.append(Surface(h, (-w / 2, w / 2), (-d / 2, d / 2)))
    return shape


def refrigerator(rng, body, scene):
    shape = Shape()
    w, d, h = rng.uniform(0.60, 0.75), rng.uniform(0.58, 0.66), rng.uniform(1.55, 1.85)
    shape.add(slab((-w / 2, w / 2), (-d / 2, d / 2), (0.05, h)), body)
    shape.add(slab((-w / 2 + 0.03, w / 2 - 0.03), (-d / 2 + 0.03, d / 2), (0, 0.05)), DARK)
    split, front = h * rng.uniform(0.58, 0.70), -d / 2
    for z0, z1 in ((0.07, split - 0.008), (split + 0.008, h - 0.015)):
        shape.add(slab((-w / 2 + 0.006, w / 2 - 0.006), (front - 0.045, front), (z0, z1)), body.shaded(1.06))
    shape.add(slab((-w / 2, w / 2), (front - 0.01, front), (split - 0.008, split + 0.008)), DARK)
    for z0, z1 in ((split - 0.42, split - 0.05), (split + 0.05, split + 0.30)):
        shape.add(tube([(-w * 0.40, front - 0.075, z0), (-w * 0.40, front - 0.075, z1)], 0.013, 7), STEEL)
        for z in (z0 + 0.02, z1 - 0.02):
            shape.add(box((0.02, 0.04, 0.02), (-w * 0.40, front - 0.055, z)), STEEL)
    return shape


def bench(rng, body, scene):
    """A bench of boards, without a back."""
    shape = Shape()
    w, d, h = rng.uniform(1.05, 1.4), rng.uniform(0.34, 0.42), rng.uniform(0.43, 0.48)
    for k in (-1, 0, 1):
        shape.add(box((w, d * 0.30, 0.035), (0, k * d * 0.335, h - 0.0175)), body)
    leg = body.shaded(0.7) if rng.random() < 0.5 else DARK
    for s in (-1, 1):
        shape.add(box((0.05, d * 0.9, h - 0.035), (s * w * 0.40, 0, (h - 0.035) / 2)), leg)
    shape.add(box((w * 0.8, 0.05, 0.06), (0, 0, h * 0.45)), leg)
    return shape


def toilet(rng, body, scene):
    """Cistern at the wall (+y), bowl towards -y."""
    shape = Shape()
    china = Material(body.color, body.second, "plain", specular=0.35, shininess=60)
    shape.add(slab((-0.20, 0.20), (0.16, 0.34), (0.40, 0.80)), china)
    shape.add(slab((-0.21, 0.21), (0.15, 0.345), (0.80, 0.835)), china.shaded(0.95))
    shape.add(cylinder(0.022, 0.835, 0.85, 12).moved((0, 0.25, 0)), STEEL)
    shape.add(lathe([(0, 0), (0.13, 0), (0.11, 0.10), (0.15, 0.25), (0.195, 0.36), (0.20, 0.40), (0.15, 0.40), (0.10, 0.28), (0, 0.25)], 24, 50)
              .stretched((0.95, 1.25, 1)).moved((0, -0.10, 0)), china)
    seat = arc(0.165, 0, 360, 25, "xy")[:-1] * [1.0, 1.3, 1] + [0, -0.10, 0.415]
    shape.add(tube(seat, 0.028, 7, closed=True), china.shaded(0.93) if rng.random() < 0.6 else neutral(0.45, 0.30, 0.18))
    if rng.random() < 0.7:
        shape.add(cushion((0.38, 0.04, 0.44), (0, 0.135, 0.62), 0.5, 18, 8), china.shaded(0.97))
    return shape


def piano(rng, body, scene):
    """An upright piano, keys towards -y."""
    shape = Shape()
    w, d, h = rng.uniform(1.25, 1.45), rng.uniform(0.34, 0.40), rng.uniform(1.05, 1.20)
    shape.add(slab((-w / 2, w / 2), (-d / 2 + 0.10, d / 2), (0, h)), body)
    shape.add(slab((-w / 2 - 0.015, w / 2 + 0.015), (-d / 2 + 0.08, d / 2), (h, h + 0.03)), body.shaded(0.85))
    shape.add(slab((-w / 2, w / 2), (-d / 2 - 0.16, -d / 2 + 0.10), (0.60, 0.66)), body.shaded(0.9))
    shape.add(slab((-w * 0.46, w * 0.46), (-d / 2 - 0.145, -d / 2 + 0.02), (0.66, 0.685)), PORCELAIN)
    count = 24
    for k in range(count):
        if k % 7 not in (2, 6):
            x = -w * 0.46 + w * 0.92 * (k + 1) / count
            shape.add(slab((x - 0.010, x + 0.010), (-d / 2 - 0.08, -d / 2 + 0.02), (0.685, 0.698)), DARK)
    for s in (-1, 1):
        shape.add(slab((s * w / 2 - 0.05, s * w / 2), (-d / 2 - 0.16, -d / 2 + 0.10), (0.66, 0.75)) if s > 0 else
                  slab((-w / 2, -w / 2 + 0.05), (-d / 2 - 0.16, -d / 2 + 0.10), (0.66, 0.75)), body)
        shape.add(box((0.07, 0.07, 0.60), (s * (w / 2 - 0.05), -d / 2 - 0.12, 0.30)), body.shaded(0.8))
    shape.add(slab((-0.28, 0.28), (-d / 2 + 0.06, -d / 2 + 0.10), (0.86, 0.90)), body.shaded(0.7))
    shape.surfaces.append(Surface(h + 0.03, (-w / 2, w / 2), (-d / 2 + 0.12, d / 2)))
    return shape


def traffic_cone(rng, body, scene):
    shape = Shape()
    k = rng.uniform(0.85, 1.1)
    h, r = 0.55 * k, 0.15 * k
    shape.add(slab((-0.19 * k, 0.19 * k), (-0.19 * k, 0.19 * k), (0, 0.03)), DARK if rng.random() < 0.5 else body.shaded(0.8))
    radius = lambda z: r + (0.03 * k - r) * z / h  # noqa: E731
    shape.add(lathe([(r, 0.03), (0.03 * k, h), (0.022 * k, h), (0, h - 0.01)], 22), body)
    for z0, z1 in ((0.42, 0.60), (0.75, 0.86)):
        shape.add(lathe([(radius(z0 * h) + 0.004, z0 * h), (radius(z1 * h) + 0.004, z1 * h)], 22), neutral(0.95, 0.95, 0.95))
    return shape


def drum(rng, body, scene):
    shape = Shape()
    r, h = rng.uniform(0.19, 0.25), rng.uniform(0.28, 0.40)
    shape.add(lathe([(0, 0), (r, 0), (r, h)], 28), body)
    shape.add(lathe([(r * 0.97, h + 0.004), (0, h + 0.004)], 28), neutral(0.93, 0.91, 0.86))
    for z in (0.015, h - 0.015):
        shape.add(tube(arc(r * 1.02, 0, 360, 29, "xy", (0, 0, z))[:-1], 0.012, 6, closed=True), STEEL if rng.random() < 0.6 else PALE_WOOD)
    for k in range(8):
        x, y = r * 1.02 * np.cos(k * np.pi / 4), r * 1.02 * np.sin(k * np.pi / 4)
        shape.add(tube([(x, y, 0.03), (x, y, h - 0.03)], 0.006, 5), RUBBER if rng.random() < 0.2 else STEEL)
    return shape


__all__ = ["backpack", "bench", "bucket", "drum", "fan", "guitar", "piano", "refrigerator", "toilet", "traffic_cone", "washing_machine"]
