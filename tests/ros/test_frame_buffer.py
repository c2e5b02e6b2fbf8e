"""Pairing, bounds and time jumps of the frame buffer."""

from __future__ import annotations

import threading
import time

import pytest

from lisa_ros.node.frame_buffer import FrameBuffer

MS = 1_000_000


def filled(colors, depths, size=5):
    buffer = FrameBuffer(size)
    for stamp in depths:
        buffer.add_depth(f"d{stamp}", stamp * MS)
    for stamp in colors:
        buffer.add_color(f"c{stamp}", stamp * MS)
    return buffer


def test_newest_pair_wins_over_a_newer_lonely_color():
    pair = filled([1000, 1033, 1066], [1001, 1034]).newest(5 * MS)
    assert (pair.color.message, pair.depth.message) == ("c1033", "d1034")


def test_nearest_depth_is_taken():
    assert filled([1000], [990, 997, 1008]).newest(20 * MS).depth.message == "d997"


def test_identical_stamps_match_with_zero_tolerance():
    assert filled([1000], [1000]).newest(0).depth.message == "d1000"


def test_without_a_partner_the_newest_color_comes_alone_and_the_gap_is_known():
    pair = filled([1000, 1400], [500]).newest(20 * MS)
    assert pair.color.message == "c1400" and pair.depth is None and pair.stamp_gap_ns == 900 * MS
    assert filled([1000], []).newest(20 * MS).stamp_gap_ns is None


def test_memory_is_bounded():
    buffer = filled(range(100), range(100), size=3)
    assert buffer.frames() == 3
    assert buffer.newest(0).color.message == "c99"
    assert buffer.newest(97 * MS).depth.message == "d99"
    for stamp in (96, 97):  # only three depth images are left to pair with
        buffer.add_color("again", stamp * MS)
    assert buffer.newest(0).color.message == "again" and buffer.newest(0).depth.message == "d97"


def test_huge_images_are_kept_one_by_one(monkeypatch):
    monkeypatch.setattr("lisa_ros.node.frame_buffer.MAX_BYTES", 100)
    buffer = FrameBuffer(5)
    for stamp in range(10):
        buffer.add_color(b"x" * 40, stamp * MS)
        assert buffer.frames() == min(stamp + 1, 2)
    buffer.add_color(b"x" * 1000, 10 * MS)
    assert buffer.frames() == 1 and len(buffer.newest(0).color.message) == 1000
    buffer.clear()
    for stamp in range(11, 14):
        buffer.add_color(b"x" * 40, stamp * MS)
    assert buffer.frames() == 2


def test_time_that_jumps_back_forgets_what_came_before():
    buffer = filled([10_000, 10_033], [10_000, 10_033])
    buffer.add_color("again", 0)
    pair = buffer.newest(20 * MS)
    assert pair.color.message == "again" and pair.depth is None
    buffer.add_depth("again too", 1 * MS)
    assert buffer.newest(20 * MS).depth.message == "again too"


def looped(first):
    """A buffer with the end of a bag in it, and then the beginning of its next loop, of which `first` comes first."""
    buffer = filled([10_000, 10_033], [10_000, 10_033])
    add = {"color": buffer.add_color, "depth": buffer.add_depth}
    second = "depth" if first == "color" else "color"
    add[first](f"new {first}", 0)
    return buffer, lambda: add[second](f"new {second}", 1 * MS), add[second]


@pytest.mark.parametrize("first", ["color", "depth"])
def test_whichever_topic_jumps_first_the_first_pair_after_it_is_kept(first):
    buffer, follow, _ = looped(first)
    before = buffer.newest(20 * MS)
    assert before is None if first == "depth" else before.depth is None
    follow()
    pair = buffer.newest(20 * MS)
    assert (pair.color.message, pair.depth.message) == ("new color", "new depth")


@pytest.mark.parametrize("first", ["color", "depth"])
def test_a_straggler_from_before_the_jump_is_not_paired_with_what_came_after(first):
    buffer, follow, add_second = looped(first)
    add_second("straggler", 10_066 * MS)
    if first == "color":
        assert buffer.newest(20 * MS).depth is None
    follow()
    pair = buffer.newest(20 * MS)
    assert (pair.color.message, pair.depth.message) == ("new color", "new depth")


def test_old_depth_is_not_paired_after_a_jump_although_its_stamp_fits():
    buffer = filled([5_000, 10_000], [9_990, 10_000])
    buffer.add_depth("old", 9_800 * MS)  # out of order, within what counts as late
    buffer.add_color("new", 9_000 * MS)  # a jump
    buffer.add_color("newer", 9_800 * MS)
    assert buffer.newest(20 * MS).depth is None


def test_many_loops_end_as_the_first():
    buffer = FrameBuffer(5)
    for loop in range(20):
        topics = ["depth", "color"] if loop % 3 else ["color", "depth"]
        for stamp in range(0, 2000, 100):
            for topic in topics:
                getattr(buffer, f"add_{topic}")(f"{topic} {loop} {stamp}", stamp * MS)
            pair = buffer.newest(20 * MS)
            assert (pair.color.message, pair.depth.message) == (f"color {loop} {stamp}", f"depth {loop} {stamp}")


def test_a_topic_that_jumps_alone_does_not_spoil_the_next_jump(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("lisa_ros.node.frame_buffer.time.monotonic", lambda: now[0])
    buffer = filled([10_000], [10_000])
    buffer.add_color("jumps alone", 0)
    now[0] += 60.0
    buffer.add_color("color", 20_000 * MS)
    buffer.add_depth("depth", 20_000 * MS)
    now[0] += 60.0
    buffer.add_depth("new depth", 0)
    assert buffer.newest(20 * MS) is None  # the colour image is from before this jump


def test_a_clock_that_jumps_clears_and_the_next_pair_is_kept():
    buffer = filled([10_000], [10_000])
    buffer.clear()
    assert buffer.newest(20 * MS) is None
    buffer.add_depth("new depth", 0)
    buffer.add_color("new color", 0)
    assert buffer.newest(20 * MS).depth.message == "new depth"


def test_of_images_with_one_stamp_the_last_counts():
    buffer = filled([1000], [1000])
    buffer.add_depth("again", 1000 * MS)
    assert buffer.newest(0).depth.message == "again"
    buffer.add_color("color again", 1000 * MS)
    assert buffer.newest(0).color.message == "color again"


def test_slightly_late_images_do_not_count_as_a_jump():
    buffer = filled([1000, 1066], [1000, 1066])
    buffer.add_color("c1033", 1033 * MS)
    assert buffer.newest(5 * MS).color.message == "c1066"


def test_a_waiting_reader_is_woken_by_the_first_image():
    buffer = FrameBuffer(5)
    found = []
    thread = threading.Thread(target=lambda: found.append(buffer.newest(0, timeout=20.0)))
    thread.start()
    buffer.add_color("c", 1)
    buffer.add_depth("d", 1)
    buffer.add_camera_info("k", 1)
    thread.join(5.0)
    assert not thread.is_alive() and found[0].color.message == "c"
    assert FrameBuffer(5).newest(0, timeout=0.01) is None


def test_the_first_frame_waits_for_its_depth_and_later_ones_do_not():
    buffer = FrameBuffer(5)
    buffer.add_color("c", 1)
    later = threading.Timer(0.1, lambda: (buffer.add_depth("d", 1), buffer.add_camera_info("k", 1)))
    later.start()
    assert buffer.newest(0, timeout=20.0).depth.message == "d"
    lonely = FrameBuffer(5)
    lonely.add_color("c", 1)
    assert lonely.newest(0, timeout=0.2).depth is None
    begun = time.monotonic()
    assert lonely.newest(0, timeout=0.2).depth is None and time.monotonic() - begun < 0.1


@pytest.mark.parametrize("forget", ["jump", "clear"])
def test_the_first_frame_after_a_jump_waits_for_its_depth_as_the_very_first_does(forget):
    buffer = filled([5000], [5000])
    buffer.add_camera_info("k", 1)
    buffer._first_color -= 60.0  # the very first frame was a minute ago
    if forget == "clear":
        buffer.clear()
    buffer.add_color("c0", 0)
    threading.Timer(0.1, lambda: buffer.add_depth("d0", 0)).start()
    pair = buffer.newest(0, timeout=20.0)
    assert (pair.color.message, pair.depth.message) == ("c0", "d0")


def test_a_reader_that_is_not_wanted_any_more_stops_waiting():
    begun = time.monotonic()
    assert FrameBuffer(5).newest(0, timeout=30.0, should_stop=lambda: time.monotonic() - begun > 0.1) is None
    assert time.monotonic() - begun < 5.0


# ---- waiting for a newer frame ----
def test_what_came_between_is_skipped():
    buffer = filled([1000], [1000])
    seen = buffer.newest(0).color
    for stamp in (1033, 1066, 1100):
        buffer.add_color(f"c{stamp}", stamp * MS)
        buffer.add_depth(f"d{stamp}", stamp * MS)
    buffer.add_color("c1133", 1133 * MS)  # its depth is still to come
    pair = buffer.wait_newer(seen, 0, timeout=0.0)
    assert (pair.color.message, pair.depth.message) == ("c1100", "d1100")


def test_nothing_newer_is_none_and_a_seen_frame_never_comes_twice():
    buffer = filled([1000], [1000])
    assert buffer.wait_newer(buffer.newest(0).color, 0, timeout=0.05) is None
    assert buffer.wait_newer(None, 0, timeout=0.0).color.message == "c1000"
    assert FrameBuffer(5).wait_newer(None, 0, timeout=0.0) is None


def test_a_newer_frame_is_waited_for_with_its_depth(monkeypatch):
    monkeypatch.setattr("lisa_ros.node.frame_buffer.PARTNER_SECONDS", 30.0)
    buffer = filled([1000], [1000])
    seen, found = buffer.newest(0).color, []
    thread = threading.Thread(target=lambda: found.append(buffer.wait_newer(seen, 0, timeout=30.0)))
    thread.start()
    buffer.add_color("c1033", 1033 * MS)
    buffer.add_depth("d1033", 1033 * MS)
    thread.join(10.0)
    assert not thread.is_alive() and (found[0].color.message, found[0].depth.message) == ("c1033", "d1033")


def test_without_depth_a_newer_color_does_not_wait_for_it(monkeypatch):
    monkeypatch.setattr("lisa_ros.node.frame_buffer.PARTNER_SECONDS", 30.0)
    buffer = filled([1000, 1033], [])
    begun = time.monotonic()
    pair = buffer.wait_newer(buffer._colors.messages[0], 0, timeout=30.0)
    assert pair.color.message == "c1033" and pair.depth is None and time.monotonic() - begun < 10.0


def test_the_first_newer_frame_after_a_jump_is_waited_for_with_its_depth_too(monkeypatch):
    monkeypatch.setattr("lisa_ros.node.frame_buffer.PARTNER_SECONDS", 30.0)
    buffer = filled([5000], [5000])
    seen = buffer.newest(0).color
    buffer.add_color("c0", 0)
    threading.Timer(0.1, lambda: buffer.add_depth("d0", 0)).start()
    pair = buffer.wait_newer(seen, 0, timeout=30.0)
    assert (pair.color.message, pair.depth.message) == ("c0", "d0")


def test_depth_that_stopped_holds_a_newer_color_up_for_a_moment_only():
    buffer = filled([1000, 1033], [1000])
    pair = buffer.wait_newer(buffer._colors.messages[0], 0, timeout=30.0)
    assert pair.color.message == "c1033" and pair.depth is None and pair.stamp_gap_ns == 33 * MS


@pytest.mark.parametrize("forget", ["jump", "overflow", "clear"])
def test_a_seen_frame_that_is_gone_leaves_only_newer_ones(forget):
    buffer = filled([1000], [])
    seen = buffer.newest(0).color
    if forget == "clear":
        buffer.clear()
        assert buffer.wait_newer(seen, 0, timeout=0.0) is None
    for stamp in [0] if forget == "jump" else range(1033, 1040):
        buffer.add_color(f"c{stamp}", stamp * MS)
    assert buffer.wait_newer(seen, 0, timeout=0.0).color.message == ("c0" if forget == "jump" else "c1039")


def test_a_reader_of_newer_frames_that_is_not_wanted_any_more_stops_waiting():
    buffer, begun = filled([1000], [1000]), time.monotonic()
    stop = lambda: time.monotonic() - begun > 0.1  # noqa: E731
    assert buffer.wait_newer(buffer.newest(0).color, 0, timeout=60.0, should_stop=stop) is None
    assert time.monotonic() - begun < 30.0
