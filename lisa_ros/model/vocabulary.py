"""The vocabularies that language models cut plain text with: sentencepiece (LLaMA) or byte pairs (SmolLM2).

Both lie in a checkpoint's directory, as ``tokenizer.model`` or ``tokenizer.json``. Neither knows the tokens that LISA
adds: see tokenizer.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import sentencepiece
from tokenizers import Tokenizer

SENTENCEPIECE_FILE = "tokenizer.model"
BYTE_PAIR_FILE = "tokenizer.json"
UNDERLINE = "▁"


class TokenizerError(ValueError):
    """The tokeniser files of a checkpoint are missing or contradict each other."""


class Vocabulary(Protocol):
    """Plain text to ids and back.

    Attributes:
        size: number of ids, those of ``special`` among them.
        special: text -> id of what a prompt may spell out, such as ``</s>``; white space around it stays.
        bos_id: begins every text; None: nothing does. eos_id: ends an answer.
        strips: white space beside the tokens that LISA adds is dropped, as transformers 4.31 did for LLaMA.
        rules: what it is, for users.
    """

    size: int
    special: dict[str, int]
    bos_id: int | None
    eos_id: int
    strips: bool
    rules: str

    def encode(self, text: str, at_start: bool) -> list[int]:
        """Ids of a text without special tokens; ``at_start``: nothing stands before it."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids that are not special."""


class SentencePieces:
    """``tokenizer.model``.

    Args:
        legacy: the ``legacy`` flag of ``tokenizer_config.json``: a piece that follows another one keeps the dummy ``▁``.
    """

    strips = True

    def __init__(self, path: Path, legacy: bool = True) -> None:
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise TokenizerError(f"{path}: not a sentencepiece model ({error})") from error
        self._legacy, self.rules = legacy, f"legacy {str(legacy).lower()}"
        self.bos_id, self.eos_id = self._pieces.bos_id(), self._pieces.eos_id()
        self.size = self._pieces.vocab_size()
        self.special = {self._pieces.id_to_piece(i): i for i in (self._pieces.unk_id(), self.bos_id, self.eos_id)}

    def encode(self, text: str, at_start: bool) -> list[int]:
        pieces = self._pieces.encode(text, out_type=str)
        if (
            not self._legacy
            and not at_start
            and not text.startswith(" ")
            and pieces
            and pieces[0].startswith(UNDERLINE)
        ):
            pieces = ([pieces[0][1:]] if len(pieces[0]) > 1 else []) + pieces[1:]
        return [self._pieces.piece_to_id(piece) for piece in pieces]

    def decode(self, ids: Sequence[int]) -> str:
        return self._pieces.decode(list(ids))


class BytePairs:
    """``tokenizer.json`` of the tokenizers library, with what ``tokenizer_config.json`` says of its ends.

    Its special tokens are those that the file itself lists as added.
    """

    bos_id = None  # SmolLM2, as GPT-2, begins no text by a token
    strips = False
    rules = "byte pairs"

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        try:
            self._pieces = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises Exception itself
            raise TokenizerError(f"{path}: not a file of the tokenizers library ({error})") from error
        self.special = {
            token.content: number for number, token in self._pieces.get_added_tokens_decoder().items() if token.special
        }
        end = settings.get("eos_token")
        end = end["content"] if isinstance(end, dict) else end
        if end not in self.special:
            raise TokenizerError(
                f"{path.with_name('tokenizer_config.json')}: eos_token {end!r} is not a special token of {path.name}"
            )
        self.eos_id = self.special[end]
        self.size = self._pieces.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, at_start: bool) -> list[int]:
        return self._pieces.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._pieces.decode(list(ids), skip_special_tokens=False)


def read_vocabulary(directory: Path, settings: dict[str, Any]) -> Vocabulary:
    """The vocabulary of a checkpoint's directory; of two, ``tokenizer.model``, which published LISAs were trained with.

    Args:
        settings: what ``tokenizer_config.json`` holds.

    Raises:
        TokenizerError: there is none, or it cannot be read; the message names the file.
    """
    path = vocabulary_file(directory)
    if not path.is_file():
        raise TokenizerError(f"{path} is missing: copy the checkpoint's sentencepiece tokenizer there")
    if path.name == SENTENCEPIECE_FILE:
        return SentencePieces(path, legacy=bool(settings.get("legacy", True)))
    return BytePairs(path, settings)


def vocabulary_file(directory: Path) -> Path:
    """Where a checkpoint's vocabulary lies, or should lie."""
    path = Path(directory) / BYTE_PAIR_FILE
    other = Path(directory) / SENTENCEPIECE_FILE
    return path if path.is_file() and not other.is_file() else other
