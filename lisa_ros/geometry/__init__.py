"""Camera model, lifting, cleaning, boxes: numpy, scipy and OpenCV only (no torch, no rclpy)."""

from lisa_ros.geometry.camera import Camera
from lisa_ros.geometry.frame import Frame

__all__ = ["Camera", "Frame"]
