"""The only place that touches message layouts: numpy on one side, ROS messages on the other.

Everything that cannot be converted raises `ConversionError` with a sentence for a person. Messages are assigned
`array.array("B")`: rclpy
copies every other type byte by byte (ros2/rclpy#763).
"""

from __future__ import annotations

import array
import struct
import sys
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from lisa_ros.geometry import Camera, Cloud
from lisa_ros.msg import SegmentationResult, SegmentedInstance, StageTime
from lisa_ros.overlay import instance_color
from lisa_ros.perception import PerceivedInstance, Perception

STATUS_3D = {
    "LIFTED": SegmentedInstance.LIFTED,
    "NO_DEPTH": SegmentedInstance.NO_DEPTH,
    "TOO_FEW_POINTS": SegmentedInstance.TOO_FEW_POINTS,
}
_ENCODINGS = {  # encoding -> (numpy type, channels)
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
}
_DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")


class ConversionError(ValueError):
    """A message holds something that cannot be used; the text says what."""


# ---- time ----
def stamp_ns(stamp: Time) -> int:
    """A stamp as nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds as a stamp."""
    seconds, rest = divmod(int(nanoseconds), 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def serialized_stamp_ns(serialized: bytes) -> int:
    """header.stamp of a serialized message that begins with a std_msgs/Header, in nanoseconds, without deserialising
    the rest.

    CDR: four bytes of encapsulation (bit 0 of the second: little endian), then sec int32 and nanosec uint32.
    """
    if len(serialized) < 12:
        raise ConversionError(f"a message of {len(serialized)} bytes has no header")
    seconds, nanoseconds = struct.unpack_from("<iI" if serialized[1] & 1 else ">iI", serialized, 4)
    return seconds * 1_000_000_000 + nanoseconds


# ---- images in ----
def image_array(message: Image) -> np.ndarray:
    """The pixels as they are: [H,W] or [H,W,C] in the encoding's type and native byte order; any row step."""
    if message.encoding not in _ENCODINGS:
        raise ConversionError(f'encoding "{message.encoding}" is not supported; use one of {", ".join(_ENCODINGS)}')
    dtype, channels = _ENCODINGS[message.encoding]
    dtype = np.dtype(dtype)
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if height == 0 or width == 0:
        raise ConversionError(f"the image is {width}x{height} pixels")
    if step < row:
        raise ConversionError(f"step is {step} bytes, but a row of {width} {message.encoding} pixels takes {row}")
    data = np.frombuffer(message.data, np.uint8)
    if len(data) < step * (height - 1) + row:
        raise ConversionError(
            f"the image data is truncated: {len(data)} bytes for {width}x{height} {message.encoding}, step {step}"
        )
    if len(data) < step * height:  # the last row may come without padding
        data = np.concatenate([data, np.zeros(step * height - len(data), np.uint8)])
    rows = data[: step * height].reshape(height, step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(dtype)
    if bool(message.is_bigendian) != (sys.byteorder == "big") and dtype.itemsize > 1:
        pixels = pixels.byteswap()
    return pixels if channels == 1 else pixels.reshape(height, width, channels)


def color_image(message: Image | CompressedImage) -> np.ndarray:
    """uint8 [H,W,3] RGB of a raw or compressed colour image."""
    if isinstance(message, CompressedImage):
        return _decoded(message)
    if message.encoding not in _TO_RGB and message.encoding != "rgb8":
        names = ", ".join(["rgb8", *_TO_RGB])
        raise ConversionError(
            f'encoding "{message.encoding}" is no colour image that is understood; use one of {names}'
        )
    pixels = image_array(message)
    return pixels if message.encoding == "rgb8" else cv2.cvtColor(pixels, _TO_RGB[message.encoding])


def _decoded(message: CompressedImage) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise ConversionError(
            f'the compressed image (format "{message.format}", {len(data)} bytes) is not a readable JPEG or PNG'
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def depth_image(message: Image, depth_scale: float) -> np.ndarray:
    """float32 [h,w] metres, 0 = no depth. depth_scale: metres of one unit of a 16-bit image; 32FC1 is metres already."""
    if message.encoding not in _DEPTH_ENCODINGS:
        raise ConversionError(
            f'encoding "{message.encoding}" is no depth image; use 16UC1 (millimetres) or 32FC1 (metres)'
        )
    pixels = image_array(message)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) * np.float32(depth_scale)
    return np.where(np.isfinite(pixels) & (pixels > 0), pixels, np.float32(0))


def camera_of(message: CameraInfo, width: int, height: int) -> Camera:
    """The pinhole camera of a colour image of width x height pixels; K is used, distortion is not."""
    if not any(message.k):
        raise ConversionError("camera_info has no intrinsics (k is all zero): the camera is not calibrated")
    if (message.width, message.height) != (width, height):
        raise ConversionError(
            f"camera_info is for {message.width}x{message.height} pixels, the colour image has {width}x{height}"
        )
    try:
        return Camera(message.k[0], message.k[4], message.k[2], message.k[5], width, height)
    except ValueError as error:
        raise ConversionError(f"camera_info is not usable: {error}") from error


# ---- out ----
def to_image(header: Header, pixels: np.ndarray, encoding: str) -> Image:
    """An Image message of contiguous pixels [H,W] or [H,W,C]."""
    dtype, channels = _ENCODINGS[encoding]
    if pixels.dtype != dtype or (1 if pixels.ndim == 2 else pixels.shape[2]) != channels:
        raise ConversionError(f"{pixels.dtype} {list(pixels.shape)} does not fit {encoding}")
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=sys.byteorder == "big")
    message.step = width * channels * pixels.itemsize
    message.data = _bytes(pixels)
    return message


def to_mask(header: Header, masks: Sequence[np.ndarray], shape: tuple[int, int]) -> Image:
    """mono8, 255 inside the union of the masks bool [H,W], 0 outside."""
    union = np.zeros(shape, np.uint8)
    for mask in masks:
        union[mask] = 255
    return to_image(header, union, "mono8")


def to_instances(header: Header, masks: Sequence[np.ndarray], shape: tuple[int, int]) -> Image:
    """16UC1, i inside the i-th mask (from 1), 0 outside; where masks overlap the later one is seen."""
    labels = np.zeros(shape, np.uint16)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    return to_image(header, labels, "16UC1")


def to_cloud(header: Header, clouds: Iterable[Cloud]) -> PointCloud2 | None:
    """All clouds in one message: height 1, x y z rgb at 0 4 8 12, dense, no NaN. None when there is no point: an empty
    cloud is never sent.
    """
    clouds = [cloud for cloud in clouds if len(cloud)]
    if not clouds:
        return None
    points = np.concatenate([cloud.points for cloud in clouds])
    colors = np.concatenate([cloud.colors for cloud in clouds])
    records = np.zeros((len(points), 4), "<f4")  # x y z rgb; rgb is 0x00RRGGBB, little endian: bytes B G R 0
    records[:, :3] = points
    records.view(np.uint8)[:, 12:15] = colors[:, ::-1]
    if not np.isfinite(points).all():
        records = records[np.isfinite(points).all(axis=1)]
    if not len(records):
        return None
    message = PointCloud2(header=header, height=1, width=len(records), is_bigendian=False, is_dense=True)
    for number, name in enumerate(("x", "y", "z", "rgb")):
        message.fields.append(PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1))
    message.point_step = 16
    message.row_step = message.point_step * len(records)
    message.data = _bytes(records)
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


def to_markers(header: Header, instances: Sequence[PerceivedInstance], text: str) -> MarkerArray:
    """One see-through box and one label per lifted instance; the first marker removes those of the query before."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for number, instance in enumerate(instances, start=1):
        if instance.status_3d != "LIFTED":
            continue
        red, green, blue = (value / 255 for value in instance_color(number - 1))
        pose, size = _box_pose(instance), Vector3(**_xyz(instance.box.size))
        box = Marker(header=header, ns="box", id=number, type=Marker.CUBE, pose=pose, scale=size)
        box.color = ColorRGBA(r=red, g=green, b=blue, a=0.4)
        label = Marker(header=header, ns="label", id=number, type=Marker.TEXT_VIEW_FACING, pose=pose, text=text)
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
