"""Pairing, bounds and time jumps of the frame buffer."""

from __future__ import annotations

import threading
import time

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
    assert len(buffer._colors) == len(buffer._depths) == 3


def test_time_that_jumps_back_forgets_what_came_before():
    buffer = filled([10_000, 10_033], [10_000, 10_033])
    buffer.add_color("again", 0)
    pair = buffer.newest(20 * MS)
    assert pair.color.message == "again" and pair.depth is None
    buffer.add_depth("again too", 1 * MS)
    assert buffer.newest(20 * MS).depth.message == "again too"


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


def test_a_reader_that_is_not_wanted_any_more_stops_waiting():
    begun = time.monotonic()
    assert FrameBuffer(5).newest(0, timeout=30.0, should_stop=lambda: time.monotonic() - begun > 0.1) is None
    assert time.monotonic() - begun < 5.0
