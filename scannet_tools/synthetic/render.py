"""Ray casting of a layout: colour, depth, instance and category of every pixel."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import open3d as o3d

from .kinds import KIND_NAMES
from .layout import Layout
from .materials import MaterialTable
from .shapes import rotation_z


@dataclass
class Rendered:
    """What a perfect camera sees. color uint8 [H,W,3] RGB; depth float32 [H,W] metres along z; instance uint16, category uint8 [H,W];
    slant float32 [H,W] cosine between surface normal and viewing ray; albedo float32 [H,W] mean reflectance (for the sensor model)."""

    color: np.ndarray
    depth: np.ndarray
    instance: np.ndarray
    category: np.ndarray
    slant: np.ndarray
    albedo: np.ndarray


class World:
    """A layout as one triangle soup, ready for rays."""

    def __init__(self, layout: Layout):
        points, normals, local, material, instance, category = [], [], [], [], [], []
        materials = []

        def add(shape, rotation, offset, number, kind):
            for part in shape.parts:
                soup = part.soup.turned(rotation).moved(offset)
                count = len(soup.points)
                points.append(soup.points)
                normals.append(soup.normals)
                local.append(part.soup.points)
                material.append(np.full(count, len(materials), np.int32))
                instance.append(np.full(count, number, np.uint16))
                category.append(np.full(count, kind, np.uint8))
                materials.append(part.material)

        for shape in layout.structure:
            add(shape, np.eye(3, dtype=np.float32), np.zeros(3, np.float32), 0, 0)
        for number, placed in enumerate(layout.objects, start=1):
            add(placed.shape, rotation_z(placed.yaw), placed.position, number, KIND_NAMES.index(placed.kind.name))
        self.points = np.concatenate(points).astype(np.float32)
        self.normals = np.concatenate(normals).astype(np.float32)
        self.local = np.concatenate(local).astype(np.float32)
        self.material = np.concatenate(material)
        self.instance = np.concatenate(instance)
        self.category = np.concatenate(category)
        self.materials = MaterialTable(materials)
        self.scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        corners = np.ascontiguousarray(self.points.reshape(-1, 3))
        self.scene.add_triangles(
            o3d.core.Tensor.from_numpy(corners), o3d.core.Tensor.from_numpy(np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)))

    def cast(self, rays: np.ndarray):
        return self.scene.cast_rays(o3d.core.Tensor.from_numpy(np.ascontiguousarray(rays, dtype=np.float32)), nthreads=1)

    def blocked(self, rays: np.ndarray, reach: float) -> np.ndarray:
        """bool: something lies on a ray before ``reach`` times its direction."""
        tensor = o3d.core.Tensor.from_numpy(np.ascontiguousarray(rays, dtype=np.float32))
        return self.scene.test_occlusions(tensor, tfar=reach, nthreads=1).numpy()


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """camera_to_world 4x4 of an optical frame (x right, y down, z forward) in a z-up world."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = c * right + s * down, c * down - s * right, forward, eye
    return pose


def render(world: World, layout: Layout, camera, pose: np.ndarray, rng: np.random.Generator, strength: float, warmth: float,
           steady: bool = False) -> Rendered:
    """Cast one ray a pixel and shade the hits.

    Args:
        camera: intrinsics (fx fy cx cy width height). pose: camera_to_world.
        strength, warmth: of the lamp, fixed for a scene.
        steady: frames of a film: exposure and white balance are not drawn anew for each.
    """
    height, width = camera.height, camera.width
    u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    ahead = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1).reshape(-1, 3)
    rotation, eye = pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32)
    direction = ahead @ rotation.T  # not normalised: the hit distance is then the depth along z
    hit = world.cast(np.concatenate([np.broadcast_to(eye, direction.shape), direction], 1))
    depth = hit["t_hit"].numpy()
    inside = np.isfinite(depth)
    at = np.flatnonzero(inside)
    triangle = hit["primitive_ids"].numpy()[at].astype(np.int64)
    uv = hit["primitive_uvs"].numpy()[at]
    weight = np.stack([1 - (uv[:, 0] + uv[:, 1]), uv[:, 0], uv[:, 1]])[:, :, None]
    normal = _blend(world.normals, triangle, weight)
    normal /= np.maximum(_length(normal), 1e-9)[:, None]
    view = -direction[at] / _length(direction[at])[:, None]
    facing = _dot(normal, view)
    normal *= np.where(facing < 0, -1, 1)[:, None]
    facing = np.abs(facing)
    local = _blend(world.local, triangle, weight)
    point = eye + direction[at] * depth[at, None]
    material = world.material[triangle]
    albedo = world.materials.albedo(material, local)

    lamp = layout.light.astype(np.float32) + rng.normal(0, 0.035, point.shape).astype(np.float32)
    to_lamp = lamp - point
    reach = _length(to_lamp)
    to_lamp /= reach[:, None]
    lit = np.maximum(_dot(normal, to_lamp), 0)
    origin = point + normal * 0.003
    sees_lamp = np.zeros(len(at), np.float32)
    front = lit > 0.01
    rays = np.concatenate([origin[front], (to_lamp * reach[:, None])[front]], 1)
    sees_lamp[front] = ~world.blocked(rays, 0.92)  # the lamp itself casts no shadow
    tint = np.array([1.0, 1.0 - 0.06 * warmth, 1.0 - 0.18 * warmth], np.float32)
    ambient = layout.ambient * ((0.30 + 0.10 * normal[:, 2:3]) + 0.14 * facing[:, None])
    if layout.glow is not None:
        place, tone = layout.glow
        to_glow = place - point
        far = _length(to_glow)
        ambient = ambient + (np.maximum(_dot(normal, to_glow) / far, 0) / (0.5 + 0.2 * far**2))[:, None] * tone
    radiance = albedo * (ambient + strength * 1.5 * (lit * sees_lamp / (0.4 + 0.25 * reach**2))[:, None] * tint)
    half = to_lamp + view
    half /= np.maximum(_length(half), 1e-9)[:, None]
    glint = world.materials.specular[material] * sees_lamp * np.maximum(_dot(normal, half), 0) ** world.materials.shininess[material]
    radiance = radiance + glint[:, None] * tint * strength + albedo * world.materials.emission[material][:, None]

    image = np.zeros((height * width, 3), np.float32)
    image[at] = radiance
    brightness, balance = (1.0, np.ones(3)) if steady else (rng.uniform(0.7, 1.3), rng.uniform(0.96, 1.04, 3))
    exposure = np.clip(0.36 / max(float(np.percentile(_mean(image), 75)), 1e-3), 0.5, 2.2) * brightness
    image = np.clip(image * exposure * balance.astype(np.float32), 0, None)
    image = np.where(image <= 0.0031308, image * 12.92, 1.055 * np.maximum(image, 1e-6) ** (1 / 2.4) - 0.055)
    image = image.reshape(height, width, 3) + rng.normal(0, rng.uniform(0.004, 0.012 if steady else 0.025), (height, width, 3)).astype(np.float32)
    color = cv2.GaussianBlur(np.clip(image * 255, 0, 255).astype(np.uint8), (3, 3), 0.45)
    if not steady and rng.random() < 0.2:
        color = shaken(color, rng)

    def spread(values, fill, dtype):
        out = np.full(height * width, fill, dtype)
        out[at] = values
        return out.reshape(height, width)

    return Rendered(
        color=color,
        depth=spread(depth[at], 0, np.float32),
        instance=spread(world.instance[triangle], 0, np.uint16),
        category=spread(world.category[triangle], 0, np.uint8),
        slant=spread(facing, 0, np.float32),
        albedo=spread(_mean(albedo), 0, np.float32),
    )


def shaken(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture whose camera moved while the shutter was open: blurred along a line of up to 1 % of its width."""
    length = rng.uniform(0.003, 0.01) * color.shape[1]
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    angle, middle = rng.uniform(0, np.pi), (size - 1) / 2
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(int(round(8 * x)) for x in middle + sign * reach) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_AA, 3)
    return cv2.filter2D(color, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


# Three columns added one by one: the same numbers as NumPy's sums over an axis of three, bit for bit, in a quarter of the time.


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[n] of two [n,3]."""
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def _length(a: np.ndarray) -> np.ndarray:
    """[n] of [n,3]."""
    return np.sqrt(_dot(a, a))


def _mean(a: np.ndarray) -> np.ndarray:
    """[n] of [n,3]."""
    return (a[:, 0] + a[:, 1] + a[:, 2]) / np.float32(3)


def _blend(corners: np.ndarray, triangle: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[n,3]: values at the corners [T,3,3] of triangles [n], mixed with weights [3,n,1]."""
    return corners[triangle, 0] * weight[0] + corners[triangle, 1] * weight[1] + corners[triangle, 2] * weight[2]
