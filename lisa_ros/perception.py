"""The whole job on one page, in the order of the paper's Figure 3 and one step beyond it:

    encode the frame (once) -> ask the language model -> decode the mask -> lift it with depth -> clean -> box

Everything above this file (node, command line, evaluation) calls ``perceive``; everything below it does one of the steps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from lisa_ros.engine.segmentation import Segmentation
from lisa_ros.geometry import Cloud, Frame, OrientedBox, clusters, lift, oriented_box

if TYPE_CHECKING:
    from lisa_ros.engine import EncodedFrame, Engine

MIN_POINTS = 10  # fewer carry no box
SPLITS = ("seg", "cluster")


class Status(IntEnum):
    """How a query ended. The numbers are those of SegmentationResult.msg."""

    FOUND = 0
    NOT_FOUND = 1
    NO_FRAME = 2
    NO_DEPTH = 3
    NO_TRANSFORM = 4
    CANCELLED = 5
    REJECTED = 6
    FAILED = 7


@dataclass
class PerceivedInstance:
    """One [SEG], or one of the objects in its mask: pixels, and the points behind them.

    Attributes:
        mask: bool [H,W]. mask_score: mean foreground probability inside the mask of the [SEG]. pixel_count: its area.
        box_2d: (u0, v0, u1, v1) in pixels, upper bounds exclusive.
        status_3d: "LIFTED", "NO_DEPTH" (no depth image, no camera, or no valid depth under the mask) or "TOO_FEW_POINTS"
            (some, but too few for a box).
        cloud: points in metres, camera optical frame; None when no depth was left after cleaning.
        centroid: [3] metres, box: oriented box; both None unless LIFTED.
    """

    mask: np.ndarray
    mask_score: float
    pixel_count: int
    box_2d: tuple[int, int, int, int]
    status_3d: str = "NO_DEPTH"
    cloud: Cloud | None = None
    centroid: np.ndarray | None = None
    box: OrientedBox | None = None


@dataclass
class Perception:
    """One query's answer: text, instances, status, and where the seconds went."""

    query: str
    answer: str
    status: Status
    message: str
    target_probability: float
    instances: list[PerceivedInstance] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    segmentation: Segmentation | None = None


def perceive(
    engine: Engine,
    frame: Frame,
    queries: Sequence[str],
    *,
    encoded: EncodedFrame | None = None,
    mode: str = "mask",
    split: str = "seg",
    lift_options: Mapping[str, Any] | None = None,
    **ask_options: Any,
) -> list[Perception]:
    """Answer queries about one frame.

    Args:
        encoded: ``engine.encode(frame.color)`` of an earlier call on the same frame; encoded here when None.
        mode: "mask" or "chat", see Engine.ask.
        split: "seg": one instance per [SEG]. "cluster": one per object in its mask, the largest first; objects are told
            apart in 3D (geometry.clusters), so without depth or camera it is one per [SEG] again.
        lift_options: keyword arguments of geometry.lift.
        ask_options: further keyword arguments of Engine.ask.

    Raises:
        ValueError: split is neither.
        ValueError, Cancelled: as Engine.encode and Engine.ask raise them.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be one of {", ".join(SPLITS)}, got "{split}"')
    lift_options = lift_options or {}
    start = time.perf_counter()
    is_new = encoded is None
    segmentations = engine.ask(engine.encode(frame.color) if is_new else encoded, queries, mode=mode, **ask_options)
    encode_seconds = 0.0
    if is_new and segmentations:  # a GPU still encodes when the queries' own stages are already under way
        encode_seconds = max(0.0, time.perf_counter() - start - sum(segmentations[0].seconds.values()))
    perceptions = []
    for segmentation in segmentations:
        lift_start = time.perf_counter()
        instances = [
            lift_instance(frame, part, float(score), lift_options)
            for mask, score in zip(segmentation.masks, segmentation.mask_scores)
            for part in divide(frame, mask, split, lift_options)
            if part.any()
        ]
        status, message = judge(frame, instances)
        now = time.perf_counter()
        seconds = {"encode": encode_seconds, **segmentation.seconds, "lift": now - lift_start, "total": now - start}
        perceptions.append(
            Perception(
                query=segmentation.query,
                answer=segmentation.answer,
                status=status,
                message=message,
                target_probability=segmentation.target_probability,
                instances=instances,
                seconds=seconds,
                segmentation=segmentation,
            )
        )
    return perceptions


def divide(frame: Frame, mask: np.ndarray, split: str, options: Mapping[str, Any]) -> list[np.ndarray]:
    """The masks of a mask's instances, bool [H,W] all of them."""
    if split == "seg" or frame.depth is None or frame.camera is None:
        return [mask]
    limits = {name: options[name] for name in ("min_depth", "max_depth") if name in options}
    return clusters(mask, frame.depth, frame.camera, **limits)


def lift_instance(frame: Frame, mask: np.ndarray, score: float, options: Mapping[str, Any]) -> PerceivedInstance:
    """The points and the box behind a mask bool [H,W] with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box_2d = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    instance = PerceivedInstance(mask, score, int(np.count_nonzero(mask)), box_2d)
    if frame.depth is None or frame.camera is None:
        return instance
    cloud = lift(mask, frame.depth, frame.camera, frame.color, **options)
    if len(cloud.points) == 0:
        uncleaned = lift(mask, frame.depth, frame.camera, remove_flying_pixels=False, largest_cluster=False)
        instance.status_3d = "TOO_FEW_POINTS" if len(uncleaned.points) else "NO_DEPTH"
        return instance
    instance.cloud, instance.status_3d = cloud, "TOO_FEW_POINTS"
    if len(cloud.points) >= MIN_POINTS:
        instance.centroid, instance.box, instance.status_3d = cloud.points.mean(0), oriented_box(cloud.points), "LIFTED"
    return instance


def judge(frame: Frame, instances: Sequence[PerceivedInstance]) -> tuple[Status, str]:
    """Status and a sentence for it."""
    if not instances:
        return Status.NOT_FOUND, "the model sees no target for this query"
    if any(instance.status_3d != "NO_DEPTH" for instance in instances):
        return Status.FOUND, ""
    if frame.depth is None:
        return Status.NO_DEPTH, "target found in the image, but the frame has no depth image: mask only"
    if frame.camera is None:
        return Status.NO_DEPTH, "target found in the image, but the frame has no camera info: mask only"
    return Status.NO_DEPTH, "target found in the image, but no pixel of the mask has valid depth: mask only"
