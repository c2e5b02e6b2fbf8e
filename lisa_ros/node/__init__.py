"""The ROS 2 node around `lisa_ros.perception`: messages in, messages out. Nothing below this package knows ROS."""
