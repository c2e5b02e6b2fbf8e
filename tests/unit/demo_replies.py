"""Replies as the node would send them, made from a frame and a mask with this package's own geometry (no DDS involved)."""
from __future__ import annotations

import numpy as np
from lisa_ros.msg import SegmentationResult, SegmentedInstance, StageTime

from lisa_ros.cli.demo.client import Reply
from lisa_ros.geometry import Camera, Frame
from lisa_ros.geometry.box import oriented_box
from lisa_ros.geometry.lift import lift


def wall_frame(width: int = 64, height: int = 48) -> Frame:
    """A grey wall at 2 m with a red square standing 0.4 m in front of it, columns 20..35, rows 10..29."""
    color = np.full((height, width, 3), 90, np.uint8)
    depth = np.full((height, width), 2.0, np.float32)
    color[10:30, 20:36] = (255, 0, 0)
    depth[10:30, 20:36] = 1.6
    return Frame(color, camera=Camera(60.0, 60.0, width / 2, height / 2, width, height), depth=depth)


def reply_of(frame: Frame, mask: np.ndarray, query: str = "the red square") -> Reply:
    """What comes back when the node finds exactly this mask."""
    found = bool(mask.any())
    result = SegmentationResult(query=query, answer="[SEG]." if found else "There is none here.", model="test", device="cpu")
    result.status = SegmentationResult.FOUND if found else SegmentationResult.NOT_FOUND
    result.target_probability = 0.9 if found else 0.1
    result.header.stamp.sec = 7
    result.stages = [StageTime(stage=name, seconds=s) for name, s in (("encode", 0.1), ("language", 0.02), ("lift", 0.005))]
    reply = Reply(query, [result], seconds=0.14)
    reply.mask = mask.astype(np.uint8) * 255
    reply.instances = mask.astype(np.uint16)
    reply.overlay = frame.color.copy()
    reply.stamps = dict.fromkeys(("mask", "instances", "overlay"), (7, 0))
    if found:
        _add_instance(reply, frame, mask)
    return reply


def _add_instance(reply: Reply, frame: Frame, mask: np.ndarray) -> None:
    cloud = lift(mask, frame.depth, frame.camera, frame.color)
    box = oriented_box(cloud.points)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    instance = SegmentedInstance(id=1, mask_score=0.9, pixel_count=int(mask.sum()), point_count=len(cloud.points))
    instance.box_2d.x_offset, instance.box_2d.y_offset = int(columns[0]), int(rows[0])
    instance.box_2d.width, instance.box_2d.height = int(columns[-1] + 1 - columns[0]), int(rows[-1] + 1 - rows[0])
    position, orientation = instance.box_pose.position, instance.box_pose.orientation
    position.x, position.y, position.z = map(float, box.center)
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, box.quaternion())
    instance.box_size.x, instance.box_size.y, instance.box_size.z = map(float, box.size)
    reply.result.instances = [instance]
    reply.points, reply.colors = cloud.points, cloud.colors
    reply.stamps["points"] = (7, 0)
