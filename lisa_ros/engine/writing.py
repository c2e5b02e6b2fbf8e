"""Chat mode: greedy answers of a batch of queries, token by token.

Tokens are chosen on the device. The host follows to stream the text and to see the end; on CUDA it follows one token
behind, so that the GPU never waits for Python (at the price of one token too many).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lisa_ros.engine.clock import StageClock
from lisa_ros.engine.prompting import Prompt
from lisa_ros.engine.reading import Prefix, Reader, Readings, seg_places
from lisa_ros.engine.upload import upload
from lisa_ros.model.tokenizer import LisaTokenizer

UNFINISHED = "\ufffd"  # how sentencepiece shows the first bytes of a character whose last ones are not there yet


@dataclass
class _Answer:
    """One query's answer as far as the host has seen it."""

    ids: list[int] = field(default_factory=list)
    ended: bool = False
    text: str = ""


class Writer:
    """Collects the answers of a batch and passes their text on.

    Args:
        on_text: called with (query number, text so far) whenever a text has grown.
    """

    def __init__(self, count: int, tokenizer: LisaTokenizer, on_text: Callable[[int, str], None] | None) -> None:
        self.answers = [_Answer() for _ in range(count)]
        self._tokenizer, self._on_text = tokenizer, on_text

    @property
    def done(self) -> bool:
        """All answers have ended."""
        return all(answer.ended for answer in self.answers)

    def take(self, tokens: list[int]) -> None:
        """The next token of every row (rows behind the last query are padding)."""
        for number, (answer, token) in enumerate(zip(self.answers, tokens)):
            if answer.ended:
                continue
            answer.ids.append(token)
            answer.ended = token == self._tokenizer.eos_id
            if self._on_text is not None:
                text = self._tokenizer.decode(answer.ids, skip_special=True)
                if text != answer.text and not text.endswith(UNFINISHED):
                    answer.text = text
                    self._on_text(number, text)


def write(
    reader: Reader,
    prefix: Prefix,
    prompts: list[Prompt],
    writer: Writer,
    clock: StageClock,
    *,
    max_new_tokens: int,
    min_target_probability: float,
    check_stop: Callable[[], None],
) -> Readings:
    """Answer the prompts. A [SEG] in the query counts like one in the answer, as in the reference.

    Raises:
        Whatever ``check_stop`` raises, which is called before every further token.
    """
    with clock.stage("language"):
        states, cache = reader.question(prefix, [prompt.own for prompt in prompts], room=max_new_tokens)
    with clock.stage("generate"):
        lengths = [len(prompt.own) for prompt in prompts] + [1] * (states.batch - len(prompts))
        state = states.take([states.before(row, length) for row, length in enumerate(lengths)])
        positions = upload([prefix.cache.length + length for length in lengths], reader.device)
        written = state.new_zeros(max_new_tokens, *state.shape)
        minimum = torch.full((), min_target_probability, device=reader.device)
        behind = 1 if reader.device.type == "cuda" else 0
        on_the_way: deque[Callable[[], list[int]]] = deque()
        for step in range(max_new_tokens):
            tokens = reader.choose(state, minimum)
            written[step] = state
            on_the_way.append(_fetch(tokens))
            while len(on_the_way) > behind:
                writer.take(on_the_way.popleft()())
            if writer.done or step + 1 == max_new_tokens:
                break
            check_stop()
            state = reader.token(tokens, positions, cache)
            positions = positions + 1
        for fetched in on_the_way:
            writer.take(fetched())
    states.add_written(written)
    numbers = []
    for row, (prompt, answer) in enumerate(zip(prompts, writer.answers)):
        asked = [states.before(row, i) for i in seg_places(prompt.own, reader.seg_id, prompt.old_segs)]
        numbers.append(asked + [states.before_written(row, i) for i in seg_places(answer.ids, reader.seg_id, 0)])
    firsts = [found[0] if found else states.before_written(row, 0) for row, found in enumerate(numbers)]
    return Readings(
        output_ids=[answer.ids for answer in writer.answers],
        hidden=states.take([number for found in numbers for number in found]),
        counts=[len(found) for found in numbers],
        probability=reader.seg_probability(states.take(firsts)),
    )


def _fetch(tokens: Tensor) -> Callable[[], list[int]]:
    """Start copying tokens [B] to the host; calling the result waits for them."""
    if tokens.device.type != "cuda":
        return tokens.tolist
    host = torch.empty(tokens.shape, dtype=tokens.dtype, pin_memory=True)
    host.copy_(tokens, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> list[int]:
        arrived.synchronize()
        return host.tolist()

    return wait
