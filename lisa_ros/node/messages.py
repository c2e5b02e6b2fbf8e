"""What goes out: numpy to ROS messages, laid out as planners read them (docs/interfaces.md).

Images carry the header of the colour image. Clouds, detections and markers carry a header with its stamp and the frame
that their points and boxes are in, `header_3d`: the same one unless another frame was asked for.
Messages are assigned `array.array("B")`: rclpy copies every other type byte by byte (ros2/rclpy#763).
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from lisa_ros.geometry import Camera, Cloud
from lisa_ros.msg import SegmentationResult, SegmentedInstance, StageTime
from lisa_ros.node.conversions import ENCODINGS, ConversionError
from lisa_ros.overlay import instance_color
from lisa_ros.perception import PerceivedInstance, Perception

try:  # of a ROS distribution; PyPI has none
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
except ImportError:
    Detection3DArray = None

STATUS_3D = {
    "LIFTED": SegmentedInstance.LIFTED,
    "NO_DEPTH": SegmentedInstance.NO_DEPTH,
    "TOO_FEW_POINTS": SegmentedInstance.TOO_FEW_POINTS,
}


def to_image(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """An Image message of contiguous pixels [H,W] or [H,W,C]."""
    dtype, channels = ENCODINGS[encoding]
    if pixels.dtype != dtype or (1 if pixels.ndim == 2 else pixels.shape[2]) != channels:
        raise ConversionError(f"{pixels.dtype} {list(pixels.shape)} does not fit {encoding}")
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=sys.byteorder == "big")
    message.step = width * channels * pixels.itemsize
    message.data = _bytes(pixels)
    return message


def to_mask(header: Header, masks: Sequence[np.ndarray], shape: tuple[int, int]) -> Image:
    """mono8, 255 inside the union of the masks bool [H,W], 0 outside."""
    union = np.zeros(shape, bool)
    for mask in masks:
        union |= mask
    return to_image(header, union.view(np.uint8) * np.uint8(255), "mono8")


def to_instances(header: Header, masks: Sequence[np.ndarray], shape: tuple[int, int]) -> Image:
    """16UC1, i inside the i-th mask (from 1), 0 outside; where masks overlap the later one is seen."""
    labels = np.zeros(shape, np.uint16)
    for number, mask in enumerate(masks, start=1):
        np.maximum(labels, mask * np.uint16(number), out=labels)
    return to_image(header, labels, "16UC1")


def to_cloud(header_3d: Header, clouds: Iterable[Cloud]) -> PointCloud2 | None:
    """All clouds in one message: height 1, x y z rgb at 0 4 8 12, dense, no NaN. None when there is no point: an empty
    cloud is never sent.
    """
    clouds = [Cloud.empty(), *clouds]
    points, colors = (np.concatenate([getattr(cloud, part) for cloud in clouds]) for part in ("points", "colors"))
    return _cloud(header_3d, points, colors)


def to_scene(header_3d: Header, cloud: Cloud, labels: np.ndarray) -> PointCloud2 | None:
    """A cloud as `to_cloud` makes it, with a field more: label [N], UINT32 at 16, 0 = scene, i = instance with id i.

    UINT32 because that is what PCL's PointXYZRGBL reads by this name, and the type of Contact-GraspNet's mask.
    """
    return _cloud(header_3d, cloud.points, cloud.colors, labels)


def _cloud(
    header: Header, points: np.ndarray, colors: np.ndarray, labels: np.ndarray | None = None
) -> PointCloud2 | None:
    if not np.isfinite(points).all():
        finite = np.isfinite(points).all(axis=1)
        points, colors, labels = points[finite], colors[finite], None if labels is None else labels[finite]
    if not len(points):
        return None
    fields = [("x", PointField.FLOAT32), ("y", PointField.FLOAT32), ("z", PointField.FLOAT32)]
    fields += [("rgb", PointField.FLOAT32)] + ([] if labels is None else [("label", PointField.UINT32)])
    words = np.empty((len(points), len(fields)), "<u4")
    words[:, :3] = points.astype("<f4", copy=False).view("<u4")
    red, green, blue = colors.astype("<u4").T
    words[:, 3] = red << 16 | green << 8 | blue
    if labels is not None:
        words[:, 4] = labels
    message = PointCloud2(header=header, height=1, width=len(words), is_bigendian=False, is_dense=True)
    for number, (name, datatype) in enumerate(fields):
        message.fields.append(PointField(name=name, offset=4 * number, datatype=datatype, count=1))
    message.point_step = 4 * len(fields)
    message.row_step = message.point_step * len(words)
    message.data = _bytes(words)
    return message


def to_camera_info(header: Header, camera: Camera) -> CameraInfo:
    """A CameraInfo without distortion."""
    k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    message = CameraInfo(
        header=header, width=camera.width, height=camera.height, distortion_model="plumb_bob", d=[0.0] * 5, k=k
    )
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def to_result(perception: Perception, stages: Sequence[tuple[str, float]]) -> SegmentationResult:
    """What the model found, as a message; header and request are filled in by who knows them."""
    message = SegmentationResult(
        query=perception.query,
        answer=perception.answer,
        status=int(perception.status),
        message=perception.message,
        target_probability=float(perception.target_probability),
        stages=to_stages(stages),
    )
    message.instances = [to_instance(number, instance) for number, instance in enumerate(perception.instances, start=1)]
    return message


def to_stages(stages: Sequence[tuple[str, float]]) -> list[StageTime]:
    """(stage, seconds) pairs as messages."""
    return [StageTime(stage=name, seconds=float(seconds)) for name, seconds in stages]


def to_instance(number: int, instance: PerceivedInstance) -> SegmentedInstance:
    """One instance; number counts from 1."""
    u0, v0, u1, v1 = instance.box_2d
    message = SegmentedInstance(
        id=number,
        mask_score=float(instance.mask_score),
        pixel_count=int(instance.pixel_count),
        box_2d=RegionOfInterest(x_offset=u0, y_offset=v0, width=u1 - u0, height=v1 - v0),
        status_3d=STATUS_3D[instance.status_3d],
    )
    if instance.status_3d == "LIFTED":
        message.point_count = len(instance.cloud)
        message.centroid = Point(**_xyz(instance.centroid))
        message.box_pose = _box_pose(instance)
        message.box_size = Vector3(**_xyz(instance.box.size))
    return message


def to_detections(header_3d: Header, perception: Perception) -> Detection3DArray:
    """The box of every lifted instance, for whoever knows vision_msgs (Detection3DArray is None where it is missing).

    id: the instance's, of this query only. class_id: the query; score: target_probability, how sure the model is that
    this is what the query means (how exact the mask is says mask_score, in the result).
    """
    message = Detection3DArray(header=header_3d)
    for number, instance in enumerate(perception.instances, start=1):
        if instance.status_3d != "LIFTED":
            continue
        detection = Detection3D(header=header_3d, id=str(number))
        detection.bbox.center, detection.bbox.size = _box_pose(instance), Vector3(**_xyz(instance.box.size))
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = perception.query
        hypothesis.hypothesis.score = float(perception.target_probability)
        hypothesis.pose.pose = detection.bbox.center
        detection.results.append(hypothesis)
        message.detections.append(detection)
    return message


def to_markers(header_3d: Header, instances: Sequence[PerceivedInstance], text: str) -> MarkerArray:
    """One see-through box and one label per lifted instance; the first marker removes those of the query before."""
    markers = [Marker(header=header_3d, action=Marker.DELETEALL)]
    for number, instance in enumerate(instances, start=1):
        if instance.status_3d != "LIFTED":
            continue
        red, green, blue = (value / 255 for value in instance_color(number - 1))
        pose, size = _box_pose(instance), Vector3(**_xyz(instance.box.size))
        box = Marker(header=header_3d, ns="box", id=number, type=Marker.CUBE, pose=pose, scale=size)
        box.color = ColorRGBA(r=red, g=green, b=blue, a=0.4)
        label = Marker(header=header_3d, ns="label", id=number, type=Marker.TEXT_VIEW_FACING, pose=pose, text=text)
        label.scale.z, label.color = 0.05, ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        markers += [box, label]
    return MarkerArray(markers=markers)


def _box_pose(instance: PerceivedInstance) -> Pose:
    x, y, z, w = (float(value) for value in instance.box.quaternion())
    return Pose(position=Point(**_xyz(instance.box.center)), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _xyz(values: np.ndarray) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip("xyz", values)}


def _bytes(pixels: np.ndarray) -> array.array:
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8))
    return data
