"""The tokeniser LISA checkpoints were trained with: slow LLaMA sentencepiece rules as of transformers 4.31.

Newer tokenisers keep the white space around added tokens such as ``[SEG]`` and so feed the model ids it never saw. This
class reproduces the old rules on top of ``sentencepiece`` alone:

* text is cut at the special tokens (``<s>``, ``</s>``, ``<unk>``) and at the added tokens (``[SEG]``, ``<im_start>``,
  ``<im_end>``, ...);
* white space on both sides of an *added* token is dropped, white space beside a *special* token stays;
* every remaining piece is encoded by sentencepiece; ``legacy`` decides whether a piece that follows another one keeps
  the dummy ``▁`` prefix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

UNDERLINE = "▁"
SEG = "[SEG]"
IMAGE_START = "<im_start>"
IMAGE_END = "<im_end>"
IMAGE_PATCH = "<im_patch>"
IMAGE = "<image>"
IMAGE_ID = -200  # stands for the picture in a list of input ids; replaced by the patch features


class TokenizerError(ValueError):
    """The tokeniser files of a checkpoint are missing or contradict each other."""


class LisaTokenizer:
    """Text to ids and back.

    Args:
        sentencepiece_model: path of ``tokenizer.model`` (or its bytes).
        added_tokens: text -> id of the tokens added after the sentencepiece vocabulary.
        legacy: the ``legacy`` flag of ``tokenizer_config.json``.
    """

    def __init__(self, sentencepiece_model: Path | bytes, added_tokens: dict[str, int], legacy: bool = True) -> None:
        try:
            if isinstance(sentencepiece_model, bytes):
                self._pieces = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model)
            else:
                self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_model))
        except (RuntimeError, OSError) as error:
            raise TokenizerError(f"{sentencepiece_model}: not a sentencepiece model ({error})") from error
        self.legacy = legacy
        self.added_tokens = dict(added_tokens)
        self.bos_id = self._pieces.bos_id()
        self.eos_id = self._pieces.eos_id()
        self.unk_id = self._pieces.unk_id()
        self._special = {self._pieces.id_to_piece(i): i for i in (self.unk_id, self.bos_id, self.eos_id)}
        self._names = {i: text for text, i in {**self._special, **self.added_tokens}.items()}
        longest_first = sorted({**self._special, **self.added_tokens}, key=len, reverse=True)
        self._cut = re.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")
        self.vocab_size = max([self._pieces.vocab_size() - 1, *self.added_tokens.values()]) + 1

    @classmethod
    def from_directory(cls, directory: Path) -> LisaTokenizer:
        """Read ``tokenizer.model``, ``added_tokens.json`` and ``tokenizer_config.json``.

        Raises:
            TokenizerError: a file is missing or unreadable; the message names it.
        """
        directory = Path(directory)
        model = directory / "tokenizer.model"
        if not model.is_file():
            raise TokenizerError(f"{model} is missing: copy the checkpoint's sentencepiece tokenizer there")
        settings = _read_json(directory / "tokenizer_config.json")
        added = _read_json(directory / "added_tokens.json")
        for number, token in settings.get("added_tokens_decoder", {}).items():
            added.setdefault(token["content"], int(number))
        # transformers repeats <s>, </s> and <unk> among the added tokens of some checkpoints: they keep their own,
        # unstripped, rule
        added = {text: number for text, number in added.items() if text not in ("<s>", "</s>", "<unk>")}
        return cls(model, added, legacy=bool(settings.get("legacy", True)))

    @property
    def seg_id(self) -> int:
        """Id of ``[SEG]``. Raises TokenizerError when the checkpoint has none (it is then no LISA checkpoint)."""
        if SEG not in self.added_tokens:
            raise TokenizerError(
                "this tokenizer has no [SEG] token: the directory holds a plain language model, not a LISA checkpoint"
            )
        return self.added_tokens[SEG]

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        """Ids of a text without a picture."""
        parts = [part for part in self._cut.split(text) if part]
        ids = [self.bos_id] if add_bos else []
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
            if index > 0 and is_added[index - 1]:
                part = part.lstrip()
            if index + 1 < len(parts) and is_added[index + 1]:
                part = part.rstrip()
            if part:
                ids.extend(self._encode_piece(part, at_start))
                at_start = False
        return ids

    def encode_prompt(self, prompt: str, add_bos: bool = True) -> list[int]:
        """Ids of a prompt in which every ``<image>`` becomes IMAGE_ID (-200). Each chunk between pictures is encoded on
        its own."""
        ids = [self.bos_id] if add_bos else []
        for index, chunk in enumerate(prompt.split(IMAGE)):
            if index:
                ids.append(IMAGE_ID)
            ids.extend(self.encode(chunk, add_bos=False))
        return ids

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """Text of ids. IMAGE_ID is left out; with ``skip_special`` so are ``<s>``, ``</s>`` and ``<unk>``."""
        parts: list[str] = []
        run: list[int] = []

        def flush() -> None:
            if run:
                parts.append(self._pieces.decode(run))
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
            elif 0 <= number < self._pieces.vocab_size():
                run.append(int(number))
        flush()
        text = re.sub(r" {2,}", " ", "".join(parts)).strip()
        return re.sub(r"\] ([.,!?;:])", r"]\1", text)

    def _encode_piece(self, text: str, at_start: bool) -> list[int]:
        pieces = self._pieces.encode(text, out_type=str)
        if not self.legacy and not at_start and not text.startswith(" ") and pieces and pieces[0].startswith(UNDERLINE):
            pieces = ([pieces[0][1:]] if len(pieces[0]) > 1 else []) + pieces[1:]
        return [self._pieces.piece_to_id(piece) for piece in pieces]


def _read_json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path}: not valid JSON ({error})") from error
