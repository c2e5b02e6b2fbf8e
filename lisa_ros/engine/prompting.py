"""Queries to token ids, and how a prompt divides into the frame's prefix and the query's own part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lisa_ros.engine.segmentation import QueryError
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.prompt import CONVERSATIONS, PICTURE, user_turn
from lisa_ros.model.tokenizer import IMAGE, IMAGE_ID, LisaTokenizer


@dataclass(frozen=True)
class Prompt:
    """A query with the turns before it.

    Attributes:
        turns: (user text, answer) of the conversation; the last answer is open.
        ids: all token ids, up to where the answer begins.
        own: those behind the prefix.
        old_segs: how many [SEG] in ``own`` belong to earlier turns.
    """

    turns: tuple[tuple[str, str | None], ...]
    ids: list[int]
    own: list[int]
    old_segs: int


class Prompter:
    """Writes prompts for one checkpoint.

    Attributes:
        prefix_ids: what every prompt begins with, up to and including the picture (and the marker that closes it).
    """

    def __init__(self, config: LisaConfig, tokenizer: LisaTokenizer, conversation: str) -> None:
        self._config, self._tokenizer, self._conversation = config, tokenizer, CONVERSATIONS[conversation]
        self._picture = PICTURE if config.image_markers else IMAGE
        ids = tokenizer.encode_prompt(self._conversation.render([(user_turn("x", "{query}", self._picture), None)]))
        self.prefix_ids = ids[: ids.index(IMAGE_ID) + (2 if config.image_markers else 1)]

    @property
    def naming(self) -> bool:
        """Whether answers name things before [SEG]."""
        return self._conversation.naming

    @property
    def prefix_length(self) -> int:
        """Positions of the prefix, all the picture's patches among them (292 for LISA v1); ``clip_fit: unpad`` leaves some out."""
        return len(self.prefix_ids) - 1 + self._config.vision.patches

    def prompt(self, query: str, template: str, history: Sequence[tuple[str, str]] = ()) -> Prompt:
        """The prompt of a query after earlier (query, answer) turns."""
        turns: list[tuple[str, str | None]] = []
        for text, answer in (*history, (query, None)):
            turns.append((user_turn(text, template, "" if turns else self._picture), answer))
        # always of the whole text: sentencepiece pieces depend on what precedes them
        ids = self._tokenizer.encode_prompt(self._conversation.render(turns))
        old = self._tokenizer.encode_prompt(self._conversation.render(turns[:-1])) if history else []
        return Prompt(tuple(turns), ids, ids[len(self.prefix_ids) :], old.count(self._tokenizer.seg_id))

    def answer_ids(self, prompt: Prompt, answer: str) -> list[int]:
        """The ids behind the prompt's own when this is the answer."""
        turns = [*prompt.turns[:-1], (prompt.turns[-1][0], answer)]
        return self._tokenizer.encode_prompt(self._conversation.render(turns))[len(prompt.ids) :]

    def check_length(self, prompt: Prompt, room: int) -> None:
        """Raises QueryError when the prompt and ``room`` tokens of answer do not fit the model's context."""
        limit = self._config.language.max_position_embeddings
        length = self.prefix_length + len(prompt.own) + room
        if length > limit:
            raise QueryError(
                f"the prompt takes {length} positions ({room} of them for the answer), the model reads {limit}: "
                "shorten the query or the answer's limit (max_new_tokens)"
            )
