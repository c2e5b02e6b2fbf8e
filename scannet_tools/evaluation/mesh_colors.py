"""Colours of a mesh that shows an answer, the same as in pictures of masks."""

from __future__ import annotations

import numpy as np

from lisa_ros.evaluation.page.pictures import MISSING, RIGHT, WRONG, faded


def vertex_colors(colors: np.ndarray, answer: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Colours of the mesh's vertices for the view: faded, but right, missing and wrong ones.

    colors: uint8 [n,3] RGB; answer, target: bool [n]; returns uint8 [n,3].
    """
    shown = faded(colors[None])[0]
    for chosen, tint in ((answer & target, RIGHT), (target & ~answer, MISSING), (answer & ~target, WRONG)):
        shown[chosen] = tint
    return shown
