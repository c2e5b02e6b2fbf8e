"""The engine: encode a frame once, then ask it any number of queries.

What does not depend on the query is computed in ``encode``: SAM's image embedding, the CLIP patches, and the language model's key/value cache
of the prompt's beginning (292 positions for LISA v1). A query then costs its own few tokens and one run of the mask decoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from lisa_ros.engine.models import resolve_model
from lisa_ros.engine.segmentation import Cancelled, Segmentation
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.preprocessing import preprocess
from lisa_ros.model.prompt import CONVERSATIONS, MASK_ANSWER, PICTURE, user_turn
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.model.tokenizer import IMAGE_ID, LisaTokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class EncodedFrame:
    """Everything about a picture that no query changes.

    Attributes:
        sam_embedding: [1,dim,g,g].
        prefix: keys and values of the prompt's beginning, one pair [1,heads,length,head_dim] a layer.
        original, resized: height and width of the picture, and of the picture inside SAM's square.
        seconds: stage -> seconds spent encoding.
    """

    sam_embedding: Tensor
    prefix: list[tuple[Tensor, Tensor]]
    original: tuple[int, int]
    resized: tuple[int, int]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class _Reading:
    """What the language model made of one query: token ids, and one hidden state a [SEG]."""

    input_ids: list[int]
    output_ids: list[int]
    hidden: Tensor  # [n,d]
    target_probability: float
    answer: str


class Engine:
    """A loaded model. One thread at a time may use it.

    Attributes:
        name: the checkpoint's name. device, dtype: where and how it computes.
        min_target_probability: below it mask mode answers "not found" and chat mode does not say [SEG]; 0 leaves it to the model, as for the
            published ones.
    """

    def __init__(self, lisa: Lisa, tokenizer: LisaTokenizer, *, conversation: str | None = None) -> None:
        self._lisa = lisa
        self._tokenizer = tokenizer
        self._conversation = CONVERSATIONS[conversation or lisa.config.conversation]
        weight = lisa.lm_head.weight
        self.name = lisa.config.name
        self.device = str(weight.device)
        self.dtype = str(weight.dtype).removeprefix("torch.")
        self.min_target_probability = lisa.config.min_target_probability
        head = self._conversation.render([(f"{PICTURE}\nx", None)])
        ids = tokenizer.encode_prompt(head)
        self._prefix_ids = ids[: ids.index(IMAGE_ID) + 2]  # <im_end> closes the part that no query changes

    @classmethod
    def load(
        cls,
        model: str | Path = "lisa-mini",
        *,
        device: str = "auto",
        dtype: str = "auto",
        vision_tower: str | Path | None = None,
        conversation: str | None = None,
    ) -> Engine:
        """Load a model.

        Args:
            model: ``lisa-mini``, a checkpoint directory, or a hub id.
            device: "auto" (CUDA when there is one), "cpu", "cuda", "cuda:1", ...
            dtype: "auto" (bfloat16 on CUDA, else float32), "float32", "bfloat16" or "float16".
            vision_tower: directory of the CLIP tower for checkpoints that hold none.
            conversation: prompt template; None takes the checkpoint's.

        Raises:
            CheckpointError: the model cannot be loaded.
            ValueError: an unknown device, dtype or conversation.
        """
        if conversation is not None and conversation not in CONVERSATIONS:
            raise ValueError(f'conversation "{conversation}" is not known; choose from {", ".join(CONVERSATIONS)}')
        chosen = choose_device(device)
        if dtype == "auto":
            dtype = "bfloat16" if chosen.type == "cuda" else "float32"
        if dtype not in DTYPES:
            raise ValueError(f'dtype "{dtype}" is not known; choose from auto, {", ".join(DTYPES)}')
        tower = None if vision_tower is None else resolve_model(vision_tower)
        lisa, tokenizer = load_checkpoint(resolve_model(model), vision_tower=tower, device=chosen, dtype=DTYPES[dtype])
        return cls(lisa, tokenizer, conversation=conversation)

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> EncodedFrame:
        """Encode a picture, uint8 [H,W,3] RGB. Raises ValueError for anything else."""
        config, clock = self._lisa.config, _Clock(self._synchronize)
        inputs = preprocess(image, config.vision.image_size, config.sam.image_size, config.clip_fit)
        clip, sam = (torch.from_numpy(x)[None].to(self.device, DTYPES[self.dtype]) for x in (inputs.clip, inputs.sam))
        clock.lap("preprocess")
        patches = self._lisa.look(clip)
        clock.lap("clip")
        embedding = self._lisa.sam.image_encoder(sam)
        clock.lap("sam")
        cache = DynamicCache()
        ids = torch.tensor([self._prefix_ids], device=self.device)
        self._lisa.read(self._lisa.embed(ids, patches), cache)
        prefix = [(layer.keys, layer.values) for layer in cache.layers]
        clock.lap("prefix")
        return EncodedFrame(embedding, prefix, inputs.original, inputs.resized, clock.total())

    @torch.inference_mode()
    def ask(
        self,
        encoded: EncodedFrame,
        queries: Sequence[str],
        *,
        mode: str = "mask",
        raw: bool = False,
        answer: str | None = None,
        keep_logits: bool = False,
        max_new_tokens: int = 64,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Segmentation]:
        """Answer queries about an encoded frame.

        Args:
            mode: "mask" forces the answer "[SEG]." (the paper's evaluation: one prefill, all queries in one batch); "chat" generates greedily
                and every [SEG] becomes an instance.
            raw: the query is the whole user turn; no template around it.
            answer: teacher-forced answer instead of "[SEG]." (mask mode).
            keep_logits: fill mask_logits, low_res_logits and seg_embeddings.
            max_new_tokens: longest generated answer.
            should_stop: asked between steps.

        Raises:
            ValueError: an unknown mode, or a prompt longer than the model's context.
            Cancelled: ``should_stop`` returned True.
        """
        if mode not in ("mask", "chat"):
            raise ValueError(f'mode must be "mask" or "chat", got "{mode}"')
        stop = _Stop(should_stop)
        turns = [user_turn(query, "{query}" if raw else self._lisa.config.query_template) for query in queries]
        clock = _Clock(self._synchronize)
        if mode == "mask":
            readings = self._read_forced(encoded, turns, MASK_ANSWER if answer is None else answer, always=answer is not None)
        else:
            readings = [self._generate(encoded, turn, max_new_tokens, stop) for turn in turns]
        clock.lap("language")
        stop.check()
        return self._segment(encoded, queries, readings, keep_logits, clock)

    def close(self) -> None:
        """Let go of the weights."""
        self._lisa = None

    def _ids(self, turn: str, answer: str | None) -> list[int]:
        """Token ids of a user turn, with its answer when there is one: always of the whole text, since pieces depend on what precedes them."""
        return self._tokenizer.encode_prompt(self._conversation.render([(turn, answer)]))

    def _check_length(self, length: int) -> None:
        limit = self._lisa.config.language.max_position_embeddings
        length += self._lisa.config.vision.patches - 1
        if length > limit:
            raise ValueError(f"the prompt takes {length} positions, the model reads {limit}: shorten the query")

    def _read_forced(self, encoded: EncodedFrame, turns: list[str], answer: str, always: bool) -> list[_Reading]:
        """One prefill for all queries with the answer given. The embedding of [SEG] is the hidden state just BEFORE it (lisa.md 1.6)."""
        if not turns:
            return []
        start, seg = len(self._prefix_ids), self._tokenizer.seg_id
        prompts = [self._ids(turn, None) for turn in turns]
        wholes = [self._ids(turn, answer) for turn in turns]
        for whole in wholes:
            self._check_length(len(whole))
        rows = [whole[start:] for whole in wholes]
        # padding on the right is never looked at: attention is causal
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self.device)
        hidden = self._lisa.read(self._lisa.model.embed_tokens(ids), _cache(encoded, len(rows)))
        readings = []
        for row, prompt, whole, states in zip(rows, prompts, wholes, hidden):
            places = [i - 1 for i, token in enumerate(row) if token == seg]
            first = places[0] if places else len(prompt) - start - 1
            probability = self._seg_probability(states[first])
            found = always or probability >= self.min_target_probability
            output_ids = whole[len(prompt) :] if found else []
            readings.append(_Reading(prompt, output_ids, states[places if found else []], probability, answer if found else ""))
        return readings

    def _generate(self, encoded: EncodedFrame, turn: str, max_new_tokens: int, stop: _Stop) -> _Reading:
        """Greedy generation with a key/value cache; keeps the hidden state that predicted each [SEG] (a [SEG] in the query counts, as in
        the reference)."""
        prompt = self._ids(turn, None)
        self._check_length(len(prompt) + max_new_tokens)
        seg, eos = self._tokenizer.seg_id, self._tokenizer.eos_id
        cache = _cache(encoded, 1)
        tail = prompt[len(self._prefix_ids) :]
        states = self._lisa.read(self._lisa.model.embed_tokens(torch.tensor([tail], device=self.device)), cache)[0]
        kept = [states[i - 1] for i, token in enumerate(tail) if token == seg]
        state, first = states[-1], states[-1]
        output_ids: list[int] = []
        for _ in range(max_new_tokens):
            token = self._next_token(state)
            output_ids.append(token)
            if token == seg:
                kept.append(state)
            if token == eos or len(output_ids) == max_new_tokens:
                break
            stop.check()
            state = self._lisa.read(self._lisa.model.embed_tokens(torch.tensor([[token]], device=self.device)), cache)[0, -1]
        hidden = torch.stack(kept) if kept else first.new_zeros(0, first.shape[-1])
        probability = self._seg_probability(kept[0] if kept else first)
        return _Reading(prompt, output_ids, hidden, probability, self._tokenizer.decode(output_ids, skip_special=True))

    def _next_token(self, state: Tensor) -> int:
        """The likeliest token after a hidden state [d]; [SEG] only where mask mode would accept the target too."""
        scores = self._lisa.lm_head(state).float()
        seg = self._tokenizer.seg_id
        if self.min_target_probability > 0 and scores.softmax(-1)[seg] < self.min_target_probability:
            scores[seg] = float("-inf")
        return int(scores.argmax())

    def _seg_probability(self, state: Tensor) -> float:
        """Softmax probability of [SEG] after a hidden state [d]."""
        return float(self._lisa.lm_head(state).float().softmax(-1)[self._tokenizer.seg_id])

    def _segment(
        self, encoded: EncodedFrame, queries: Sequence[str], readings: list[_Reading], keep_logits: bool, clock: _Clock
    ) -> list[Segmentation]:
        """All masks of all queries in one run of the mask decoder."""
        counts = [len(reading.hidden) for reading in readings]
        size = self._lisa.config.sam.image_size
        if sum(counts):
            prompts = self._lisa.mask_prompt(torch.cat([reading.hidden for reading in readings]))
        else:
            prompts = encoded.sam_embedding.new_zeros(0, self._lisa.config.out_dim)
        low_res = self._lisa.sam.masks(encoded.sam_embedding, prompts.to(encoded.sam_embedding.dtype))
        clock.lap("decode")
        logits = upscale_masks(low_res, size, encoded.resized, encoded.original)
        masks = logits > 0
        inside = masks.flatten(1)
        scores = (logits.sigmoid().flatten(1) * inside).sum(1) / inside.sum(1).clamp(min=1)
        masks, scores = masks.cpu().numpy(), scores.float().cpu().numpy()
        clock.lap("upscale")
        kept = [x.float().cpu().numpy() if keep_logits else None for x in (logits, low_res, prompts)]
        results, begin = [], 0
        for query, reading, count in zip(queries, readings, counts):
            part = slice(begin, begin + count)
            begin += count
            results.append(
                Segmentation(
                    query=query,
                    answer=reading.answer,
                    target_probability=reading.target_probability,
                    masks=masks[part],
                    mask_scores=scores[part],
                    input_ids=reading.input_ids,
                    output_ids=reading.output_ids,
                    seconds=clock.total(),
                    mask_logits=None if kept[0] is None else kept[0][part],
                    low_res_logits=None if kept[1] is None else kept[1][part],
                    seg_embeddings=None if kept[2] is None else kept[2][part],
                )
            )
        return results

    def _synchronize(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


def choose_device(device: str) -> torch.device:
    """"auto" or a torch device name -> a device that is there. Raises ValueError when it is not."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device "{device}" is not known; give auto, cpu or cuda') from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f'device "{device}" asked for, but torch sees no CUDA GPU; give auto or cpu')
    return chosen


def _cache(encoded: EncodedFrame, batch: int) -> DynamicCache:
    """A cache that begins with the frame's prefix. Growing it leaves the frame's own tensors alone."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(encoded.prefix):
        cache.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1), layer)
    return cache


class _Stop:
    def __init__(self, should_stop: Callable[[], bool] | None) -> None:
        self._should_stop = should_stop

    def check(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise Cancelled("the query was cancelled")


class _Clock:
    """Seconds between laps. Synchronises the device, so that each stage carries its own time."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self._laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        self._synchronize()
        now = time.perf_counter()
        self._laps[name] = now - self._last
        self._last = now

    def total(self) -> dict[str, float]:
        return dict(self._laps)
