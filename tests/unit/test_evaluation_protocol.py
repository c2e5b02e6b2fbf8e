"""What an evaluation asks, word for word as the published code, and which pixels count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lisa_ros.evaluation.metrics import Overlap, overlap
from lisa_ros.evaluation.protocol import check_choices, question, truth
from lisa_ros.model.prompt import CONVERSATIONS, PICTURE
from lisa_ros.model.tokenizer import LisaTokenizer

GOLDEN = Path(__file__).parents[1] / "golden"


def test_questions_are_those_of_the_published_validation():
    assert question("the lid ", sentence=False) == "What is the lid in this image? Please output segmentation mask."
    assert question(" What keeps it cold?", sentence=True) == "What keeps it cold? Please output segmentation mask."


@pytest.mark.parametrize("conversation", sorted(CONVERSATIONS))
def test_the_space_that_the_published_code_has_more_is_no_token(conversation):
    tokenizer = LisaTokenizer.from_directory(GOLDEN / "ckpt")
    render = CONVERSATIONS[conversation].render
    asked = question("the lid", sentence=False)
    ids = [tokenizer.encode_prompt(render([(f"{PICTURE}\n{space}{asked}", None)])) for space in ("", " ")]
    assert ids[0] == ids[1] and len(ids[0]) > 20


def test_the_plain_protocol_takes_ignored_pixels_for_background():
    target = np.array([[1, 1, 0, 255, 255]], np.uint8)
    mask = np.array([[1, 0, 0, 1, 0]], bool)
    assert overlap(mask, truth(target, "lisa")) == Overlap(1, 2)
    assert overlap(mask, truth(target, "plain")) == Overlap(1, 3)
    assert target.tolist() == [[1, 1, 0, 255, 255]]


@pytest.mark.parametrize("wrong", ["mode", "protocol", "wording"])
def test_unknown_choices_are_named(wrong):
    with pytest.raises(ValueError, match=f'{wrong} is "loud"; choose from'):
        check_choices(**{"mode": "mask", "protocol": "lisa", "wording": "lisa", wrong: "loud"})
