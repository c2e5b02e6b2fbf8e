"""Whether what came back over ROS agrees with itself and with the frame that was shown. These decide the demo's exit status."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lisa_ros.cli.demo.client import Reply
    from lisa_ros.geometry import Frame

ANSWERED = ("FOUND", "NOT_FOUND", "NO_DEPTH")
"""Statuses that answer the question; NO_DEPTH: the mask is there, nothing could be lifted."""


@dataclass(frozen=True)
class Check:
    """One claim and whether it held; `detail` says what was seen."""

    claim: str
    passed: bool
    detail: str = ""


def check_reply(reply: Reply, frame: Frame) -> list[Check]:
    """All checks that apply to one reply, in a readable order."""
    checks = [
        Check("exactly one result", len(reply.results) == 1, f"{len(reply.results)} came"),
        Check("the result answers the query", reply.status in ANSWERED, reply.status),
    ]
    if reply.result is None or reply.status not in ANSWERED:
        return checks
    checks += _mask_checks(reply, frame)
    checks += _cloud_checks(reply, frame) if reply.points is not None or _promised_points(reply) else []
    return checks


def _promised_points(reply: Reply) -> int:
    return sum(instance.point_count for instance in reply.result.instances)


def _mask_checks(reply: Reply, frame: Frame) -> list[Check]:
    instances = reply.result.instances
    if reply.mask is None or reply.instances is None or reply.overlay is None:
        missing = [name for name in ("mask", "instances", "overlay") if getattr(reply, name) is None]
        return [Check("mask, instances and overlay arrived", False, f"missing: {', '.join(missing)}")]
    stamp = (reply.result.header.stamp.sec, reply.result.header.stamp.nanosec)
    size = frame.color.shape[:2]
    area = int(np.count_nonzero(reply.mask))
    counts = [instance.pixel_count for instance in instances]
    area_agrees = area == sum(counts) if len(counts) < 2 else max(counts) <= area <= sum(counts)
    checks = [
        Check("all messages carry the result's stamp", set(reply.stamps.values()) == {stamp}, f"{len(reply.stamps)} messages"),
        Check(
            "mask, instances and overlay have the picture's size",
            reply.mask.shape == reply.instances.shape == reply.overlay.shape[:2] == size,
            f"{reply.mask.shape[1]}x{reply.mask.shape[0]}",
        ),
        Check("the mask holds only 0 and 255", bool(np.isin(reply.mask, (0, 255)).all())),
        Check("the mask's area is the result's pixel count", area_agrees, f"{area} / {sum(counts)}"),
        Check("the instance image covers the mask", bool(np.array_equal(reply.instances > 0, reply.mask > 0))),
        Check("found means a mask, not found means none", (area > 0) == (reply.status != "NOT_FOUND") == bool(instances)),
    ]
    for instance in instances:
        where = reply.instances == instance.id
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        box = instance.box_2d
        if len(instances) == 1 and rows.size:
            seen = (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
            said = (box.x_offset, box.y_offset, box.width, box.height)
            checks.append(Check("the 2D box is the mask's", tuple(map(int, seen)) == said, f"{said}"))
    return checks


def _cloud_checks(reply: Reply, frame: Frame) -> list[Check]:
    promised = _promised_points(reply)
    if reply.points is None:
        return [Check("the cloud arrived", False, f"{promised} points were promised")]
    points = reply.points
    checks = [
        Check("the cloud has the result's point count", len(points) == promised, f"{len(points)} / {promised}"),
        Check("its points are finite and in front of the camera", bool(np.isfinite(points).all() and (points[:, 2] > 0).all())),
    ]
    if frame.camera is not None and reply.mask is not None:
        share = _share_in_mask(points, reply.mask > 0, frame)
        checks.append(Check("its points lie behind the mask's pixels", share >= 0.99, f"{100 * share:.1f} %"))
    for number, instance in enumerate(reply.result.instances, start=1):
        if len(reply.result.instances) == 1 and instance.point_count:
            share = _share_in_box(points, instance)
            checks.append(Check(f"box {number} holds its points", share >= 0.9, f"{100 * share:.1f} %"))
    return checks


def _share_in_mask(points: np.ndarray, mask: np.ndarray, frame: Frame) -> float:
    """Share of points that project onto the mask, grown by the pixels that one depth pixel may cover."""
    import cv2

    pixels = np.rint(frame.camera.project(points))
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < mask.shape[1]) & (pixels[:, 1] < mask.shape[0])
    reach = 1 + (int(np.ceil(mask.shape[1] / frame.depth.shape[1])) if frame.depth is not None else 1)
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    columns, rows = pixels[inside].astype(int).T
    return float(grown[rows, columns].sum()) / max(len(points), 1)


def _share_in_box(points: np.ndarray, instance) -> float:
    """Share of points within the oriented box, grown by a centimetre (it leaves the outermost points outside)."""
    local = (points - box_center(instance)) @ rotation_matrix(instance.box_pose.orientation)
    half = np.array([instance.box_size.x, instance.box_size.y, instance.box_size.z]) / 2 + 0.01
    return float((np.abs(local) <= half).all(axis=1).mean())


def box_center(instance) -> np.ndarray:
    """Centre of an instance's oriented box, float64 [3]."""
    position = instance.box_pose.position
    return np.array([position.x, position.y, position.z])


def rotation_matrix(quaternion) -> np.ndarray:
    """3x3 rotation of a geometry_msgs/Quaternion."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat([quaternion.x, quaternion.y, quaternion.z, quaternion.w]).as_matrix()
