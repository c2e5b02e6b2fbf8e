"""Write a scene as a ROS 2 bag (MCAP, Jazzy), whole and verified, or not at all.

    python3 -m scannet_tools bag scans/scene0000_00 --out scene0000_00_bag
    ros2 bag play scene0000_00_bag --clock

Topics: /color/image_raw/compressed (the stored JPEG bytes), /depth/image_raw/compressedDepth (16UC1 millimetres),
/color/camera_info, /depth/camera_info, /tf (map -> camera_color_optical_frame), /tf_static; with --truth also
/truth/instance and /truth/label (mono16).
"""

from __future__ import annotations

import argparse

from scannet_tools.frame_selection import add_selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("scene", metavar="SCENE_OR_SENS", help="a scene's folder, or a .sens file")
    parser.add_argument("--out", required=True, metavar="DIR", help="the bag's folder, to be made")
    parser.add_argument("--overwrite", action="store_true", help="replace the bag that is there")
    add_selection(parser)
    parser.add_argument("--keep-lost", action="store_true", help="also write frames without a pose (no /tf for them)")
    parser.add_argument(
        "--depth", choices=("compressedDepth", "raw"), default="compressedDepth", help="PNG, or pixels as they are"
    )
    parser.add_argument(
        "--truth", choices=("pictures", "rendered"), help="add ground truth: ScanNet's pictures, or from the mesh"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="that make messages; default: one per core")


def run(options: argparse.Namespace) -> int:
    """Write the bag and say what is in it."""
    from scannet_tools.bag import write_bag

    made = write_bag(
        options.scene,
        options.out,
        every=options.every,
        start=options.start,
        max_frames=options.max,
        depth=options.depth,
        truth=options.truth,
        keep_lost=options.keep_lost,
        overwrite=options.overwrite,
        threads=options.threads,
    )
    lost = f", {len(made.lost)} of those considered have no pose" if made.lost else ""
    damaged = f", {len(made.unusable)} are damaged and left out" if made.unusable else ""
    print(f"{made.path}: {len(made.frames)} frames{lost}{damaged}; {made.bytes / 1e6:.1f} MB; read back and compared")
    for topic, count in made.messages.items():
        print(f"  {count:6}  {topic}")
    print(f"{made.seconds:.1f} s, {len(made.frames) / made.seconds:.0f} frames/s")
    return 0
