"""Our TF buffer: known trees, random trees against products of matrices, every way to fail, and time that jumps."""

from __future__ import annotations

import math
import struct
import threading

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lisa_ros.geometry import RigidTransform
from lisa_ros.node import transform_buffer
from lisa_ros.node.transform_buffer import KEPT_NS, NoTransform, TransformBuffer
from lisa_ros.node.transform_messages import transforms_in

SECOND = 1_000_000_000
HALF = math.sqrt(0.5)
QUARTER_TURN_Z = (0.0, 0.0, HALF, HALF)
NO_TURN = (0.0, 0.0, 0.0, 1.0)


class Buffer(TransformBuffer):
    """A buffer that keeps its warnings, and takes seconds."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        super().__init__(self.warnings.append)

    def put(self, parent, child, seconds=0.0, shift=(0.0, 0.0, 0.0), turn=NO_TURN, *, static=False) -> None:
        self.add(parent, child, round(seconds * SECOND), (*shift, *turn), static)

    def get(self, target, source, seconds) -> RigidTransform:
        return self.lookup(target, source, round(seconds * SECOND))

    def refused(self, target, source, seconds) -> str:
        with pytest.raises(NoTransform) as refused:
            self.get(target, source, seconds)
        return str(refused.value)


@pytest.fixture
def buffer() -> Buffer:
    return Buffer()


def origin(transform: RigidTransform) -> list[float]:
    """Where the source frame's origin lies in the target frame."""
    return [round(float(value), 9) + 0.0 for value in transform.translation]


# ---- known trees ----
def test_a_chain(buffer):
    """map -> base (1 m ahead, turned left) -> camera (2 m ahead of base, so 2 m to the left of where base looked)."""
    buffer.put("map", "base", 10.0, (1, 0, 0), QUARTER_TURN_Z)
    buffer.put("base", "camera", 0.0, (2, 0, 0), static=True)
    assert origin(buffer.get("map", "camera", 10.0)) == [1, 2, 0]
    assert origin(buffer.get("base", "camera", 10.0)) == [2, 0, 0]
    assert origin(buffer.get("camera", "map", 10.0)) == [-2, 1, 0]
    assert origin(buffer.get("map", "map", 99.0)) == [0, 0, 0]


def test_two_branches_meet_at_their_common_ancestor(buffer):
    """Edges above the common ancestor are not needed, so their gaps do no harm."""
    buffer.put("map", "base", 1.0, (100, 0, 0))
    buffer.put("base", "arm", 10.0, (0, 1, 0))
    buffer.put("arm", "hand", 10.0, (0, 1, 0))
    buffer.put("base", "camera", 0.0, (3, 0, 0), QUARTER_TURN_Z, static=True)
    assert origin(buffer.get("camera", "hand", 10.0)) == [2, 3, 0]
    assert origin(buffer.get("hand", "camera", 10.0)) == [3, -2, 0]


def test_between_two_messages(buffer):
    buffer.put("map", "base", 10.0)
    buffer.put("map", "base", 12.0, (4, 0, 0), QUARTER_TURN_Z)
    half = buffer.get("map", "base", 11.0)
    assert origin(half) == [2, 0, 0]
    np.testing.assert_allclose(Rotation.from_matrix(half.rotation).magnitude(), math.pi / 4)
    assert origin(buffer.get("map", "base", 10.5)) == [1, 0, 0]
    assert origin(buffer.get("map", "base", 12.0)) == [4, 0, 0]


def test_messages_out_of_order_and_twice(buffer):
    for seconds, x in ((10.0, 0), (10.4, 4), (10.2, 7), (10.1, 1), (10.2, 2), (10.3, 3)):
        buffer.put("map", "base", seconds, (x, 0, 0))
    for tenths in range(9):
        assert origin(buffer.get("map", "base", 10.0 + tenths / 20)) == [tenths / 2, 0, 0]
    assert not buffer.warnings


def test_nanoseconds_are_kept(buffer):
    """A float of seconds since 1970 is no finer than 200 ns."""
    now = 1_700_000_000 * SECOND
    buffer.add("map", "base", now + 1, (0, 0, 0, *NO_TURN), False)
    buffer.add("map", "base", now + 5, (4, 0, 0, *NO_TURN), False)
    assert origin(buffer.lookup("map", "base", now + 2)) == [1, 0, 0]


def test_static_transforms_hold_at_any_time(buffer):
    buffer.put("base", "camera", 50.0, (1, 0, 0), static=True)
    for seconds in (0.0, 50.0, 1e9):
        assert origin(buffer.get("base", "camera", seconds)) == [1, 0, 0]
    buffer.put("base", "camera", 3.0, (2, 0, 0), static=True)
    assert origin(buffer.get("base", "camera", 50.0)) == [2, 0, 0]


def test_leading_slashes_are_ignored(buffer):
    buffer.put("/map", "/base", 1.0, (1, 0, 0))
    assert origin(buffer.get("map", "/base", 1.0)) == [1, 0, 0]
    assert origin(buffer.get("/map", "base", 1.0)) == [1, 0, 0]


# ---- random trees ----
@pytest.mark.parametrize("seed", range(20))
def test_against_matrices(seed):
    rng = np.random.default_rng(seed)
    buffer, count = Buffer(), 12
    parents = [None, *(int(rng.integers(0, child)) for child in range(1, count))]
    static = rng.uniform(size=count) < 0.3
    in_root = {0: np.eye(4)}
    at = 10.0 + rng.uniform(0.0, 0.1)
    for child in range(1, count):
        poses = [RigidTransform(Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3)) for _ in range(2)]
        expected = np.eye(4)
        share = 0.0 if static[child] else (at - 10.0) / 0.1
        turn = (Rotation.from_matrix(poses[0].rotation).inv() * Rotation.from_matrix(poses[1].rotation)).as_rotvec()
        expected[:3, :3] = poses[0].rotation @ Rotation.from_rotvec(turn * share).as_matrix()
        expected[:3, 3] = poses[0].translation * (1 - share) + poses[1].translation * share
        in_root[child] = in_root[parents[child]] @ expected
        for pose, seconds in zip(poses[:1] if static[child] else poses, (10.0, 10.1)):
            turn = pose.quaternion()
            buffer.put(f"f{parents[child]}", f"f{child}", seconds, pose.translation, turn, static=static[child])
    for _ in range(30):
        target, source = rng.integers(0, count, size=2)
        found = buffer.get(f"f{target}", f"f{source}", at)
        expected = np.linalg.inv(in_root[target]) @ in_root[source]
        np.testing.assert_allclose(found.rotation, expected[:3, :3], atol=1e-6)
        np.testing.assert_allclose(found.translation, expected[:3, 3], atol=1e-6)


# ---- failures, in words ----
def test_nothing_received(buffer):
    assert buffer.refused("map", "camera", 10.5) == (
        'no transform from frame "camera" to frame "map" at 10.500000000 s: no transform has been received'
    )


def test_an_unknown_frame(buffer):
    buffer.put("map", "base", 10.0)
    beginning = 'no transform from frame "camera" to frame "map" at 10.000000000 s: '
    assert buffer.refused("map", "camera", 10.0) == beginning + 'frame "camera" is unknown (known: base, map)'
    assert 'frame "world" is unknown' in buffer.refused("world", "base", 10.0)
    assert 'frame "" is unknown' in buffer.refused("", "base", 10.0)
    for number in range(50):
        buffer.put("map", f"link{number}", 10.0)
    assert len(buffer.refused("map", "camera", 10.0)) < 300


def test_two_trees(buffer):
    buffer.put("map", "base", 10.0)
    buffer.put("world", "camera", 10.0)
    said = buffer.refused("base", "camera", 10.0)
    assert 'from frame "camera" to frame "base"' in said
    assert 'not connected: "camera" is in the tree of "world", "base" in that of "map"' in said


def test_before_the_oldest(buffer):
    buffer.put("map", "base", 10.0)
    buffer.put("map", "base", 11.0)
    said = buffer.refused("map", "base", 9.75)
    assert 'from frame "base" to frame "map"' in said
    assert said.endswith('the stamp is 0.250 s before the oldest transform of "base" in "map"')


def test_newer_than_the_newest(buffer):
    """The future is never guessed, not even by a nanosecond; the edge that lags is named."""
    buffer.put("map", "base", 10.0)
    buffer.put("map", "base", 11.0)
    buffer.put("base", "camera", 12.0)
    said = buffer.refused("map", "camera", 12.0)
    assert 'from frame "camera" to frame "map"' in said
    assert said.endswith('the stamp is 1.000 s newer than the newest transform of "base" in "map"')
    with pytest.raises(NoTransform):
        buffer.lookup("map", "base", 11 * SECOND + 1)


def test_a_loop_of_frames(buffer):
    """No lookup goes round for ever, and none gets one of two possible answers. Beside the loop all is well."""
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "camera"), ("camera", "lens"), ("map", "base")):
        buffer.put(parent, child, 10.0, (1, 0, 0))
    for target in ("map", "b"):
        said = buffer.refused(target, "lens", 10.0)
        assert f'from frame "lens" to frame "{target}"' in said and "in a loop" in said
        assert all(f'"{frame}"' in said for frame in "abc")
    assert "in a loop" in buffer.refused("camera", "base", 10.0)
    assert origin(buffer.get("c", "lens", 10.0)) == [2, 0, 0]
    assert origin(buffer.get("map", "base", 10.0)) == [1, 0, 0]


# ---- what changes ----
def test_another_parent(buffer):
    """The tree after the change is used; the history under the old parent is gone, and this is said."""
    buffer.put("map", "base", 0.0, (5, 0, 0), static=True)
    buffer.put("map", "cup", 10.0, (1, 0, 0))
    buffer.put("map", "cup", 11.0, (1, 0, 0))
    buffer.put("base", "cup", 12.0, (2, 0, 0))
    assert origin(buffer.get("map", "cup", 12.0)) == [7, 0, 0]
    assert '2.000 s before the oldest transform of "cup" in "base"' in buffer.refused("map", "cup", 10.0)
    assert len(buffer.warnings) == 1 and '"cup" is now in "base" and no longer in "map"' in buffer.warnings[0]


def test_static_becomes_moving_and_back(buffer):
    buffer.put("map", "cup", 0.0, (1, 0, 0), static=True)
    buffer.put("map", "cup", 10.0, (2, 0, 0))
    assert origin(buffer.get("map", "cup", 10.0)) == [2, 0, 0]
    assert "before the oldest" in buffer.refused("map", "cup", 9.0)
    buffer.put("map", "cup", 0.0, (3, 0, 0), static=True)
    assert origin(buffer.get("map", "cup", 9.0)) == [3, 0, 0]


def test_only_the_last_minute_is_kept(buffer):
    for tenths in range(3000):
        buffer.put("map", "base", tenths / 10, (tenths, 0, 0))
    newest = 299.9
    assert origin(buffer.get("map", "base", newest - KEPT_NS / SECOND)) == [2399, 0, 0]
    assert "before the oldest" in buffer.refused("map", "base", newest - 1.2 * KEPT_NS / SECOND)
    assert origin(buffer.get("map", "base", newest)) == [2999, 0, 0]
    assert not buffer.warnings


def test_samples_are_bounded_however_close_they_are(buffer, monkeypatch):
    """A simulation at a thousandth of real time, for instance."""
    monkeypatch.setattr(transform_buffer, "MOST_SAMPLES", 100)
    for milliseconds in range(1000):
        buffer.put("map", "base", milliseconds / 1000, (milliseconds, 0, 0))
    assert "before the oldest" in buffer.refused("map", "base", 0.890)
    for milliseconds in (910, 950, 999):
        assert origin(buffer.get("map", "base", milliseconds / 1000)) == [milliseconds, 0, 0]


# ---- time that jumps ----
def test_a_bag_loop(buffer):
    """Old transforms of other edges are not mixed with new ones. The static ones stay: they are sent only once."""
    buffer.put("base", "camera", 0.0, (1, 0, 0), static=True)
    for seconds in (10.0, 20.0, 30.0):
        buffer.put("map", "odom", seconds, (9, 0, 0))
        buffer.put("odom", "base", seconds, (9, 0, 0))
    buffer.put("odom", "base", 10.0, (0, 0, 0))
    assert origin(buffer.get("odom", "camera", 10.0)) == [1, 0, 0]
    assert 'frame "map" is unknown' in buffer.refused("map", "camera", 10.0)
    assert 'newer than the newest transform of "base"' in buffer.refused("odom", "camera", 20.0)
    buffer.put("map", "odom", 10.0, (2, 0, 0))
    assert origin(buffer.get("map", "camera", 10.0)) == [3, 0, 0]
    assert len(buffer.warnings) == 1 and 'stamps of "base" in "odom" jumped back by 20.000 s' in buffer.warnings[0]


def test_latency_between_publishers_is_no_jump(buffer):
    """map -> odom of a localisation is dated into the future, the wheels' odometry lags."""
    for seconds in (10.0, 10.1, 10.2):
        buffer.put("map", "odom", seconds + 1.0, (1, 0, 0))
        buffer.put("odom", "base", seconds - 1.0, (1, 0, 0))
        buffer.put("base", "camera", seconds, (1, 0, 0))
    assert origin(buffer.get("odom", "base", 9.1)) == [1, 0, 0]
    assert origin(buffer.get("map", "odom", 11.05)) == [1, 0, 0]
    assert not buffer.warnings


def test_a_clock_that_jumps_clears_what_moves(buffer):
    buffer.put("base", "camera", 0.0, (1, 0, 0), static=True)
    buffer.put("map", "base", 10.0)
    buffer.clear()
    assert 'frame "map" is unknown' in buffer.refused("map", "camera", 10.0)
    assert origin(buffer.get("base", "camera", 10.0)) == [1, 0, 0]


# ---- what is no transform ----
@pytest.mark.parametrize(
    ("parent", "child", "shift", "turn", "said"),
    [
        ("map", "base", (math.nan, 0, 0), NO_TURN, "its translation is nan, 0, 0"),
        ("map", "base", (0, math.inf, 0), NO_TURN, "its translation is 0, inf, 0"),
        ("map", "base", (0, 0, 0), (0, 0, 0, 0), "not of length 1 (x, y, z, w: 0, 0, 0, 0)"),
        ("map", "base", (0, 0, 0), (math.nan, 0, 0, 1), "not of length 1"),
        ("map", "base", (0, 0, 0), (0, 0, 0, 1.2), "not of length 1"),
        ("", "base", (0, 0, 0), NO_TURN, "a frame has no name"),
        ("map", "/", (0, 0, 0), NO_TURN, "a frame has no name"),
        ("base", "/base", (0, 0, 0), NO_TURN, "a frame cannot lie in itself"),
    ],
)
@pytest.mark.parametrize("static", [False, True])
def test_what_is_no_transform_is_ignored_and_said_once(buffer, parent, child, shift, turn, said, static):
    buffer.put("map", "base", 10.0, (1, 0, 0))
    for _ in range(100):
        buffer.put(parent, child, 10.0, shift, turn, static=static)
    assert origin(buffer.get("map", "base", 10.0)) == [1, 0, 0]
    (warning,) = buffer.warnings
    assert said in warning and f'"{child.removeprefix("/")}" in "{parent}"' in warning


def test_many_threads(buffer):
    """Lookups while others add: each finds a whole tree or says why not."""
    wrong, end = [], threading.Event()

    def look():
        while not end.is_set():
            try:
                found = buffer.get("map", "camera", 10.05)
            except NoTransform:
                continue
            if origin(found) != [2, 0, 0]:
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        buffer.clear()
        for seconds in (10.0, 10.1):
            buffer.put("map", "base", seconds, (1, 0, 0))
            buffer.put("base", "camera", seconds, (1, 0, 0))
    end.set()
    for thread in threads:
        thread.join()
    assert not wrong and origin(buffer.get("map", "camera", 10.05)) == [2, 0, 0]


# ---- messages ----
def serialized(transforms, order="<") -> bytes:
    """TFMessage in CDR, written independently of the reader: field by field, padded to each field's alignment."""
    data = bytearray()

    def put(kind, value):
        size = struct.calcsize(order + kind)
        data.extend(bytes(-len(data) % size))
        data.extend(struct.pack(order + kind, value))

    def put_text(text):
        encoded = text.encode() + b"\0"
        put("I", len(encoded))
        data.extend(encoded)

    put("I", len(transforms))
    for parent, child, stamp, pose in transforms:
        put("i", stamp // SECOND)
        put("I", stamp % SECOND)
        put_text(parent)
        put_text(child)
        for value in pose:
            put("d", value)
    return (b"\0\1\0\0" if order == "<" else b"\0\0\0\0") + bytes(data)


TRANSFORMS = [
    ("m" * parent, "c" * child, 12 * SECOND + parent, (0.5, -1.0, child, 0.0, 0.0, HALF, HALF))
    for parent in range(9)
    for child in range(9)
]


@pytest.mark.parametrize("order", ["<", ">"])
def test_messages_with_names_of_every_length(order):
    assert list(transforms_in(serialized(TRANSFORMS, order))) == TRANSFORMS
    assert list(transforms_in(serialized([], order))) == []


def test_messages_that_are_cut_off_anywhere():
    whole = serialized([("map", "base", 1, (0.0,) * 7)])
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="transform message"):
            list(transforms_in(whole[:length]))


def test_a_message_whose_lengths_lie():
    for lie in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"):
        with pytest.raises(ValueError, match="cut off"):
            list(transforms_in(b"\0\1\0\0" + lie + b"\0" * 20))
        with pytest.raises(ValueError, match="cut off"):
            list(transforms_in(b"\0\1\0\0" + b"\1\0\0\0" + b"\0" * 8 + lie + b"\0" * 100))


def test_another_encoding():
    with pytest.raises(ValueError, match="0x0007: not plain CDR"):
        list(transforms_in(b"\0\7\0\0\0\0\0\0"))
