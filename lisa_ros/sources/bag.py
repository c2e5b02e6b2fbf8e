"""Messages from a ROS 2 bag (rosbag2 folder, .mcap, .db3), serialized as they were recorded, and which topics are the
camera's. The only place that reads bags; needs no ROS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rosbags.rosbag2 import Reader

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, TRANSFORMS = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
TF, TF_STATIC = "/tf", "/tf_static"

_TRANSPORTS = ("/compressedDepth", "/compressed")
_DEPTH_WORD = re.compile(r"depth|/stereo/image", re.IGNORECASE)  # OAK cameras call theirs /oak/stereo/image_raw
_COLOR_WORD = re.compile(r"colou?r|rgb", re.IGNORECASE)
_REGISTERED = re.compile(r"aligned|registered|depth_to_(rgb|color)", re.IGNORECASE)
_NEITHER = re.compile(r"depth|disparity|confidence|mask|label|instance|overlay|(^|[/_])(ir|infra\w*)(?=[\d/_]|$)", re.I)


@dataclass(frozen=True)
class BagMessage:
    """One message. `stamp_ns`: when it was recorded (log time); `serialized`: CDR with its 4 bytes of encapsulation."""

    topic: str
    stamp_ns: int
    serialized: bytes


@dataclass(frozen=True)
class CameraTopics:
    """Topics of a bag that make an RGB-D camera; "" = the bag has none."""

    color: str
    depth: str
    camera_info: str


def is_bag(path: str | Path) -> bool:
    """Whether this looks like a bag: a folder with metadata.yaml, or a file called *.mcap or *.db3."""
    path = Path(path)
    return (path / "metadata.yaml").is_file() or (path.suffix in (".mcap", ".db3") and path.is_file())


class Bag:
    """A bag that is open for reading, as a context manager. Messages are read as they are asked for, never all at once.

    topics: {name: message type}. Raises ValueError with the path for what cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._reader = Reader(self._path)
            self._reader.open()
        except Exception as error:  # noqa: BLE001 - damage shows in many ways, also as AssertionError
            raise ValueError(f"{path}: not a readable ROS 2 bag: {error or type(error).__name__}") from error
        self.topics: dict[str, str] = {connection.topic: connection.msgtype for connection in self._reader.connections}

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """All messages of these topics in the order of their log times. Raises ValueError where the file is damaged."""
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        try:
            for connection, stamp_ns, serialized in self._reader.messages(connections):
                yield BagMessage(connection.topic, stamp_ns, bytes(serialized))
        except Exception as error:  # noqa: BLE001 - as above
            raise ValueError(f"{self._path}: the bag is damaged: {error or type(error).__name__}") from error


def camera_topics(
    topics: Mapping[str, str], *, color: str = "", depth: str = "", camera_info: str = ""
) -> CameraTopics:
    """Which topics of a bag ({name: type}) are colour, depth and camera_info; names that are given are taken.

    By name: colour has color or rgb (or is the only image that is nothing else), depth has depth, and depth registered
    to colour comes before other depth; raw comes before compressed; camera_info lies beside colour. Raises ValueError
    with all image topics and the parameter to set when that does not say which.
    """
    images = sorted(name for name, kind in topics.items() if kind in (IMAGE, COMPRESSED_IMAGE))
    for parameter, name in (("color_topic", color), ("depth_topic", depth), ("camera_info_topic", camera_info)):
        if name and name not in topics:
            raise ValueError(f"the bag has no topic {name}; set parameter {parameter} to one of: {', '.join(topics)}")
    others = [name for name in images if not _NEITHER.search(name)]
    color = color or _only("color_topic", "colour", images, _narrowed(others, _COLOR_WORD))
    if not color:
        raise ValueError(f"the bag has no colour topic; its image topics: {', '.join(images) or 'none'}")
    depths = [name for name in images if _DEPTH_WORD.search(name) and name != color]
    depth = depth or _only("depth_topic", "depth", images, _narrowed(depths, _REGISTERED))
    return CameraTopics(color, depth, camera_info or _beside(color, topics))


def base_of(topic: str) -> str:
    """An image topic without the transport at its end."""
    for transport in _TRANSPORTS:
        topic = topic.removesuffix(transport)
    return topic


def _narrowed(names: list[str], word: re.Pattern) -> list[str]:
    """Those with the word in their name, if any has it."""
    return [name for name in names if word.search(name)] or names


def _only(parameter: str, what: str, images: list[str], names: list[str]) -> str:
    bases = sorted({base_of(name) for name in names})
    if len(bases) > 1:
        raise ValueError(f"which topic is {what}? Set parameter {parameter} to one of: {', '.join(images)}")
    return min(names, key=lambda name: (name.endswith("/compressed"), name), default="")  # depth's is often no PNG


def _beside(color: str, topics: Mapping[str, str]) -> str:
    """The camera_info in colour's folder; otherwise the only one."""
    infos = [name for name, kind in topics.items() if kind == CAMERA_INFO]
    beside = base_of(color).rpartition("/")[0] + "/camera_info"
    if beside in infos or not infos:
        return beside if infos else ""
    if len(infos) > 1:
        raise ValueError(
            f"which topic is the camera_info of {color}? Set parameter camera_info_topic to one of: {', '.join(infos)}"
        )
    return infos[0]
