"""ScanNet scenes as ROS 2 bags: MCAP with the node's camera topics, for `ros2 bag play` and `lisa_replay`; needs no ROS."""

from scannet_tools.bag.write import BagReport, write_bag

__all__ = ["BagReport", "write_bag"]
