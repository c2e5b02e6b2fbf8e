"""Frames of the synthetic indoor scenes, with their ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lisa_ros.geometry import Frame
from lisa_ros.sources.folder import FIRST_STAMP_NS, STAMP_STEP_NS

if TYPE_CHECKING:
    from scannet_tools.synthetic import SyntheticFrame


def read_synthetic(
    seed: int, count: int = 1, *, split: str = "test", width: int = 640, height: int = 480
) -> list[tuple[Frame, SyntheticFrame]]:
    """`count` frames of one scene along the camera's path: (frame as a camera gives it, ground truth) each.

    The ground truth holds true depth, instance ids, objects and questions (`scannet_tools.synthetic.SyntheticFrame`).
    The first frame is `make_frame(seed, split=split)`. Stamps start at 1 s and are 1/30 s apart. Raises `ValueError`
    for an unknown split, `ImportError` when scannet_tools or Open3D is not installed.
    """
    from scannet_tools.synthetic import make_sequence

    return [
        (to_frame(truth, stamp_ns=FIRST_STAMP_NS + index * STAMP_STEP_NS), truth)
        for index, truth in enumerate(make_sequence(seed, count, split=split, width=width, height=height))
    ]


def to_frame(truth: SyntheticFrame, *, stamp_ns: int = FIRST_STAMP_NS) -> Frame:
    """What a camera would have delivered of a synthetic frame: nothing of its ground truth but the pose."""
    return Frame(
        truth.color, truth.camera, truth.depth, stamp_ns=stamp_ns, camera_to_world=truth.camera_to_world
    )
