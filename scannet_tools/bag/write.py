"""Writes a scene as a ROS 2 bag: MCAP as Jazzy's `ros2 bag play` wants it, whole and verified, or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from tqdm import tqdm

from scannet_tools.bag.content import DEPTHS, Content, UnusableFrame, choose_frames
from scannet_tools.bag.messages import message_types
from scannet_tools.bag.topics import STATIC_TRANSFORMS, Topic
from scannet_tools.bag.truth import TRUTHS, open_truth
from scannet_tools.bag.verify import Tally, check_bag
from scannet_tools.scene import Scene
from scannet_tools.sens import SensFile

_log = logging.getLogger(__name__)

BAG_VERSION = 9
"""Of metadata.yaml: Jazzy's. Humble reads up to 8 only."""

_AHEAD = 2
"""Frames that are made ready per thread before they are written: what bounds the memory."""


@dataclass(frozen=True)
class BagReport:
    """path: the bag's folder. frames: numbers in the `.sens` of those written. lost: of those considered that have no
    pose. unusable: of those whose pictures are damaged, left out. messages: {topic: count}. bytes: of the bag's files.
    seconds: for all of it, verifying included.
    """

    path: Path
    frames: tuple[int, ...]
    lost: tuple[int, ...]
    unusable: tuple[int, ...]
    messages: dict[str, int]
    bytes: int
    seconds: float


def write_bag(
    scene_or_sens: Scene | str | Path,
    out: str | Path,
    *,
    every: int = 1,
    start: int = 0,
    max_frames: int | None = None,
    depth: str = "compressedDepth",
    truth: str | None = None,
    keep_lost: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
) -> BagReport:
    """Write the bag `out` (a folder) of a scene's folder or of a `.sens` file, and read it back to check it.

    depth: "compressedDepth" (PNG) or "raw", 16UC1 in millimetres both. truth: None, "pictures" or "rendered". Frames
    without pose are left out (tf would interpolate across the gap) or come without /tf (`keep_lost`). threads: that make
    messages, default one per core. The folder appears when everything is written and checked; else nothing is left.

    Raises:
        FileNotFoundError, OSError: something cannot be read or written.
        FileExistsError: `out` is taken, and not to be overwritten, or not a bag.
        ValueError: an option or the input cannot be used; names it.
    """
    for name, value, choices in (("depth", depth, DEPTHS), ("truth", truth, (None, *TRUTHS))):
        if value not in choices:
            raise ValueError(f'{name} is "{value}"; it must be one of {", ".join(map(str, filter(None, choices)))}')
    began = time.monotonic()
    out = Path(os.path.abspath(Path(out).expanduser()))
    check_free(out, overwrite)
    sens_path, scene = _find(scene_or_sens)
    with SensFile(sens_path) as sens:
        chosen, lost = choose_frames(sens, start=start, every=every, max_frames=max_frames, keep_lost=keep_lost)
        if truth and scene is None:
            raise ValueError(f"{sens_path}: truth needs the scene's folder, and this file lies in none")
        content = Content(sens, depth=depth, truth=open_truth(truth, scene, sens) if truth else None)
        with _Aside(out) as aside:
            name = scene.name if scene else sens_path.stem
            written, tally = _write(aside, content, chosen, lost, name, threads or os.cpu_count() or 1)
            check_bag(aside.path, tally, content, written)
            aside.keep(overwrite=overwrite)
    unusable = tuple(sorted(set(chosen) - set(written)))
    size = sum(file.stat().st_size for file in out.iterdir())
    return BagReport(out, tuple(written), tuple(lost), unusable, tally.counts(), size, time.monotonic() - began)


def check_free(out: Path, overwrite: bool) -> None:
    """Raises FileExistsError where `out` is taken. `overwrite` gives up a bag or an empty folder, never anything else."""
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists; give another folder, or --overwrite")
    if not out.is_dir() or out.is_symlink() or (any(out.iterdir()) and not (out / "metadata.yaml").is_file()):
        raise FileExistsError(f"{out} exists and is no bag, so it is not overwritten; give another folder")


def _find(scene_or_sens: Scene | str | Path) -> tuple[Path, Scene | None]:
    """(the `.sens`, the scene around it, if it lies in one)"""
    if isinstance(scene_or_sens, Scene):
        return scene_or_sens.sens_path, scene_or_sens
    path = Path(scene_or_sens).expanduser()
    if path.is_dir():
        scene = Scene(path)
        if not scene.sens_path.is_file():
            raise FileNotFoundError(f"{scene.sens_path}: no such file; give a scene's folder or a .sens file")
        return scene.sens_path, scene
    scene = Scene(path.parent)
    return path, scene if scene.sens_path.name == path.name else None


def _write(
    aside: _Aside, content: Content, chosen: list[int], lost: list[int], scene: str, threads: int
) -> tuple[list[int], Tally]:
    """(the frames that were written, what was written)"""
    tally = Tally(content.topics)
    written: list[int] = []
    writer = Writer(aside.path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
    if content.compressible:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    try:
        with aside.naming_errors():
            writer.open()
        connections = {
            topic: writer.add_connection(
                topic.name, topic.kind, typestore=message_types(), offered_qos_profiles=[topic.qos()]
            )
            for topic in content.topics
        }

        def put(topic: Topic, stamp_ns: int, data: bytes) -> None:
            with aside.naming_errors():
                writer.write(connections[topic], stamp_ns, data)
            tally.add(topic.name, stamp_ns, data)

        for number, made in _made_ready(content, chosen, threads):
            stamp_ns = content.stamp_ns(number)
            if not written:
                put(STATIC_TRANSFORMS, stamp_ns, content.static(stamp_ns))
            for topic, data in made:
                put(topic, stamp_ns, data)
            written.append(number)
        if not written:
            raise ValueError(f"{content.path}: none of the {len(chosen)} chosen frames can be used; see the warnings")
        for key, value in (("scene", scene), ("frames", json.dumps(written)), ("lost_frames", json.dumps(lost))):
            writer.set_custom_data(f"scannet_{key}", value)
        with aside.naming_errors():
            writer.close()
    except BaseException:
        with suppress(OSError):  # it tries once more to write what did not fit
            writer.abort()
        raise
    return written, tally


def _made_ready(content: Content, chosen: list[int], threads: int) -> Iterator[tuple[int, list[tuple[Topic, bytes]]]]:
    """(number, messages) of each frame that can be used, made in threads a few frames ahead: inflating and coding leave
    Python's lock alone.
    """
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="bag") as pool,
        tqdm(total=len(chosen), unit="frame", desc="bag", disable=None) as bar,
    ):
        waiting: deque[tuple[int, Future[list[tuple[Topic, bytes]]]]] = deque()
        left = iter(chosen)
        try:
            while True:
                for number in islice(left, 1 + _AHEAD * threads - len(waiting)):
                    waiting.append((number, pool.submit(content.of, number)))
                if not waiting:
                    return
                number, made = waiting.popleft()
                try:
                    yield number, made.result()
                except UnusableFrame as error:
                    _log.warning("%s; left out of the bag", error)
                bar.update()
        finally:
            for _, made in waiting:
                made.cancel()


class _Aside:
    """A place beside `out` for what is being written: `path`, which `keep` renames to `out`. Nothing of it stays."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def __enter__(self) -> _Aside:
        with self.naming_errors():
            self._out.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self._out.name}.", suffix=".part", dir=self._out.parent))
        self.path = self._folder / self._out.name  # rosbags calls the file in it after the folder
        return self

    def __exit__(self, *failure: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep(self, *, overwrite: bool) -> None:
        """Make it `out`, on the disk first."""
        check_free(self._out, overwrite)  # it may have come into being meanwhile
        with self.naming_errors():
            for file in self.path.iterdir():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            if self._out.exists():
                os.rename(self._out, self._folder / "replaced")
            os.rename(self.path, self._out)

    @contextmanager
    def naming_errors(self) -> Iterator[None]:
        """The system's words for a failed write name no file, or one that is gone by the time someone reads them."""
        try:
            yield
        except OSError as error:
            named = OSError(f"{self._out}: cannot be written: {error.strerror}; make room or choose another place")
            named.errno = error.errno
            raise named from error
