"""Sentences by use are read in front of an empty picture, and answered by any kind that serves."""

# ruff: noqa: F811 (fixtures come from tiny_written, and tests take them by their names)

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_written import lisa, tokenizer  # noqa: F401

from lisa_ros.training.mini.batch import collate
from lisa_ros.training.mini.objective import Objective
from lisa_ros.training.mini.recipe import Stage
from lisa_ros.training.mini.samples import make_sample
from lisa_ros.training.mini.sentences import TAUGHT_USES, draw_sentences
from scannet_tools.synthetic.export import ExportedFrame
from scannet_tools.synthetic.kinds import USES
from scannet_tools.synthetic.questions import Question, View

PLAIN = Stage("plain", images=1, batch=1, lr=1e-3, sentences=1)


def sample_of(lisa, tokenizer, sentences):
    instance = np.zeros((48, 64), np.uint8)
    instance[10:30, 5:25] = 1
    mug = View(1, "mug", "red", 400, 15.0, 20.0, 1.5, 0, (0.1, 0.1, 0.2))
    asked = [Question("the red mug", "explicit", (1,), "It is the red mug.")]
    frame = ExportedFrame(np.full((48, 64, 3), 90, np.uint8), instance, instance, [mug], asked, "table_top")
    return make_sample(frame, lisa.config, tokenizer, 1, np.random.default_rng(0), sentences=sentences, augment=False)


def test_a_sentence_is_answered_by_a_kind_that_serves_and_by_nothing_else(lisa, tokenizer):
    said = {sentence: set(use.kinds) for use in TAUGHT_USES for sentence in use.said}
    drawn = draw_sentences(300, lisa.config, tokenizer, np.random.default_rng(1))
    assert len(drawn) == 300
    known, kinds = 0, {kind for use in TAUGHT_USES for kind in use.kinds}
    for prompt, answer in drawn:
        asked, named = tokenizer.decode(prompt, skip_special=True), tokenizer.decode(answer, skip_special=True).strip()
        assert named in kinds
        found = [serve for sentence, serve in said.items() if sentence in asked]
        known += bool(found)
        assert not found or any(named in serve for serve in found)
    assert known > 150


def test_uses_that_are_held_out_are_never_said(lisa, tokenizer):
    held_out = [phrase for use in USES if use.held_out for phrase in (*use.unseen, *use.to)]
    unseen = [sentence for use in USES for sentence in use.unseen]
    asked = " | ".join(tokenizer.decode(prompt, skip_special=True) for prompt, _ in draw_sentences(500, lisa.config, tokenizer, np.random.default_rng(2)))
    assert held_out and not [phrase for phrase in (*held_out, *unseen) if phrase in asked]


@torch.no_grad()
def test_what_sentences_cost_is_what_each_costs_in_front_of_an_empty_picture(lisa, tokenizer):
    samples = [sample_of(lisa, tokenizer, 3), sample_of(lisa, tokenizer, 3)]
    batch = collate(samples, tokenizer.seg_id)
    together = Objective(lisa)(batch, PLAIN)["sentences"]
    before, behind = batch.before[0].tolist(), batch.behind[0].tolist()
    costs = []
    for prompt, answer in (pair for sample in samples for pair in sample.sentences):
        ids = torch.tensor([before + behind + prompt[len(before) + 1 + len(behind) :] + answer])
        hidden = lisa.model(lisa.model.embed_tokens(ids[:, :-1]))
        costs.append(-lisa.lm_head(hidden).log_softmax(-1)[0].gather(1, ids[0, 1:, None])[-len(answer) :, 0])
    assert together.item() == pytest.approx(torch.cat(costs).mean().item(), abs=1e-5)


def test_sentences_are_weighed_and_change_nothing_else(lisa, tokenizer):
    batch = collate([sample_of(lisa, tokenizer, 2)], tokenizer.seg_id)
    objective = Objective(lisa)
    without = objective(batch, replace(PLAIN, sentences=0))
    with_them = objective(batch, replace(PLAIN, sentences_weight=0.5))
    assert "sentences" not in without and with_them["ce"] == without["ce"]
    assert with_them["loss"].item() == pytest.approx((without["loss"] + 0.5 * with_them["sentences"]).item(), rel=1e-5)


def test_parts_without_a_language_model_read_no_sentences():
    with pytest.raises(TypeError, match="sentences must be 0"):
        replace(PLAIN, part="words", questions=0)
