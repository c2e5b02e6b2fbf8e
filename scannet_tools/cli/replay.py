"""Play a bag on the node's camera topics, as `ros2 bag play` would; for machines that do not have it.

    python3 -m scannet_tools replay scene0000_00_bag --clock 40
    ros2 service call /lisa_replay/pause std_srvs/srv/SetBool "{data: true}"     and /lisa_replay/step std_srvs/srv/Trigger

Needs ROS 2 (`./run shell` has it). Stamps are those of recording unless --stamps fresh; nodes that listen to /clock
need use_sim_time:=true.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bag and how to play it."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="a bag's folder, .mcap or .db3")
    parser.add_argument("--rate", type=float, default=1.0, help="how many times faster than recorded (default 1)")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    parser.add_argument("--paused", action="store_true", help="begin paused; the services pause and step go on")
    parser.add_argument("--clock", type=float, default=0.0, metavar="HZ", help="publish /clock so often (default: not)")
    parser.add_argument("--stamps", choices=("file", "fresh"), default="file", help="as recorded (default), or of now")


def run(options: argparse.Namespace) -> int:
    """Until Ctrl-C."""
    if not options.bag.exists():
        raise FileNotFoundError(f"{options.bag}: no such bag; `scannet_tools bag` makes one")
    try:
        from lisa_ros.node.replay import main
    except ImportError as error:
        raise ImportError(f"replay needs ROS 2 ({error}); use ./run shell, or source it") from error
    parameters = {
        "source": str(options.bag),
        "rate": float(options.rate),
        "loop": options.loop,
        "paused": options.paused,
        "clock": float(options.clock),
        "stamps": options.stamps,
    }
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_yaml(value)}")]
    return main(["--ros-args", *words])


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
