"""The baseline of `lisa bench` against recordings of the reference code: the same results, by the same work."""

import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from golden import CASES, CHECKPOINT, VISION_TOWER, read_case
from test_engine_golden import assert_same

from lisa_ros.engine import Engine
from lisa_ros.evaluation.reference_way import ReferenceWay
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.preprocessing import patches_read


@functools.cache
def loaded():
    return load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER, device=torch.device("cpu"), dtype=torch.float32)


def way(case) -> ReferenceWay:
    return ReferenceWay(*loaded(), conversation=case.about["conv_type"])


@pytest.mark.parametrize("name", CASES)
def test_generation(name):
    case = read_case(name)
    limit = case.about["runs"]["natural"]["max_new_tokens"]
    answer = way(case).generate(
        case.image, case.about["user_text"], raw=True, max_new_tokens=limit, keep_logits=True
    )
    assert answer.input_ids + answer.output_ids == case.arrays["eval/natural/output_ids"][0].tolist()
    assert_same(answer, case, "eval/natural")


@pytest.mark.parametrize("name", CASES)
def test_teacher_forced(name):
    case = read_case(name)
    text, answer = case.about["user_text"], case.about["answer"]
    given = way(case).teacher_forced(case.image, [text], raw=True, answer=answer, keep_logits=True)[0]
    assert given.input_ids + given.output_ids == case.arrays["tf/input_ids"][0].tolist()
    assert_same(given, case, "tf")


def test_a_batch_of_queries_is_as_one_by_one():
    case = read_case("p0")
    queries = ["the red thing", "What keeps drinks cold? Answer in a few words, please.", case.about["user_text"]]
    together = way(case).teacher_forced(case.image, queries, keep_logits=True)
    for query, answer in zip(queries, together, strict=True):
        alone = way(case).teacher_forced(case.image, [query], keep_logits=True)[0]
        assert alone.input_ids == answer.input_ids
        np.testing.assert_allclose(alone.mask_logits, answer.mask_logits, atol=1e-4)


@pytest.mark.parametrize("size", [(60, 200), (200, 60)])
def test_without_bars_the_engine_reads_fewer_patches_and_says_the_same(size):
    lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER, device=torch.device("cpu"), dtype=torch.float32)
    lisa.config = dataclasses.replace(lisa.config, clip_fit="unpad")
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    engine, reference = Engine(lisa, tokenizer), ReferenceWay(lisa, tokenizer)
    encoded = engine.encode(picture)
    vision = lisa.config.vision
    rows, columns = patches_read(*size, vision.image_size, vision.patch_size, "unpad")
    left_out = vision.patches - (rows.stop - rows.start) * (columns.stop - columns.start)
    assert encoded.prefix.cache.length == engine._prompter.prefix_length - left_out and left_out > vision.patches / 4
    ours = engine.ask(encoded, ["the red thing"], keep_logits=True)[0]
    theirs = reference.teacher_forced(picture, ["the red thing"], keep_logits=True)[0]
    np.testing.assert_allclose(ours.mask_logits, theirs.mask_logits, atol=1e-4)
    said = engine.ask(encoded, ["the red thing"], mode="chat", max_new_tokens=5)[0]
    assert said.output_ids == reference.generate(picture, "the red thing", max_new_tokens=5).output_ids


def test_every_token_looks_at_the_picture_and_reads_the_whole_text_again(monkeypatch):
    case = read_case("p0")
    lisa, tokenizer = loaded()
    seen = SimpleNamespace(looks=0, lengths=[], scored=[])
    look, read, head = lisa.look, lisa.read, lisa.lm_head.forward

    def counted_look(clip):
        seen.looks += 1
        return look(clip)

    def counted_read(embeddings, *cache):
        assert not cache
        seen.lengths.append(embeddings.shape[1])
        return read(embeddings)

    def counted_head(hidden):
        seen.scored.append(hidden.shape[1])
        return head(hidden)

    monkeypatch.setattr(lisa, "look", counted_look)
    monkeypatch.setattr(lisa, "read", counted_read)
    monkeypatch.setattr(lisa.lm_head, "forward", counted_head)
    answer = ReferenceWay(lisa, tokenizer).generate(case.image, case.about["user_text"], raw=True)
    steps, start = len(answer.output_ids), len(answer.input_ids) + lisa.config.vision.patches - 1
    assert steps == case.about["runs"]["natural"]["n_steps"] == seen.looks
    assert seen.lengths == seen.scored == list(range(start, start + steps))
