"""The engine against the reference code on a checkpoint in the published format: same ids, embeddings, logits and
masks."""

import functools

import numpy as np
import pytest
import torch
from golden import CASES, CHECKPOINT, GOLDEN, VISION_TOWER, embedded, read_case

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
    np.testing.assert_allclose(
        segmentation.mask_logits[:, ::16, ::16], arrays[f"{prefix}/pred_masks_every16"], atol=1e-3
    )
    differs = segmentation.masks != case.masks(f"{prefix}/pred_masks_bits")
    assert not (differs & (np.abs(segmentation.mask_logits) >= 1e-3)).any()


@pytest.mark.parametrize("name", CASES)
def test_forced_answer_as_the_reference_evaluates(name):
    case, one, encoded = asked(name)
    segmentation = one.ask(encoded, [case.about["user_text"]], raw=True, answer=case.about["answer"], keep_logits=True)[
        0
    ]
    assert segmentation.input_ids + segmentation.output_ids == case.arrays["tf/input_ids"][0].tolist()
    assert_same(segmentation, case, "tf")


@pytest.mark.parametrize("name", CASES)
def test_generation_as_the_reference_generates(name):
    case, one, encoded = asked(name)
    limit = case.about["runs"]["natural"]["max_new_tokens"]
    segmentation = one.ask(
        encoded, [case.about["user_text"]], mode="chat", raw=True, keep_logits=True, max_new_tokens=limit
    )[0]
    assert segmentation.input_ids + segmentation.output_ids == case.arrays["eval/natural/output_ids"][0].tolist()
    assert_same(segmentation, case, "eval/natural")


FORCED = ("forced_two_seg", "forced_seg_last", "forced_seg_first", "forced_no_seg")


@pytest.mark.parametrize("run", FORCED)
def test_generation_that_is_made_to_say_something_else(run, monkeypatch):
    """The reference with its choice of tokens overridden: two [SEG], [SEG] last and first, none."""
    case, one, encoded = asked("p0")
    about = case.about["runs"][run]
    tokens = iter(about["forced"])
    monkeypatch.setattr(one._reader, "choose", lambda states, minimum: torch.tensor([next(tokens)]))
    segmentation = one.ask(
        encoded,
        [case.about["user_text"]],
        mode="chat",
        raw=True,
        keep_logits=True,
        max_new_tokens=about["max_new_tokens"],
    )[0]
    assert segmentation.input_ids + segmentation.output_ids == case.arrays[f"eval/{run}/output_ids"][0].tolist()
    assert_same(segmentation, case, f"eval/{run}")


@pytest.mark.parametrize("name", CASES)
def test_the_state_that_every_token_is_chosen_from(name):
    """Recorded logits of every step of the reference, which re-reads the whole text each time: cached = uncached."""
    case, one, encoded = asked(name)
    seen = []
    choose = one._reader.choose
    one._reader.choose = lambda states, minimum: seen.append(states) or choose(states, minimum)
    try:
        limit = case.about["runs"]["natural"]["max_new_tokens"]
        one.ask(encoded, [case.about["user_text"]], mode="chat", raw=True, max_new_tokens=limit)
    finally:
        del one._reader.choose
    recorded = case.arrays["eval/natural/step_logits"]
    assert len(seen) == len(recorded)
    with torch.inference_mode():
        logits = one._lisa.lm_head(torch.cat(seen)).numpy()
    np.testing.assert_allclose(logits, recorded, atol=1e-3)


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


def test_several_chats_in_one_batch_are_as_one_by_one():
    case, one, encoded = asked("p0")
    queries = [read_case(name).about["user_text"] for name in ("p0", "p2", "p4", "p6")]
    options = {"mode": "chat", "raw": True, "keep_logits": True, "max_new_tokens": 12}
    together = one.ask(encoded, queries, **options)
    assert len({len(segmentation.output_ids) for segmentation in together}) > 1  # they end at different times
    for query, segmentation in zip(queries, together):
        alone = one.ask(encoded, [query], **options)[0]
        assert alone.output_ids == segmentation.output_ids and alone.answer == segmentation.answer
        assert alone.target_probability == pytest.approx(segmentation.target_probability, abs=1e-6)
        np.testing.assert_allclose(alone.seg_embeddings, segmentation.seg_embeddings, atol=1e-4)
        np.testing.assert_allclose(alone.mask_logits, segmentation.mask_logits, atol=1e-4)


def test_a_seg_at_the_very_beginning_of_the_query():
    """The state before it is the last one of the frame's prefix."""
    case, one, encoded = asked("p0")
    asked_for = one.ask(encoded, ["[SEG] thing"], mode="chat", raw=True, keep_logits=True, max_new_tokens=1)[0]
    with torch.inference_mode():
        expected = one._lisa.mask_prompt(encoded.prefix.last).numpy()
    np.testing.assert_allclose(asked_for.seg_embeddings[:1], expected, atol=1e-6)


def test_a_conversation_of_several_turns_reads_as_one_text():
    """The second turn's states are those of the whole text read at once; the first turn's [SEG] makes no instance
    again."""
    case, one, encoded = asked("p0")
    first, second = case.about["user_text"], "And the red thing?"
    answer = "Sure, [SEG] ."
    later = one.ask(encoded, [second], raw=True, history=[(first, answer)], keep_logits=True)[0]
    text = case.about["tf_prompt"] + f"USER: {second} ASSISTANT:"
    assert later.input_ids == one._tokenizer.encode_prompt(text)
    assert len(later.masks) == 1
    with torch.inference_mode(), np.load(GOLDEN / f"image_{case.about['image']}.npz") as image:
        patches = one._lisa.look(torch.from_numpy(image["clip_pixel_values"])[None])
        hidden = one._lisa.read(embedded(one._lisa, torch.tensor([later.input_ids]), patches))
        expected = one._lisa.mask_prompt(hidden[:, -1]).numpy()
    np.testing.assert_allclose(later.seg_embeddings, expected, atol=1e-4)
    chat = one.ask(encoded, [second], mode="chat", raw=True, history=[(first, answer)], max_new_tokens=4)[0]
    assert len(chat.masks) == chat.output_ids.count(one._tokenizer.seg_id)
