"""The seconds of a result's stages add up to the time it took."""

import time

import pytest

from lisa_ros.node.answering import Stages
from lisa_ros.node.requests import Request


def test_what_finer_figures_leave_open_goes_to_the_stage_before():
    """A GPU encodes on while the queries' own stages are under way."""
    stages = Stages(Request("the mug"))
    stages.begin("encode")
    stages.begin("segment")
    time.sleep(0.05)
    stages.replace([("language", 0.01), ("decode", 0.01)])
    seconds = dict(stages.seconds)
    assert list(seconds) == ["wait", "encode", "language", "decode"]
    assert seconds["encode"] >= 0.03


def test_finer_figures_that_say_more_take_nothing_away():
    stages = Stages(Request("the mug"))
    stages.begin("encode")
    stages.begin("segment")
    before = dict(stages.seconds)["encode"]
    stages.replace([("language", 100.0)])
    assert dict(stages.seconds)["encode"] == pytest.approx(before)
