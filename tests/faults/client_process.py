"""A client of the node in a process of its own, to be killed: python client_process.py action|service QUERY."""

from __future__ import annotations

import sys

import rclpy
from lisa_ros.action import Segment
from lisa_ros.srv import SegmentImage
from rclpy.action import ActionClient
from sensor_msgs.msg import Image


def main(kind: str, query: str) -> None:
    """Ask, and wait for an answer for ever."""
    rclpy.init()
    node = rclpy.create_node("client_to_be_killed")
    if kind == "action":
        actions = ActionClient(node, Segment, "lisa/segment")
        actions.wait_for_server()
        actions.send_goal_async(Segment.Goal(query=query)).add_done_callback(lambda sent: sent.result().get_result_async())
    else:
        service = node.create_client(SegmentImage, "lisa/segment_image")
        service.wait_for_service()
        color = Image(height=1, width=1, encoding="rgb8", step=3, data=[255, 0, 0])
        service.call_async(SegmentImage.Request(query=query, color=color))
    rclpy.spin(node)


if __name__ == "__main__":
    main(*sys.argv[1:])
