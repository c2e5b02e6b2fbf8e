"""Camera model, lifting, cleaning, boxes: numpy, scipy and OpenCV only (no torch, no rclpy)."""

from lisa_ros.geometry.box import OrientedBox, oriented_box
from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.cloud import Cloud
from lisa_ros.geometry.clusters import clusters
from lisa_ros.geometry.depth import depth_to_metres, resample
from lisa_ros.geometry.frame import Frame
from lisa_ros.geometry.lift import lift
from lisa_ros.geometry.ply import read_ply, write_ply
from lisa_ros.geometry.scene import background, scene
from lisa_ros.geometry.transform import RigidTransform

__all__ = [
    "Camera",
    "Cloud",
    "Frame",
    "OrientedBox",
    "RigidTransform",
    "background",
    "clusters",
    "depth_to_metres",
    "lift",
    "oriented_box",
    "read_ply",
    "resample",
    "scene",
    "write_ply",
]
