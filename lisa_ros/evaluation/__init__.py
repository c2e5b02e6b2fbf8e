"""Scores: how well an engine finds what a query means (gIoU, cIoU, refusals). No ROS here."""
