"""Answers on a terminal while the model writes them: a line for each query, with the end of its text when it is
longer."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from typing import TextIO


def live_answers(count: int) -> LiveAnswers | None:
    """Lines for the answers to `count` queries on stderr; None where nobody watches: a pipe, a file, a dumb
    terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return None
    return LiveAnswers(count, sys.stderr)


class LiveAnswers:
    """Call it with (query index, text so far). The lines stay when the answers are complete."""

    def __init__(self, count: int, stream: TextIO) -> None:
        size = shutil.get_terminal_size()
        self._rows = min(count, max(1, size.lines - 1))  # the cursor cannot go back to what has left the screen
        self._width = size.columns - 1
        self._stream = stream
        self._begun = False

    def __call__(self, q: int, text: str) -> None:
        if q >= self._rows:
            return
        if not self._begun:
            self._stream.write("\n" * self._rows)
            self._begun = True
        up = self._rows - q
        self._stream.write(f"\x1b[{up}A\r\x1b[2K{fit(text, self._width)}\x1b[{up}B\r")
        self._stream.flush()


def fit(text: str, width: int) -> str:
    """The end of a text, at most `width` columns, on one line. Control characters, which move the cursor, become
    blanks."""
    kept, free = [], width
    for letter in reversed(text):
        letter = letter if letter.isprintable() else " "
        free -= _columns(letter)
        if free < 0:
            break
        kept.append(letter)
    return "".join(reversed(kept))


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
