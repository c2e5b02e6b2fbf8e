"""A depth camera's faults: noise that grows with distance, mixed pixels at edges, holes, quantisation, range."""
from __future__ import annotations

import cv2
import numpy as np

NEAR, FAR = 0.25, 8.0  # metres


def sense(depth: np.ndarray, slant: np.ndarray, albedo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Depth as a structured-light or time-of-flight camera reports it, float32 [H,W] metres, 0 = hole.

    Axial noise follows Nguyen et al. (3DIM 2012): 1.2 mm + 1.9 mm (z - 0.4)^2, more on slanted surfaces. Lateral noise moves samples by up
    to a pixel, and pixels across an edge mix front and back. Slanted, dark and edge pixels drop out.
    """
    height, width = depth.shape
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    shift = rng.normal(0, 0.4, (2, height, width)).astype(np.float32)
    moved = cv2.remap(depth, u + shift[0], v + shift[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    mixed = cv2.remap(depth, u + shift[0], v + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    spread = cv2.dilate(depth, np.ones((3, 3))) - cv2.erode(depth, np.ones((3, 3)))
    edge = spread > 0.02 + 0.03 * depth
    noisy = np.where(edge & (rng.random(depth.shape) < 0.35), mixed, moved)
    sigma = (0.0012 + 0.0019 * (np.maximum(noisy, 0.4) - 0.4) ** 2) / np.maximum(slant, 0.35)
    noisy = noisy + sigma * rng.standard_normal(depth.shape).astype(np.float32)
    step = 0.0005 + 0.0008 * noisy**2  # disparity steps
    noisy = np.round(noisy / step) * step
    drop = np.where(edge, 0.30, 0.002) + np.where(slant < 0.15, 0.5, 0.0) + np.where(albedo < 0.02, 0.25, 0.0)
    blobs = cv2.GaussianBlur(rng.standard_normal(depth.shape).astype(np.float32), (0, 0), 2.0)
    lost = (rng.random(depth.shape) < drop * 0.4) | (blobs > np.quantile(blobs, 0.995) - 0.15 * drop)
    return np.where(lost | (depth <= 0) | (noisy < NEAR) | (noisy > FAR), 0, noisy).astype(np.float32)
