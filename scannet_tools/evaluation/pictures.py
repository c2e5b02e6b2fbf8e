"""The pictures of a case: the frame, its target, the answer, and the mesh with the fused answer on it.

Right, missing and wrong have one colour each in all of them (Okabe and Ito: told apart by colour-blind eyes too).
"""

from __future__ import annotations

import base64

import cv2
import numpy as np

RIGHT, MISSING, WRONG = (0, 158, 115), (86, 180, 233), (230, 120, 20)
"""In the answer and the target; in the target only; in the answer only. RGB, also in report.css."""

LONG_SIDE = 480
"""Pixels of the longer side of a picture on the page."""

QUALITY = 82


def shrink(image: np.ndarray) -> np.ndarray:
    """An RGB picture [H,W,3] or mask [H,W] with its longer side at most `LONG_SIDE` pixels; masks stay bool."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (round(width * scale), round(height * scale))
    if image.dtype == bool:
        return cv2.resize(image.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def target_picture(color: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The picture, grey where the target is not. color: uint8 [H,W,3] RGB; target: bool [H,W]; returns as color."""
    return _tinted(color, [(target, RIGHT)])


def answer_picture(color: np.ndarray, answer: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The picture in grey with the answer's right, wrong and missing pixels; as `target_picture`."""
    return _tinted(color, [(answer & target, RIGHT), (target & ~answer, MISSING), (answer & ~target, WRONG)])


def vertex_colors(colors: np.ndarray, answer: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Colours of the mesh's vertices for the view: faded, but right, missing and wrong ones.

    colors: uint8 [n,3] RGB; answer, target: bool [n]; returns uint8 [n,3].
    """
    shown = _faded(colors[None])[0]
    for chosen, tint in ((answer & target, RIGHT), (target & ~answer, MISSING), (answer & ~target, WRONG)):
        shown[chosen] = tint
    return shown


def data_uri(image: np.ndarray) -> str:
    """An RGB picture as the address of itself (JPEG)."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {list(image.shape)} cannot be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _tinted(color: np.ndarray, parts: list[tuple[np.ndarray, tuple[int, int, int]]]) -> np.ndarray:
    picture = _faded(color)
    for mask, tint in parts:
        picture[mask] = (0.4 * picture[mask] + 0.6 * np.array(tint)).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, outlines, -1, tint, 1, cv2.LINE_AA)
    return picture


def _faded(color: np.ndarray) -> np.ndarray:
    """Grey and somewhat lighter, so that tints stand out."""
    grey = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat((40 + 0.75 * grey).astype(np.uint8)[:, :, None], 3, axis=2)
