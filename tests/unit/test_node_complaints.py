"""From what is seen on the network to the sentence that names the cause; and the figures of traffic that it rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lisa_ros.node import traffic
from lisa_ros.node.complaints import Listening, Offer, Situation, complaints
from lisa_ros.node.traffic import Pairing, Traffic, pairing

IMAGE, COMPRESSED, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
WELL = Situation(
    color=Listening("/color/image_raw", IMAGE, count=90, silence=0.03, age=0.05),
    depth=Listening("/depth/image_raw", IMAGE, count=90, silence=0.03, age=0.05),
    camera_info=Listening("/color/camera_info", INFO, count=90, silence=0.03, age=0.05),
    pairing=Pairing(90, 90),
    input_timeout=3.0,
    sync_tolerance=0.02,
    buffer_size=5,
)
DRIVER = Offer("/camera/driver", IMAGE)


def silent(**changes):
    """What is said of a colour topic that never brought anything."""
    color = replace(WELL.color, count=0, silence=4.0, age=None, **changes)
    said = complaints(replace(WELL, color=color))
    assert list(said) == ["/color/image_raw"]
    return said["/color/image_raw"]


def test_no_complaint_when_all_is_well():
    assert complaints(WELL) == {}
    assert complaints(replace(WELL, pairing=Pairing(90, 1, 0.5))) == {}


def test_nobody_publishes():
    assert silent() == "no message on /color/image_raw since the node was activated: nobody publishes it"
    assert silent(similar=["/a", "/b"]).endswith("nobody publishes it; did you mean to remap from /a or /b?")
    assert silent(similar=["/a"], switch=("color_transport", "compressed")).endswith("set color_transport to compressed")


def test_a_topic_that_stopped():
    depth = replace(WELL.depth, silence=12.34)
    (said,) = complaints(replace(WELL, depth=depth)).values()
    assert said == "no message on /depth/image_raw for 12.3 s: nobody publishes it any more"
    (said,) = complaints(replace(WELL, depth=replace(depth, offers=[DRIVER]))).values()
    assert said == "no message on /depth/image_raw for 12.3 s: /camera/driver publishes it, but nothing comes"


def test_every_silent_topic_is_named():
    quiet = {name: replace(getattr(WELL, name), silence=4.0) for name in ("color", "depth", "camera_info")}
    assert list(complaints(replace(WELL, **quiet, pairing=Pairing(0, 0)))) == [one.topic for one in quiet.values()]


def test_misfit_of_qos_is_named_with_its_cure():
    said = silent(reliable=True, offers=[replace(DRIVER, reliable=False)])
    assert "/camera/driver offers reliability best_effort, this node asks for reliable" in said
    assert "set qos_overrides./color/image_raw.subscription.reliability to best_effort" in said
    said = silent(durable=True, offers=[DRIVER])
    assert "offers durability volatile" in said and "qos_overrides./color/image_raw.subscription.durability" in said
    assert "nothing comes" in silent(reliable=True, durable=True, offers=[replace(DRIVER, durable=True)])


def test_one_publisher_that_fits_makes_the_others_no_excuse():
    said = silent(reliable=True, offers=[replace(DRIVER, reliable=False), Offer("/other", IMAGE)])
    assert "qos" not in said and "/camera/driver, /other publishes it, but nothing comes" in said


def test_another_type_is_named():
    said = silent(offers=[Offer("/camera/driver", COMPRESSED)])
    assert said.endswith("/camera/driver publishes sensor_msgs/msg/CompressedImage there, not sensor_msgs/msg/Image")


@pytest.mark.parametrize("gap, where", [(-0.98, "0.98 s behind"), (1.5, "1.5 s ahead of")])
def test_stamps_that_never_meet_are_told_with_their_gap(gap, where):
    unpaired = replace(WELL, pairing=Pairing(90, 0, gap))
    (topic, said), = complaints(unpaired).items()
    assert topic == "/depth/image_raw"
    assert f"/depth/image_raw is {where} colour; sync_tolerance is 0.02 s" in said and "buffer_size (5 images)" in said
    assert list(complaints(replace(unpaired, color=replace(WELL.color, silence=4.0)))) == ["/color/image_raw"]
    assert complaints(replace(WELL, pairing=Pairing(2, 0, gap))) == {}


def test_clocks_that_differ():
    old = replace(WELL.color, age=1e6)
    assert "older than this node's clock: with a bag or a simulation set use_sim_time" in complaints(
        replace(WELL, color=old)
    )["/color/image_raw"]
    newer = replace(WELL, color=replace(old, age=-10.0), use_sim_time=True)
    assert "10 s newer than this node's clock: use_sim_time is true here" in complaints(newer)["/color/image_raw"]
    assert "nobody publishes /clock" in complaints(replace(newer, clock_runs=False))["/color/image_raw"]
    assert complaints(replace(WELL, color=replace(old, age=4.9))) == {}


# ---- traffic ----
class Clock:
    """time.monotonic of the module under test, moved by hand."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(traffic.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def play(clock, seconds=8.0, rate=30.0, shift=0.0, late=0.0, depth_rate=None):
    """A camera whose depth stamps are `shift` seconds off, and whose depth messages come `late`."""
    colors, depths = Traffic(clock.now), Traffic(clock.now)
    depth_rate = depth_rate or rate
    events = [(n / rate, colors, n / rate) for n in range(int(seconds * rate))]
    events += [(n / depth_rate + late, depths, n / depth_rate + shift) for n in range(int(seconds * depth_rate))]
    begin = clock.now
    for at, topic, stamp in sorted(events, key=lambda event: event[0]):
        if at <= seconds:
            clock.now = begin + at
            topic.note(round((50 + stamp) * 1e9))
    clock.now = begin + seconds
    return colors, depths


MS = 1_000_000


def test_rate_silence_and_count(clock):
    colors, depths = play(clock, rate=30.0, depth_rate=6.0)
    assert colors.count == 240 and colors.rate(clock.now) == pytest.approx(30, abs=0.5)
    assert depths.rate(clock.now) == pytest.approx(6, abs=0.5)
    assert colors.silence(clock.now + 2) == pytest.approx(2, abs=0.1)
    assert colors.rate(clock.now + 2.5) == pytest.approx(15, abs=0.5) and colors.rate(clock.now + 6) == 0
    fresh = Traffic(clock.now)
    assert fresh.rate(clock.now) == 0 and fresh.silence(clock.now + 3) == 3
    fresh.note(0)
    assert fresh.rate(clock.now) == 1


def test_all_of_a_good_camera_is_paired(clock):
    good = pairing(*play(clock), 20 * MS, 5, clock.now)
    assert good.colors == good.paired > 100 and good.gap is None


def test_slow_depth_pairs_some(clock):
    some = pairing(*play(clock, depth_rate=5.0), 10 * MS, 5, clock.now)
    assert some.paired / some.colors == pytest.approx(1 / 6, abs=0.03)


@pytest.mark.parametrize("shift", [-1.0, 0.4, 1.0])
def test_shifted_stamps_are_measured(clock, shift):
    none = pairing(*play(clock, shift=shift), 20 * MS, 5, clock.now)
    assert none.paired == 0
    assert none.gap == pytest.approx(shift, abs=1 / 30 + 0.001)


def test_depth_that_comes_after_its_colour_image_has_gone_is_not_paired(clock):
    late = play(clock, late=0.4)
    assert pairing(*late, 20 * MS, 5, clock.now).paired == 0
    assert pairing(*late, 20 * MS, 5, clock.now).gap == pytest.approx(-0.4, abs=1 / 30 + 0.001)
    patient = pairing(*late, 20 * MS, 15, clock.now)
    assert patient.paired > 0.9 * patient.colors


def test_without_depth_there_is_no_gap(clock):
    colors, _ = play(clock)
    none = pairing(colors, Traffic(clock.now), 20 * MS, 5, clock.now)
    assert none.colors > 100 and none.paired == 0 and none.gap is None
    assert pairing(Traffic(clock.now), colors, 20 * MS, 5, clock.now) == Pairing(0, 0, None)
