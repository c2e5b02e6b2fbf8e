"""New stamps for serialized messages, written into their bytes: a bag's images need not be deserialised to be replayed.

CDR (OMG DDS-XTypes 7.4.3, plain CDR version 1): four bytes of encapsulation, bit 0 of the second says little endian;
what follows is aligned to its own size, counted from behind the encapsulation.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from lisa_ros.node.conversions import ConversionError, serialized_stamp_ns

_HEAD = 4
_TRANSFORM_BYTES = 7 * 8  # translation and quaternion, float64

NewStamp = Callable[[int], int]
"""Nanoseconds as recorded -> nanoseconds to publish."""


def restamped(serialized: bytes, new_stamp: NewStamp) -> bytes:
    """A message that begins with a std_msgs/Header, with another header.stamp. Raises ConversionError."""
    stamp_ns = new_stamp(serialized_stamp_ns(serialized))
    return serialized[:_HEAD] + _stamp_bytes(serialized, stamp_ns) + serialized[_HEAD + 8 :]


def restamped_transforms(serialized: bytes, new_stamp: NewStamp) -> bytes:
    """A tf2_msgs/TFMessage with other stamps for all its transforms. Raises ConversionError."""
    changed = bytearray(serialized)
    for offset in _transform_offsets(serialized):
        changed[offset : offset + 8] = _stamp_bytes(serialized, new_stamp(_read_stamp(serialized, offset)))
    return bytes(changed)


def _transform_offsets(serialized: bytes) -> list[int]:
    """Where each TransformStamped's stamp begins: stamp, frame_id, child_frame_id, translation, rotation."""
    try:
        (count,) = struct.unpack_from(_order(serialized) + "I", serialized, _HEAD)
        offset, offsets = _HEAD + 4, []
        for _ in range(count):
            offset = _aligned(offset, 4)
            offsets.append(offset)
            offset = _behind_text(serialized, _behind_text(serialized, offset + 8))
            offset = _aligned(offset, 8) + _TRANSFORM_BYTES
    except (struct.error, IndexError) as error:
        raise ConversionError(f"a TFMessage of {len(serialized)} bytes ends too early") from error
    if offset > len(serialized):
        raise ConversionError(f"a TFMessage of {len(serialized)} bytes ends too early: it needs {offset}")
    return offsets


def _behind_text(serialized: bytes, offset: int) -> int:
    offset = _aligned(offset, 4)
    (length,) = struct.unpack_from(_order(serialized) + "I", serialized, offset)
    return offset + 4 + length


def _aligned(offset: int, size: int) -> int:
    return _HEAD + -(-(offset - _HEAD) // size) * size


def _read_stamp(serialized: bytes, offset: int) -> int:
    seconds, nanoseconds = struct.unpack_from(_order(serialized) + "iI", serialized, offset)
    return seconds * 1_000_000_000 + nanoseconds


def _stamp_bytes(serialized: bytes, stamp_ns: int) -> bytes:
    return struct.pack(_order(serialized) + "iI", *divmod(stamp_ns, 1_000_000_000))


def _order(serialized: bytes) -> str:
    return "<" if serialized[1] & 1 else ">"
