"""Compiled stages: the same answers, few shapes, and plain running with one warning where compiling fails."""

import logging

import numpy as np
import pytest
import torch
from golden import CHECKPOINT, VISION_TOWER, read_case

from lisa_ros.engine import Engine, acceleration
from lisa_ros.engine.acceleration import Stage, bucket


def test_buckets():
    assert [bucket(n, 16) for n in (1, 16, 17, 32)] == [16, 16, 32, 32]


def test_a_stage_that_cannot_be_compiled_warns_once_and_runs_plainly(caplog):
    def stubborn(x):
        if float(x.sum()) > 0:  # data-dependent: no graph can hold it
            return x + 1
        return x - 1

    stage = Stage("a stubborn stage", stubborn, True, torch.device("cpu"))
    with caplog.at_level(logging.WARNING):
        for value in (1.0, -1.0, 2.0):
            x = torch.tensor([value])
            assert torch.equal(stage(x), stubborn(x))
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["a stubborn stage runs without compilation"]


def test_compiled_stages_answer_as_plain_ones(monkeypatch):
    """Every stage is one graph without breaks. Code generation, minutes of it, is left to `lisa bench --compile`."""
    monkeypatch.setattr(acceleration, "BACKEND", "aot_eager")
    case = read_case("p4")
    plain, compiled = (
        Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, device="cpu", dtype="float32", compile=compile)
        for compile in (False, True)
    )
    queries = [case.about["user_text"], "another thing, far longer than the first one, so that they differ", "x"]
    for mode in ("mask", "chat"):
        answers = [
            engine.ask(engine.encode(case.image), queries, mode=mode, raw=True, keep_logits=True, max_new_tokens=6)
            for engine in (plain, compiled)
        ]
        for expected, got in zip(*answers):
            assert got.output_ids == expected.output_ids
            assert got.target_probability == pytest.approx(expected.target_probability, abs=1e-5)
            np.testing.assert_allclose(got.mask_logits, expected.mask_logits, atol=1e-3)
    stages = (
        compiled._look,
        compiled._see,
        *(vars(compiled._reader)[n] for n in ("_prefix", "_read", "_step", "_choice")),
    )
    assert all(stage._enabled for stage in stages), "a stage fell back to running plainly"
