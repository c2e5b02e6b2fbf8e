"""The language model's passes: the frame's prefix once, then each batch of queries behind it.

Nothing here waits for the device; which hidden states are wanted is known on the host from the token ids alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from lisa_ros.engine.acceleration import Stage, bucket
from lisa_ros.engine.prompting import Prompt, Prompter
from lisa_ros.engine.upload import upload
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.llama import KeyValueCache
from lisa_ros.model.tokenizer import IMAGE_ID

WIDTH_STEP, LENGTH_STEP = 32, 256  # static shapes: tokens of a question, positions of a cache; most queries share one
KEPT_CACHES = 2


@dataclass
class Prefix:
    """What a frame contributes: keys and values of the prefix (292 positions for LISA v1), and its last hidden state
    [1,d]."""

    cache: KeyValueCache
    last: Tensor


@dataclass
class Readings:
    """What the language model made of a batch of queries.

    Attributes:
        output_ids: the answers' token ids, one list a query.
        hidden: [n,d], the state just before every [SEG] of all queries, in order; counts: how many a query has.
        probability: [B] softmax probability of [SEG] at each query's first such state (without [SEG]: before its
            answer).
    """

    output_ids: list[list[int]]
    hidden: Tensor
    counts: list[int]
    probability: Tensor


class Reader:
    """Runs the language model. One thread at a time may use it.

    Args:
        static: few different shapes, at fixed addresses, and compiled stages.
    """

    def __init__(self, lisa: Lisa, prefix_ids: list[int], seg_id: int, static: bool) -> None:
        self._lisa, self._static, self.seg_id = lisa, static, seg_id
        self.device = lisa.lm_head.weight.device
        place = prefix_ids.index(IMAGE_ID)
        self._before, self._after = (
            torch.tensor([ids], dtype=torch.long, device=self.device)
            for ids in (prefix_ids[:place], prefix_ids[place + 1 :])
        )
        self._prefix = Stage("reading the prefix", self._read_prefix, static, self.device)
        self._read = Stage("reading a question", self._read_tokens, static, self.device)
        self._step = Stage("writing a token", self._read_tokens, static, self.device)
        self._choice = Stage("choosing a token", self._likeliest, static, self.device)
        self._caches: OrderedDict[tuple[int, int], KeyValueCache] = OrderedDict()

    def prefix(self, patches: Tensor) -> Prefix:
        """Read the text before a picture and the picture's patches [1,p,d]."""
        keys, values, last = self._prefix(self._before, patches, self._after)
        return Prefix(KeyValueCache(keys, values), last)

    def question(self, prefix: Prefix, rows: list[list[int]], room: int) -> tuple[States, KeyValueCache]:
        """Prefill of rows of token ids behind the prefix; the cache has ``room`` positions more."""
        width, batch = max(map(len, rows)), len(rows)
        if self._static:
            width, batch = bucket(width, WIDTH_STEP), 1 << (batch - 1).bit_length()
        start = prefix.cache.length
        cache = self._cache(batch, start + width + room)
        cache.begin_with(prefix.cache)
        ids = [row + [0] * (width - len(row)) for row in rows] + [[0] * width] * (batch - len(rows))
        positions = torch.arange(start, start + width, device=self.device)[None]
        hidden = self._read(upload(ids, self.device), positions, memory=(cache.keys, cache.values))
        return States(prefix.last, hidden), cache

    def token(self, tokens: Tensor, positions: Tensor, cache: KeyValueCache) -> Tensor:
        """States [B,d] after one more token [B] a row, at positions [B]."""
        return self.tokens(tokens[:, None], positions[:, None], cache)[:, 0]

    def tokens(self, tokens: Tensor, positions: Tensor, cache: KeyValueCache) -> Tensor:
        """States [B,n,d] after n more tokens [B,n] a row, at positions [B,n]."""
        return self._step(tokens, positions, memory=(cache.keys, cache.values))

    def scores(self, states: Tensor) -> Tensor:
        """Scores [n,vocabulary] of what follows states [n,d]."""
        return self._lisa.lm_head(states)

    def choose(self, states: Tensor, min_target_probability: Tensor) -> Tensor:
        """The likeliest tokens [B] after states [B,d]; [SEG] only where its probability reaches the minimum (no
        dimensions)."""
        return self._choice(states, min_target_probability)

    def seg_probability(self, states: Tensor) -> Tensor:
        """Softmax probability [B] of [SEG] after states [B,d]."""
        return self.scores(states).float().softmax(-1)[:, self.seg_id]

    def _read_prefix(self, before: Tensor, patches: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embeddings = self._lisa.embed(before, patches, after)
        language = self._lisa.config.language
        cache = KeyValueCache.empty(language, 1, embeddings.shape[1], embeddings.device, embeddings.dtype)
        last = self._lisa.read(embeddings, cache)[:, -1]
        return cache.keys, cache.values, last

    def _read_tokens(self, ids: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self._lisa.read(self._lisa.model.embed_tokens(ids), KeyValueCache(keys, values), positions)

    def _likeliest(self, states: Tensor, minimum: Tensor) -> Tensor:
        scores = self._lisa.lm_head(states).float()
        refused = scores.softmax(-1)[:, self.seg_id] < minimum
        scores[:, self.seg_id] = scores[:, self.seg_id].masked_fill(refused, float("-inf"))
        return scores.argmax(1)

    def _cache(self, batch: int, length: int) -> KeyValueCache:
        language, dtype = self._lisa.config.language, self._lisa.model.embed_tokens.weight.dtype
        if not self._static:
            return KeyValueCache.empty(language, batch, length, self.device, dtype)
        key = (batch, bucket(length, LENGTH_STEP))
        if key not in self._caches:
            while len(self._caches) >= KEPT_CACHES:
                self._caches.popitem(last=False)
            self._caches[key] = KeyValueCache.empty(language, *key, self.device, dtype)
        self._caches.move_to_end(key)
        return self._caches[key]


class States:
    """Hidden states of a batch, found by the place of the token they predict.

    Args:
        last: [1,d] of the prefix's end. hidden: [B,w,d] of the questions.
    """

    def __init__(self, last: Tensor, hidden: Tensor) -> None:
        self._parts = [last, hidden.flatten(0, 1)]
        self._batch, self._width = hidden.shape[:2]

    @property
    def batch(self) -> int:
        return self._batch

    def add_written(self, written: Tensor) -> None:
        """States [t,B,d] that the tokens of the answers were chosen from."""
        self._parts.append(written.flatten(0, 1))

    def before(self, row: int, index: int) -> int:
        """Number of the state before token ``index`` of a question (its length: the state before the answer)."""
        return 0 if index == 0 else 1 + row * self._width + index - 1

    def before_written(self, row: int, step: int) -> int:
        """Number of the state before a written token."""
        return 1 + self._batch * self._width + step * self._batch + row

    def take(self, numbers: list[int]) -> Tensor:
        """States [n,d] by number."""
        return torch.cat(self._parts)[upload(torch.tensor(numbers, dtype=torch.long), self._parts[0].device)]


def force(reader: Reader, prompter: Prompter, prefix: Prefix, prompts: list[Prompt], answer: str) -> Readings:
    """The paper's evaluation: the answer is given, one prefill reads all queries. The state of [SEG] is the one just
    BEFORE it."""
    answers = [prompter.answer_ids(prompt, answer) for prompt in prompts]
    for prompt, ids in zip(prompts, answers):
        prompter.check_length(prompt, len(ids))
    rows = [prompt.own + ids for prompt, ids in zip(prompts, answers)]
    states, _ = reader.question(prefix, rows, room=0)
    segs = [seg_places(row, reader.seg_id, prompt.old_segs) for row, prompt in zip(rows, prompts)]
    numbers = [[states.before(row, i) for i in places] for row, places in enumerate(segs)]
    firsts = [found[0] if found else states.before(row, len(prompts[row].own)) for row, found in enumerate(numbers)]
    return Readings(
        output_ids=answers,
        hidden=states.take([number for found in numbers for number in found]),
        counts=[len(found) for found in numbers],
        probability=reader.seg_probability(states.take(firsts)),
    )


def seg_places(ids: list[int], seg_id: int, skip: int) -> list[int]:
    """Where [SEG] stands, without the first ``skip`` of them."""
    return [i for i, token in enumerate(ids) if token == seg_id][skip:]
