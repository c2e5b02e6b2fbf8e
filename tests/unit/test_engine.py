"""The engine's behaviour: refusals, cancelling, bad input."""

import numpy as np
import pytest
from golden import CHECKPOINT, VISION_TOWER, read_case

from lisa_ros.engine import Cancelled, CheckpointError, Engine, resolve_model


@pytest.fixture(scope="module")
def engine():
    return Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def encoded(engine):
    return engine.encode(read_case("p0").image)


def test_mask_mode_refuses_below_the_threshold(engine, encoded):
    asked = engine.ask(encoded, ["something"])[0]
    assert len(asked.masks) == 1 and asked.answer == "[SEG]."
    before = engine.min_target_probability
    try:
        engine.min_target_probability = min(1.0, asked.target_probability * 1.01)
        refused = engine.ask(encoded, ["something"])[0]
    finally:
        engine.min_target_probability = before
    assert refused.masks.shape == (0, 480, 640)
    assert refused.answer == "" and refused.output_ids == []
    assert refused.target_probability == pytest.approx(asked.target_probability)


def test_chat_mode_says_seg_only_above_the_threshold(engine, encoded, monkeypatch):
    said = engine.ask(encoded, ["something"], mode="chat", max_new_tokens=8)[0]
    assert len(said.masks) == 1
    monkeypatch.setattr(engine, "min_target_probability", said.target_probability * 0.99)
    assert engine.ask(encoded, ["something"], mode="chat", max_new_tokens=8)[0].output_ids == said.output_ids
    monkeypatch.setattr(engine, "min_target_probability", 1.0)
    refused = engine.ask(encoded, ["something"], mode="chat", max_new_tokens=8)[0]
    assert len(refused.masks) == 0 and "[SEG]" not in refused.answer
    assert set(said.output_ids) - set(refused.output_ids)


def test_no_query_no_answer(engine, encoded):
    assert engine.ask(encoded, []) == []


def test_cancel_stops_a_chat(engine, encoded):
    calls = []

    def stop():
        calls.append(1)
        return len(calls) > 2

    with pytest.raises(Cancelled):
        engine.ask(encoded, ["something"], mode="chat", should_stop=stop)


def test_the_answer_is_streamed_as_it_grows(engine, encoded):
    case = read_case("p0")
    heard = []
    queries = [case.about["user_text"], "something else"]
    said = engine.ask(
        encoded, queries, mode="chat", raw=True, max_new_tokens=8, on_text=lambda *growth: heard.append(growth)
    )
    for number, segmentation in enumerate(said):
        texts = [text for heard_number, text in heard if heard_number == number]
        assert len(texts) > 1 and texts[-1] == segmentation.answer
        assert len(texts) == len(set(texts)) <= len(segmentation.output_ids)


def test_stages_are_timed(engine, encoded):
    asked = engine.ask(encoded, ["something"])[0]
    assert {"language", "decode", "upscale"} <= set(asked.seconds)
    assert {"preprocess", "clip", "sam", "prefix"} <= set(encoded.seconds)


def test_a_longer_query_than_the_context_is_refused(engine, encoded):
    limit = engine._lisa.config.language.max_position_embeddings
    with pytest.raises(ValueError, match=f"the model reads {limit}: shorten the query"):
        engine.ask(encoded, ["word " * limit])
    assert len(engine.ask(encoded, ["word " * 500])[0].masks) == 1
    with pytest.raises(ValueError, match="max_new_tokens"):
        engine.ask(encoded, ["word"], mode="chat", max_new_tokens=limit)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_anything_but_an_rgb_picture_is_refused(engine, image):
    with pytest.raises(ValueError, match="RGB"):
        engine.encode(image)


def test_one_pixel_is_a_picture(engine):
    asked = engine.ask(engine.encode(np.full((1, 1, 3), 128, np.uint8)), ["it"])[0]
    assert asked.masks.shape == (1, 1, 1)


def test_unknown_mode_device_dtype_conversation(engine, encoded):
    with pytest.raises(ValueError, match="mode"):
        engine.ask(encoded, ["x"], mode="quick")
    with pytest.raises(ValueError, match="max_new_tokens"):
        engine.ask(encoded, ["x"], mode="chat", max_new_tokens=0)
    for option in ("quantization", "clip_fit"):
        with pytest.raises(ValueError, match=option):
            Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, **{option: "most"})
    with pytest.raises(ValueError, match="dtype"):
        Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, dtype="int3")
    with pytest.raises(ValueError, match="device"):
        Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, device="abacus")
    with pytest.raises(ValueError, match="conversation"):
        Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, conversation="smalltalk")


def test_no_such_model_says_what_to_give(tmp_path):
    with pytest.raises(CheckpointError, match="checkpoint directory or a hub id"):
        resolve_model(tmp_path / "nothing")
