"""A bag that is being written: MCAP, ended whole or under another name, and readable even when the disk is full.

While it grows, a recording lies in OUT.part/NAME; only a clean end renames that to OUT. MCAP: https://mcap.dev/spec.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_FOREVER = QosTime(9223372036, 854775807)
_LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, _FOREVER, _FOREVER,
    QosLiveliness.AUTOMATIC, _FOREVER, False,
)  # fmt: skip

_BAG_VERSION = 9  # of metadata.yaml: Jazzy's
_MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")  # opcode, length of what follows
_HEADER, _FOOTER, _DATA_END = 0x01, 0x02, 0x0F
_END = (
    _RECORD.pack(_DATA_END, 4) + bytes(4)
    + _RECORD.pack(_FOOTER, 20) + bytes(20)  # no summary: readers go through the chunks
    + _MAGIC
)  # fmt: skip


class RecordingError(RuntimeError):
    """The recording cannot begin or go on; the text says why, and where what was written lies."""


class Recording:
    """Takes serialized messages. `topics`: {name: message type}, all offered reliable and transient local.

    Chunks of 1 MiB go to the disk; what a crash or a full disk costs is the newest of them. Raises RecordingError when
    `out` is taken or cannot be written.
    """

    def __init__(self, out: str | Path, topics: Mapping[str, str]) -> None:
        self.out = Path(os.path.abspath(Path(out).expanduser()))
        self._part = self.out.with_name(self.out.name + ".part")
        self.messages = self.bytes = 0
        self._latest_ns = 0
        if self.out.exists() and not (self.out.is_dir() and not any(self.out.iterdir())):
            raise RecordingError(f"{self.out} exists; give another folder or take it away")
        if self._part.exists():
            raise RecordingError(f"{self._part} is there: a recording that did not end. Take it away to record again")
        types = typestore_for(set(topics.values()))
        self._writer = Writer(self._part / self.out.name, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        try:
            self._writer.open()
        except OSError as error:
            raise RecordingError(f"{self.out} cannot be recorded: {error}") from error
        self._connections = {
            name: self._writer.add_connection(name, kind, typestore=types, offered_qos_profiles=[_LATCHED])
            for name, kind in topics.items()
        }

    def write(self, topic: str, received_ns: int, serialized: bytes) -> None:
        """Add a message (CDR). Log times never go back, as readers of a file that was cut short ask for it."""
        self._latest_ns = max(self._latest_ns, received_ns)
        try:
            self._writer.write(self._connections[topic], self._latest_ns, serialized)
        except OSError as error:
            raise self._ended_early(error) from error
        self.messages += 1
        self.bytes += len(serialized)

    def finish(self) -> bool:
        """Make it a bag under its own name. Without any message nothing is left behind, and False returned."""
        if self.messages == 0:
            self._writer.abort()
            self._file().unlink()
            self._file().parent.rmdir()
            self._part.rmdir()
            return False
        try:
            self._writer.close()
            for path in (self._file(), self._writer.metapath):
                _to_disk(path)
            os.rename(self._writer.path, self.out)
            self._part.rmdir()
        except OSError as error:
            raise self._ended_early(error) from error
        return True

    def _file(self) -> Path:
        return self._writer.path / f"{self.out.name}.mcap"

    def _ended_early(self, error: OSError) -> RecordingError:
        """Close the file so that it can be read, if a few bytes can still be written."""
        file = self._file()
        try:
            if not is_ended(file):
                ends = whole_records(file)  # before the writer tries once more to get rid of its buffer
                with suppress(OSError):
                    self._writer.abort()
                end_file(file, ends)
        except (OSError, ValueError):
            left = f"{file} could not be closed any more; `mcap recover` may read it"
        else:
            left = f"what was written before can be read: {file}"
        return RecordingError(f"{self.out}: the recording ended early: {error.strerror}; {left}")


def typestore_for(types: set[str]) -> Typestore:
    """Definitions of Jazzy's message types and of all messages of the packages that `types` name besides."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for package in {kind.partition("/")[0] for kind in types - store.fielddefs.keys()}:
        definitions = {}
        for file in (Path(get_package_share_directory(package)) / "msg").glob("*.msg"):
            definitions |= get_types_from_msg(file.read_text(encoding="utf-8"), f"{package}/msg/{file.stem}")
        store.register(definitions)
    return store


def is_ended(file: Path) -> bool:
    """Whether an MCAP file has its end."""
    with file.open("rb") as stream:
        stream.seek(max(len(_MAGIC), stream.seek(0, os.SEEK_END) - len(_MAGIC)))
        return stream.read() == _MAGIC


def whole_records(file: Path) -> list[int]:
    """The offsets at which the data records of an MCAP file end, ascending. Raises ValueError if it has none."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        position, ends = len(_MAGIC), []
        while position + _RECORD.size <= size:
            stream.seek(position)
            opcode, length = _RECORD.unpack(stream.read(_RECORD.size))
            position += _RECORD.size + length
            if position > size or opcode == _DATA_END or (not ends and opcode != _HEADER):
                break
            ends.append(position)
    if not ends:
        raise ValueError(f"{file} has no whole record")
    return ends


def end_file(file: Path, ends: list[int]) -> None:
    """Cut an MCAP file behind the last of the records that end at `ends` and close it; records at the end are given up
    until there is room for the footer. Raises OSError when there is none at all.
    """
    with file.open("r+b", buffering=0) as stream:
        for end in reversed(ends):
            stream.truncate(end)
            stream.seek(end)
            with suppress(OSError):
                if stream.write(_END) == len(_END):
                    os.fsync(stream.fileno())
                    return
    raise OSError(f"no room to close {file}")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
