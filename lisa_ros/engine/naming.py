"""Mask mode of a model that names things (``Conversation.naming``): it says what it means, and [SEG] is where the name ends.

A published LISA is forced to say "[SEG]." and nothing else. Here the mask comes from a state that has read the thing's name, so the model writes
names itself; forced is only that it goes on to [SEG] where it would deny. How near it was to denying is in target_probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lisa_ros.engine.clock import StageClock
from lisa_ros.engine.prompting import Prompt
from lisa_ros.engine.reading import Prefix, Reader, Readings
from lisa_ros.engine.upload import upload
from lisa_ros.model.tokenizer import LisaTokenizer

NAMES_ROOM = 32
"""Tokens that the names of one answer may take; a name still open by then ends there."""


class Grammar:
    """Names as token ids: "mug in red[SEG] and the book in blue[SEG]". A name that is followed by a full stop is denied.

    What mostly comes next is guessed, and read together with the token before it: one pass instead of two where the guess is right, and
    nothing else changes where it is wrong.
    """

    def __init__(self, tokenizer: LisaTokenizer) -> None:
        (self.in_,), (self.and_,), (self.the,) = (tokenizer.encode_word(word)[:1] for word in ("in", "and", "the"))
        self.seg = tokenizer.seg_id
        self.denials = [tokenizer.encode("a.", add_bos=False)[-1], tokenizer.eos_id]

    def guess(self, ids: list[int]) -> int:
        """What may follow an answer that begins with ``ids``."""
        if ids[-1] == self.and_:
            return self.the
        return self.seg if ids[-2:-1] == [self.in_] else self.in_

    def verdicts(self, scores: Tensor) -> list[list[float]]:
        """Of scores [n,vocabulary]: the likeliest token that is no denial, and the probabilities of [SEG], of denial, and of a further name."""
        shares = scores.float().softmax(-1)
        scores = scores.index_fill(1, torch.tensor(self.denials, device=scores.device), float("-inf"))
        parts = [scores.argmax(1), shares[:, self.seg], shares[:, self.denials].sum(1), shares[:, self.and_]]
        return torch.stack([part.double() for part in parts], 1).tolist()


@dataclass
class _Names:
    """One query's answer so far. states: numbers of the states that its [SEG] take their masks from."""

    grammar: Grammar
    ids: list[int] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    probability: float = 1.0
    ended: bool = False

    def take(self, verdict: list[float], state: int) -> None:
        """Go on by one token, chosen from the state of this number."""
        token, seg, denial, further = int(verdict[0]), *verdict[1:]
        full = len(self.ids) >= NAMES_ROOM
        if self.ids[-1:] == [self.grammar.seg]:
            self.ended = full or further <= 0.5
            if self.ended:
                return
            token = self.grammar.and_
        elif full:
            token = self.grammar.seg
        if not self.states:
            self.probability *= seg if token == self.grammar.seg else 1.0 - denial
        if token == self.grammar.seg:
            self.states.append(state)
        self.ids.append(token)


def name(
    reader: Reader, grammar: Grammar, prefix: Prefix, prompts: list[Prompt], clock: StageClock, check_stop: Callable[[], None]
) -> Readings:
    """Let the model name what the prompts ask for.

    Raises:
        Whatever ``check_stop`` raises, which is called before every pass.
    """
    with clock.stage("language"):
        states, cache = reader.question(prefix, [prompt.own for prompt in prompts], room=NAMES_ROOM + 2)
    with clock.stage("generate"):
        lengths = [len(prompt.own) for prompt in prompts] + [1] * (states.batch - len(prompts))
        written = [states.take([states.before(row, length) for row, length in enumerate(lengths)])]
        answers = [_Names(grammar) for _ in prompts]
        for row, (answer, verdict) in enumerate(zip(answers, grammar.verdicts(reader.scores(written[0])))):
            answer.take(verdict, states.before_written(row, 0))
        while not all(answer.ended for answer in answers):
            check_stop()
            pairs = [[answer.ids[-1], grammar.guess(answer.ids)] for answer in answers] + [[0, 0]] * (states.batch - len(prompts))
            begins = [length + max(0, len(answer.ids) - 1) for length, answer in zip(lengths, answers)] + lengths[len(prompts) :]
            positions = prefix.cache.length + upload(torch.tensor(begins)[:, None] + torch.arange(2), reader.device)
            hidden = reader.tokens(upload(torch.tensor(pairs), reader.device), positions, cache)
            verdicts = grammar.verdicts(reader.scores(hidden.flatten(0, 1)))
            for row, answer in enumerate(answers):
                for place in range(2):
                    if not answer.ended and (place == 0 or answer.ids[-1] == pairs[row][1]):
                        answer.take(verdicts[2 * row + place], states.before_written(row, len(written) + place))
            written += hidden.unbind(1)
    states.add_written(torch.stack(written))
    return Readings(
        output_ids=[answer.ids for answer in answers],
        hidden=states.take([number for answer in answers for number in answer.states]),
        counts=[len(answer.states) for answer in answers],
        probability=torch.tensor([answer.probability for answer in answers]),
    )
