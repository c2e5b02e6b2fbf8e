"""The reference's way through the same weights: what `lisa bench` compares the engine with.

Published LISA answers a query in one of two ways, and both do again what no query changes:

- `generate` (its ``evaluate``, behind chat.py): for every new token CLIP and the language model over the whole text,
  without a key/value cache, with the scores of all positions; then SAM's encoder, then the mask decoder. One query at
  a time.
- `teacher_forced` (its ``model_forward(inference=True)``, its evaluation): SAM's encoder, then CLIP and the whole
  prompt once for each query of a picture, with the answer given.

Both are serial and empty CUDA's cache where the reference does. The layers are this package's own, with the same fast
attention the engine uses, while the reference writes its attention scores out: the comparison leans towards the
reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lisa_ros.engine.prompting import Prompter
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.preprocessing import Preprocessed, preprocess
from lisa_ros.model.prompt import MASK_ANSWER
from lisa_ros.model.sam.sam import upscale_masks
from lisa_ros.model.tokenizer import IMAGE_ID, LisaTokenizer


@dataclass
class ReferenceAnswer:
    """One query's result.

    Attributes:
        input_ids, output_ids: the prompt's and the answer's token ids (-200 stands for the picture).
        masks: bool [n,H,W], one per [SEG].
        mask_logits: float32 [n,H,W]; low_res_logits: float32 [n,l,l]; seg_embeddings: float32 [n,out_dim]. Kept only
            when asked for.
    """

    input_ids: list[int]
    output_ids: list[int]
    masks: np.ndarray
    mask_logits: np.ndarray | None = None
    low_res_logits: np.ndarray | None = None
    seg_embeddings: np.ndarray | None = None


class ReferenceWay:
    """The two inference protocols of the reference on a loaded LISA."""

    def __init__(self, lisa: Lisa, tokenizer: LisaTokenizer, *, conversation: str | None = None) -> None:
        self._lisa = lisa
        self._tokenizer = tokenizer
        self._prompter = Prompter(lisa.config, tokenizer, conversation or lisa.config.conversation)
        self._device = lisa.lm_head.weight.device
        self._dtype = lisa.lm_head.weight.dtype

    @torch.inference_mode()
    def generate(
        self, image: np.ndarray, query: str, *, raw: bool = False, max_new_tokens: int = 64, keep_logits: bool = False
    ) -> ReferenceAnswer:
        """Greedy answer to one query about a picture, uint8 [H,W,3] RGB, and a mask for every [SEG] in the text.

        Args:
            raw: the query is the whole user turn; no template around it.
            max_new_tokens: longest answer.
            keep_logits: fill mask_logits, low_res_logits and seg_embeddings.
        """
        lisa = self._lisa
        inputs, clip, sam = self._pixels(image)
        ids = self._ids(query, raw)
        text = torch.tensor([ids], device=self._device)
        hidden = patches = torch.empty(0)
        for _ in range(max_new_tokens):
            patches = self._look(clip, inputs)
            hidden = lisa.read(self._embed(text, patches))
            token = lisa.lm_head(hidden)[:, -1].argmax(-1)
            text = torch.cat([text, token[:, None]], 1)
            if int(token) == self._tokenizer.eos_id:  # the reference, too, waits for the device at every token
                break
        embedding = self._encode(sam)
        whole = text[0].tolist()
        answer = ReferenceAnswer(ids, whole[len(ids) :], np.empty(0))
        self._decode(inputs, embedding, [whole], patches, hidden, [answer], keep_logits)
        return answer

    @torch.inference_mode()
    def teacher_forced(
        self,
        image: np.ndarray,
        queries: Sequence[str],
        *,
        raw: bool = False,
        answer: str = MASK_ANSWER,
        keep_logits: bool = False,
    ) -> list[ReferenceAnswer]:
        """The given answer to every query about a picture, uint8 [H,W,3] RGB, as one batch.

        Arguments as for `generate`.
        """
        lisa = self._lisa
        inputs, clip, sam = self._pixels(image)
        prompts = [self._ids(query, raw) for query in queries]
        wholes = [self._ids(query, raw, answer) for query in queries]
        width = max(map(len, wholes))
        text = torch.tensor([whole + [0] * (width - len(whole)) for whole in wholes], device=self._device)
        embedding = self._encode(sam)
        patches = self._look(clip.expand(len(queries), -1, -1, -1).contiguous(), inputs)
        rows = [self._embed(row[None], patches[i : i + 1]) for i, row in enumerate(text)]
        hidden = lisa.read(torch.cat(rows))  # padding stands on the right, where a causal model does not look
        lisa.lm_head(hidden)  # the reference computes these scores and drops them
        self._empty_cache()
        answers = [
            ReferenceAnswer(prompt, whole[len(prompt) :], np.empty(0))
            for prompt, whole in zip(prompts, wholes, strict=True)
        ]
        self._decode(inputs, embedding, wholes, patches, hidden, answers, keep_logits)
        return answers

    def _pixels(self, image: np.ndarray) -> tuple[Preprocessed, Tensor, Tensor]:
        config = self._lisa.config
        inputs = preprocess(image, config.vision.image_size, config.sam.image_size, config.clip_fit)
        clip, sam = (torch.tensor(x[None], device=self._device) for x in (inputs.clip, inputs.sam))
        return inputs, clip.to(self._dtype), self._lisa.sam.normalise(sam).to(self._dtype)

    def _ids(self, query: str, raw: bool, answer: str | None = None) -> list[int]:
        prompt = self._prompter.prompt(query, "{query}" if raw else self._lisa.config.query_template)
        return prompt.ids + ([] if answer is None else self._prompter.answer_ids(prompt, answer))

    def _embed(self, ids: Tensor, patches: Tensor) -> Tensor:
        """Input embeddings of ids [1,L] with the picture's patches in the place of IMAGE_ID."""
        place = ids[0].tolist().index(IMAGE_ID)
        return self._lisa.embed(ids[:, :place], patches, ids[:, place + 1 :])

    def _look(self, clip: Tensor, inputs: Preprocessed) -> Tensor:
        patches = self._lisa.without_bars(self._lisa.look(clip), *inputs.original)
        self._empty_cache()
        return patches

    def _encode(self, sam: Tensor) -> Tensor:
        self._empty_cache()
        embedding = self._lisa.sam.image_encoder(sam)
        self._empty_cache()
        return embedding

    def _decode(
        self,
        inputs: Preprocessed,
        embedding: Tensor,
        wholes: list[list[int]],
        patches: Tensor,
        hidden: Tensor,
        answers: list[ReferenceAnswer],
        keep_logits: bool,
    ) -> None:
        """Masks of all [SEG] of all texts [B][L] with a picture's patches [B,p,d] in each and hidden states [B,L',d], into the answers."""
        prompts = self._lisa.mask_prompt(hidden)  # of every position, as the reference does
        seg, shift = self._tokenizer.seg_id, patches.shape[1] - 1
        counts, chosen = [], []
        for row, whole in enumerate(wholes):
            picture = whole.index(IMAGE_ID)
            places = [i - 1 + shift for i, token in enumerate(whole) if token == seg and i > picture]
            chosen.append(prompts[row, places])
            counts.append(len(places))
        prompts = torch.cat(chosen).to(embedding.dtype)
        low_res = self._lisa.sam.masks(embedding, prompts)
        logits = upscale_masks(low_res, self._lisa.config.sam.image_size, inputs.resized, inputs.original)
        masks = (logits > 0).cpu().numpy()
        kept = [x.float().cpu().numpy() if keep_logits else None for x in (logits, low_res, prompts)]
        begin = 0
        for answer, count in zip(answers, counts, strict=True):
            part = slice(begin, begin + count)
            begin += count
            answer.masks = masks[part]
            answer.mask_logits, answer.low_res_logits, answer.seg_embeddings = (
                None if x is None else x[part] for x in kept
            )

    def _empty_cache(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
