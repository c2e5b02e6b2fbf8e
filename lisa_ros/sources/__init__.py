"""Frames from files and data sets, for demo, replay and tests. Each module is one source; no rclpy, no torch."""
