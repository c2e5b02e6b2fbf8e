"""The engine against the reference code on a checkpoint in the published format: same ids, embeddings, logits and masks."""

import functools

import numpy as np
import pytest
from golden import CASES, CHECKPOINT, VISION_TOWER, read_case

from lisa_ros.engine import Engine


@functools.cache
def engine(conversation: str) -> Engine:
    return Engine.load(CHECKPOINT, vision_tower=VISION_TOWER, conversation=conversation, device="cpu", dtype="float32")


@functools.cache
def asked(name: str):
    case = read_case(name)
    one = engine(case.about["conv_type"])
    return case, one, one.encode(case.image)


def assert_same(segmentation, case, prefix: str) -> None:
    arrays = case.arrays
    count = len(arrays[f"{prefix}/seg_embeddings"])
    assert segmentation.seg_embeddings.shape == (count, 256)
    assert len(segmentation.masks) == count
    if count == 0:
        return
    np.testing.assert_allclose(segmentation.seg_embeddings, arrays[f"{prefix}/seg_embeddings"], atol=1e-4)
    np.testing.assert_allclose(segmentation.low_res_logits, arrays[f"{prefix}/low_res"][:, 0], atol=1e-3)
    np.testing.assert_allclose(segmentation.mask_logits[:, ::16, ::16], arrays[f"{prefix}/pred_masks_every16"], atol=1e-3)
    differs = segmentation.masks != case.masks(f"{prefix}/pred_masks_bits")
    assert not (differs & (np.abs(segmentation.mask_logits) >= 1e-3)).any()


@pytest.mark.parametrize("name", CASES)
def test_forced_answer_as_the_reference_evaluates(name):
    case, one, encoded = asked(name)
    segmentation = one.ask(encoded, [case.about["user_text"]], raw=True, answer=case.about["answer"], keep_logits=True)[0]
    assert segmentation.input_ids + segmentation.output_ids == case.arrays["tf/input_ids"][0].tolist()
    assert_same(segmentation, case, "tf")


@pytest.mark.parametrize("name", CASES)
def test_generation_as_the_reference_generates(name):
    case, one, encoded = asked(name)
    limit = case.about["runs"]["natural"]["max_new_tokens"]
    segmentation = one.ask(encoded, [case.about["user_text"]], mode="chat", raw=True, keep_logits=True, max_new_tokens=limit)[0]
    assert segmentation.input_ids + segmentation.output_ids == case.arrays["eval/natural/output_ids"][0].tolist()
    assert_same(segmentation, case, "eval/natural")


def test_several_queries_in_one_batch_are_as_one_by_one():
    case, one, encoded = asked("p0")
    queries = ["the red thing", "What keeps drinks cold? Answer in a few words, please.", "x"]
    together = one.ask(encoded, queries, keep_logits=True)
    for query, segmentation in zip(queries, together):
        alone = one.ask(encoded, [query], keep_logits=True)[0]
        assert alone.query == segmentation.query == query
        assert alone.input_ids == segmentation.input_ids
        assert alone.target_probability == pytest.approx(segmentation.target_probability, abs=1e-6)
        np.testing.assert_allclose(alone.seg_embeddings, segmentation.seg_embeddings, atol=1e-4)
        np.testing.assert_allclose(alone.mask_logits, segmentation.mask_logits, atol=1e-4)


def test_a_frame_answers_the_second_query_as_the_first():
    """Asking must not grow or change the frame's own cache."""
    case, one, encoded = asked("p0")
    first, *_, last = (one.ask(encoded, [case.about["user_text"]], keep_logits=True)[0] for _ in range(3))
    np.testing.assert_array_equal(first.mask_logits, last.mask_logits)
