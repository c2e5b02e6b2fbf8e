"""A tokenizer for models of random weights: ids without meaning, in prompts as long as the published ones.

The published tokenizers cannot be had offline, and for times only the number of ids counts. Every word and every mark
is one id here, except for the few words that LLaMA's tokenizer cuts: so the prompt's beginning takes its 35 ids and
" ASSISTANT:" its 5, as published checkpoints have them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from lisa_ros.model.tokenizer import IMAGE, IMAGE_END, IMAGE_ID, IMAGE_START, SEG

PIECES = {"polite": 2, "USER": 2, "ASSISTANT": 4}
"""Words of the prompt around a query that take more than one id in LLaMA's vocabulary."""
FIRST_WORD = 3
"""Below it: <unk>, <s>, </s>."""


class StandInTokenizer:
    """Has what the engine needs of `LisaTokenizer`.

    :param vocab_size: ids in use; the last three are <im_start>, <im_end> and [SEG].
    """

    legacy = True
    unk_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        names = (IMAGE_START, IMAGE_END, SEG)
        self.added_tokens = {name: vocab_size - len(names) + i for i, name in enumerate(names)}
        self._special = {"</s>": self.eos_id, "<s>": self.bos_id, **self.added_tokens}
        cut = "|".join(re.escape(name) for name in self._special)
        self._parts = re.compile(rf"{cut}|\w+|[^\w\s]")

    @property
    def seg_id(self) -> int:
        """Id of ``[SEG]``."""
        return self.added_tokens[SEG]

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        """Ids of a text without a picture."""
        ids = [self.bos_id] if add_bos else []
        for part in self._parts.findall(text):
            if part in self._special:
                ids.append(self._special[part])
            else:
                ids += [self._word(f"{part} {i}") for i in range(PIECES.get(part, 1))]
        return ids

    def encode_prompt(self, prompt: str, add_bos: bool = True) -> list[int]:
        """Ids of a prompt in which every ``<image>`` becomes IMAGE_ID (-200)."""
        ids = [self.bos_id] if add_bos else []
        for index, chunk in enumerate(prompt.split(IMAGE)):
            ids += ([IMAGE_ID] if index else []) + self.encode(chunk, add_bos=False)
        return ids

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """One word for every id; the ids have no text of their own."""
        names = {number: name for name, number in self._special.items()}
        hidden = (self.unk_id, self.bos_id, self.eos_id) if skip_special else ()
        return " ".join(names.get(i, f"w{i}") for i in ids if i != IMAGE_ID and i not in hidden)

    def _word(self, text: str) -> int:
        """The same id for the same text, anywhere among the words."""
        words = self.vocab_size - len(self.added_tokens) - FIRST_WORD
        return FIRST_WORD + zlib.crc32(text.encode()) % words
