"""The tokeniser LISA checkpoints were trained with: slow LLaMA sentencepiece rules as of transformers 4.31.

Newer tokenisers keep the white space around added tokens such as ``[SEG]`` and so feed the model ids it never saw. This
class reproduces the old rules on top of a plain vocabulary (vocabulary.py), which may be one of byte pairs as well:

* text is cut at the vocabulary's special tokens (``<s>``, ``</s>``, ``<unk>``) and at the added tokens (``[SEG]``,
  ``<im_start>``, ``<im_end>``, ...);
* white space on both sides of an *added* token is dropped (not with byte pairs), beside a *special* token it stays;
* every remaining piece is encoded by the vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from lisa_ros.model.vocabulary import TokenizerError, Vocabulary, read_vocabulary, vocabulary_file

SEG = "[SEG]"
IMAGE_START = "<im_start>"
IMAGE_END = "<im_end>"
IMAGE_PATCH = "<im_patch>"
IMAGE = "<image>"
IMAGE_ID = -200  # stands for the picture in a list of input ids; replaced by the patch features


def tokenizer_files(directory: Path) -> list[Path]:
    """The files that a checkpoint's tokeniser is read from; each may be missing."""
    directory = Path(directory)
    return [vocabulary_file(directory), directory / "tokenizer_config.json", directory / "added_tokens.json"]


class LisaTokenizer:
    """Text to ids and back.

    Args:
        vocabulary: what cuts plain text.
        added_tokens: text -> id of the tokens added after the vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary, added_tokens: dict[str, int]) -> None:
        self._vocabulary = vocabulary
        self.added_tokens = dict(added_tokens)
        self.bos_id, self.eos_id = vocabulary.bos_id, vocabulary.eos_id
        self._special = vocabulary.special
        self._names = {i: text for text, i in {**self._special, **self.added_tokens}.items()}
        longest_first = sorted({**self._special, **self.added_tokens}, key=len, reverse=True)
        self._cut = re.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")
        self.vocab_size = max([vocabulary.size - 1, *self.added_tokens.values()]) + 1

    @classmethod
    def from_directory(cls, directory: Path) -> LisaTokenizer:
        """Read the vocabulary (vocabulary.py), ``added_tokens.json`` and ``tokenizer_config.json``.

        Raises:
            TokenizerError: a file is missing or unreadable; the message names it.
        """
        directory = Path(directory)
        settings = _read_json(directory / "tokenizer_config.json")
        added = _read_json(directory / "added_tokens.json")
        vocabulary = read_vocabulary(directory, settings)
        for number, token in settings.get("added_tokens_decoder", {}).items():
            added.setdefault(token["content"], int(number))
        # transformers repeats <s>, </s> and <unk> among the added tokens of some checkpoints: they keep their own,
        # unstripped, rule
        return cls(vocabulary, {text: number for text, number in added.items() if text not in vocabulary.special})

    @property
    def special_tokens(self) -> dict[str, int]:
        """Text -> id of the vocabulary's special tokens."""
        return self._vocabulary.special

    @property
    def rules(self) -> str:
        """What its vocabulary is, for users."""
        return self._vocabulary.rules

    @property
    def seg_id(self) -> int:
        """Id of ``[SEG]``. Raises TokenizerError when the checkpoint has none (it is then no LISA checkpoint)."""
        if SEG not in self.added_tokens:
            raise TokenizerError(
                "this tokenizer has no [SEG] token: the directory holds a plain language model, not a LISA checkpoint"
            )
        return self.added_tokens[SEG]

    @property
    def own_ids(self) -> list[int]:
        """Ids of the tokens that LISA adds to a language model's, as far as there are any, ascending."""
        return sorted(self.added_tokens[token] for token in (SEG, IMAGE_START, IMAGE_END) if token in self.added_tokens)

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        """Ids of a text without a picture."""
        parts = [part for part in self._cut.split(text) if part]
        ids = [self.bos_id] if add_bos and self.bos_id is not None else []
        is_added = [part in self.added_tokens for part in parts]
        at_start = True
        for index, part in enumerate(parts):
            if is_added[index]:
                ids.append(self.added_tokens[part])
                at_start = False
                continue
            if part in self._special:
                ids.append(self._special[part])
                at_start = False
                continue
            if self._vocabulary.strips and index > 0 and is_added[index - 1]:
                part = part.lstrip()
            if self._vocabulary.strips and index + 1 < len(parts) and is_added[index + 1]:
                part = part.rstrip()
            if part:
                ids.extend(self._vocabulary.encode(part, at_start))
                at_start = False
        return ids

    def encode_word(self, word: str) -> list[int]:
        """Ids of a word as it stands in a sentence. Vocabularies differ in how a text begins; behind another word it is always so."""
        return self.encode(f"a {word}", add_bos=False)[len(self.encode("a", add_bos=False)) :]

    def encode_prompt(self, prompt: str, add_bos: bool = True) -> list[int]:
        """Ids of a prompt in which every ``<image>`` becomes IMAGE_ID (-200). Each chunk between pictures is encoded on
        its own."""
        ids = [self.bos_id] if add_bos and self.bos_id is not None else []
        for index, chunk in enumerate(prompt.split(IMAGE)):
            if index:
                ids.append(IMAGE_ID)
            ids.extend(self.encode(chunk, add_bos=False))
        return ids

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """Text of ids. IMAGE_ID is left out; with ``skip_special`` so are the vocabulary's special tokens."""
        parts: list[str] = []
        run: list[int] = []

        def flush() -> None:
            if run:
                parts.append(self._vocabulary.decode(run))
                run.clear()

        for number in ids:
            if number == IMAGE_ID:
                continue
            if number in self._names:
                flush()
                name = self._names[number]
                if name not in self._special:
                    parts.append(f" {name} ")
                elif not skip_special:
                    parts.append(name)
            elif 0 <= number < self._vocabulary.size:
                run.append(int(number))
        flush()
        text = re.sub(r" {2,}", " ", "".join(parts)).strip()
        return re.sub(r"\] ([.,!?;:])", r"]\1", text)


def _read_json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path}: not valid JSON ({error})") from error
