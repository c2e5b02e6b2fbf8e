"""What lisa-mini is taught to answer: the name of each thing, kind first, then [SEG] or, if it is not there, a full stop.

    You mean the mug in red[SEG], left of the bowl.
    You mean the mug in red[SEG] and the book in blue[SEG].
    You mean the mug. There is no mug here.

A name is the model's own note of what it looks for. Behind it stands the state that finds the mask, and the one that decides
whether there is one: that state holds kind and colour as words just read, and needs to look for one thing only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lisa_ros.model.prompt import Conversation
from lisa_ros.model.tokenizer import SEG, LisaTokenizer
from scannet_tools.synthetic.questions import Question, View


@dataclass(frozen=True)
class Answer:
    """An answer as token ids.

    Attributes:
        prompt: what it follows. ids: to the end. decided: how many of them until it is said what is meant and whether it is there.
        decisions: (token, number of the target, -1 for what is absent): last tokens of names. What follows says whether the thing is there.
    """

    prompt: list[int]
    ids: list[int]
    decided: int
    decisions: list[tuple[int, int]]


def write_answer(
    question: Question, targets: Sequence[View], turn: str, conversation: Conversation, tokenizer: LisaTokenizer, rng: np.random.Generator
) -> Answer:
    """The answer to a question asked as the user's ``turn``. What an absent thing is called is drawn from ``question.missing``.

    Raises:
        ValueError: the tokenizer cuts a sentence otherwise than its words.
    """
    text, ends = "", []
    if targets:
        for number, view in enumerate(targets):
            text += (" and the " if number else "") + view.kind
            ends.append((len(text), number))
            text += f" in {view.color}"
            ends.append((len(text), number))
            text += SEG
        said, text = len(text), text + _reason(question, targets)
    else:
        text = str(rng.choice(question.missing))
        ends = [(end, -1) for end in sorted({len(text.partition(" in ")[0]), len(text)})]
        said, text = len(text), f"{text}. {question.answer}"
    whole = conversation.render([(turn, text)])
    ids, begin = tokenizer.encode_prompt(whole), whole.rindex(text)
    prompt = tokenizer.encode_prompt(conversation.render([(turn, None)]))

    def tokens(end: int) -> int:
        """How many tokens of the answer its first ``end`` letters are."""
        part = tokenizer.encode_prompt(whole[: begin + end])
        if part != ids[: len(part)]:
            raise ValueError(f'the tokenizer cuts "{text[:end]}" otherwise when "{text[end:]}" follows')
        return len(part) - len(prompt)

    return Answer(prompt, ids[len(prompt) :], tokens(said) + 1, [(tokens(end) - 1, target) for end, target in ends])


def _reason(question: Question, targets: Sequence[View]) -> str:
    """What stands behind the name of a single target, to the end of the sentence."""
    start = f"It is {targets[0].name}"
    return question.answer[len(start) :] if len(targets) == 1 and question.answer.startswith(start) else "."
