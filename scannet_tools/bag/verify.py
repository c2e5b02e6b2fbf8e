"""Reads a bag back and holds it against what was written and against the `.sens` that it was made of."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lisa_ros.sources.bag import COMPRESSED_IMAGE, TF_STATIC, TRANSFORMS, Bag, BagMessage
from scannet_tools.bag.messages import message_types
from scannet_tools.bag.topics import COLOR_COMPRESSED, DEPTH_COMPRESSED, Topic

if TYPE_CHECKING:
    from scannet_tools.bag.content import Content


class Tally:
    """How many messages each topic has, and a checksum over their stamps and bytes in order."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self._of = {topic.name: (0, 0) for topic in topics}

    def add(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """One message more."""
        count, checksum = self._of.get(topic, (0, 0))
        self._of[topic] = count + 1, zlib.crc32(data, zlib.crc32(stamp_ns.to_bytes(8, "little"), checksum))

    def count(self, topic: str) -> int:
        """Messages so far."""
        return self._of.get(topic, (0, 0))[0]

    def counts(self) -> dict[str, int]:
        """{topic: messages}"""
        return {topic: count for topic, (count, _) in self._of.items()}

    def differences(self, other: Tally) -> list[str]:
        """The topics on which the two do not agree, and how."""
        told = []
        for topic in sorted(self._of.keys() | other._of.keys()):
            (ours, ours_sum), (theirs, theirs_sum) = self._of.get(topic, (0, 0)), other._of.get(topic, (0, 0))
            if ours != theirs:
                told.append(f"{topic} has {theirs} messages, written were {ours}")
            elif ours_sum != theirs_sum:
                told.append(f"{topic} has other bytes than were written")
        return told


def check_bag(path: Path, written: Tally, content: Content, chosen: Sequence[int]) -> None:
    """Read the bag at `path` back: every message's bytes, stamps and order; and for the first frame, the last and one
    between, that colour is the stored one, byte by byte, and depth decodes to the stored one.

    chosen: the frames in it, as numbers in the `.sens`.

    Raises:
        ValueError: something is not as it should be; says what.
    """
    read = Tally(())
    samples = {place: chosen[place] for place in {0, len(chosen) // 2, len(chosen) - 1}}
    latest_ns = -1
    with Bag(path) as bag:
        for message in bag.messages(set(bag.topics)):
            topic, stamp_ns = message.topic, message.stamp_ns
            if latest_ns < 0 and topic != TF_STATIC:
                raise ValueError(f"{path}: {topic} comes before {TF_STATIC}")
            if stamp_ns < latest_ns:
                raise ValueError(f"{path}: {topic} goes back in time at {stamp_ns} ns")
            latest_ns = stamp_ns
            stamped_ns = _stamp_ns(bag.topics[topic], message.serialized)
            if stamped_ns != stamp_ns:
                raise ValueError(f"{path}: {topic} is logged at {stamp_ns} ns and stamped {stamped_ns} ns")
            number = samples.get(read.count(topic))
            if number is not None and not _as_stored(message, content, number):
                raise ValueError(f"{path}: {topic} of frame {number} is not what the .sens file holds")
            read.add(topic, stamp_ns, message.serialized)
    if told := written.differences(read):
        raise ValueError(f"{path}: the bag does not read back as it was written: {'; '.join(told)}")


def _as_stored(message: BagMessage, content: Content, number: int) -> bool:
    """Whether a picture is that of frame `number`; True for other topics."""
    if message.topic not in (COLOR_COMPRESSED.name, DEPTH_COMPRESSED.name):
        return True
    from lisa_ros.sources.encoded_images import decode_depth

    picture = message_types().deserialize_cdr(message.serialized, COMPRESSED_IMAGE)
    data = picture.data.tobytes()
    if message.topic == COLOR_COMPRESSED.name:
        return data == content.color_bytes(number)
    depth_mm = content.depth_mm(number)
    return np.array_equal(decode_depth(data, picture.format, depth_mm.size), depth_mm)


def _stamp_ns(kind: str, serialized: bytes) -> int:
    """header.stamp of a little-endian message; a TFMessage's first one stands behind a count."""
    seconds, nanoseconds = struct.unpack_from("<iI", serialized, 8 if kind == TRANSFORMS else 4)
    return seconds * 1_000_000_000 + nanoseconds
