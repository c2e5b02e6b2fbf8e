"""Drawing what was found into the colour image. numpy and OpenCV only, shared by the node and the command line."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# Distinct on both bright and dark pictures, and for colour-blind eyes (Okabe and Ito).
PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)],
    np.uint8,
)

FONT = cv2.FONT_HERSHEY_SIMPLEX
TITLE_MARGIN = 6  # pixels left and right of the title
SMALLEST_TITLE = 0.7  # of its usual size


def instance_color(number: int) -> tuple[int, int, int]:
    """RGB of the number-th instance, counted from 0."""
    return tuple(int(value) for value in PALETTE[number % len(PALETTE)])


def draw_overlay(
    color: np.ndarray, masks: Sequence[np.ndarray], *, title: str = "", opacity: float = 0.5
) -> np.ndarray:
    """A copy of the picture with tinted masks, their outlines, and a title line.

    color: uint8 [H,W,3] RGB. masks: bool [H,W] each. Returns uint8 [H,W,3] RGB. Characters that the font lacks become
    "?".
    """
    picture = color.copy()
    thickness = max(1, round(min(color.shape[:2]) / 320))
    for number, mask in enumerate(masks):
        tint = np.array(instance_color(number), np.float32)
        pixels = picture[mask]
        picture[mask] = (pixels * (1.0 - opacity) + tint * opacity).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, outlines, -1, instance_color(number), thickness, cv2.LINE_AA)
    if title:
        _write_title(picture, title, thickness)
    return picture


def _write_title(picture: np.ndarray, title: str, thickness: int) -> None:
    """White text on a dark strip along the top. What does not fit is written smaller, then loses its middle: its end says what came of a query."""
    room, scale = picture.shape[1] - 2 * TITLE_MARGIN, 0.45 * thickness
    text = shown = title.encode("ascii", "replace").decode()
    scale *= min(1.0, max(SMALLEST_TITLE, room / max(_text_width(text, scale, thickness), 1)))
    half = max(0, len(text) * room // (2 * max(_text_width(text, scale, thickness), 1))) + 1  # about what fits
    while _text_width(shown, scale, thickness) > room and half > 0:
        half -= 1
        shown = f"{text[:half]}...{text[len(text) - half :]}"
    (_, height), base = cv2.getTextSize(shown, FONT, scale, thickness)
    strip = picture[: height + base + 8 * thickness]
    strip[:] = strip // 3
    cv2.putText(picture, shown, (TITLE_MARGIN, height + 4 * thickness), FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)


def _text_width(text: str, scale: float, thickness: int) -> int:
    return cv2.getTextSize(text, FONT, scale, thickness)[0][0]
