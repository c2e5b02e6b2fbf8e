"""Sentences by use, read in front of an empty picture: which kinds serve is a question to language alone.

A question about a picture costs the reading of the picture, and asks for uses of what it happens to show. A sentence costs its own
twenty-five tokens, and any use may be meant.
"""

from __future__ import annotations

import numpy as np

from lisa_ros.model.config import LisaConfig
from lisa_ros.model.prompt import CONVERSATIONS, user_turn
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training.mini.answers import write_answer
from scannet_tools.synthetic.kinds import USES
from scannet_tools.synthetic.questions import Question, use_sentence
from scannet_tools.synthetic.wordings import USUAL

TAUGHT_USES = tuple(use for use in USES if not use.held_out)


def draw_sentences(
    count: int, config: LisaConfig, tokenizer: LisaTokenizer, rng: np.random.Generator
) -> list[tuple[list[int], list[int]]]:
    """(ids of the prompt, ids of the answer) of ``count`` sentences in training's wordings, every use as often. An answer is the name
    of one kind that serves, each as often, and ends there: whether it is in the picture is not asked where there is none."""
    drawn = []
    for number in rng.integers(len(TAUGHT_USES), size=count):
        use = TAUGHT_USES[number]
        question = Question(use_sentence(use, USUAL, rng), "use", (), use.absent, use.kinds)
        turn = user_turn(question.text, config.query_template)
        answer = write_answer(question, [], turn, CONVERSATIONS[config.conversation], tokenizer, rng)
        last, _ = answer.decisions[-1]
        drawn.append((answer.prompt, answer.ids[: last + 1]))
    return drawn
