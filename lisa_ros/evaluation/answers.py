"""Whether a written answer names the right things: "It is the red mug, left of the bowl" and "the mug in red" name the red mug."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

SEG = "[SEG]"
DENIAL = re.compile(r"\bthere(?:['’]s| is| are) (?:no|none|nothing|not)\b", re.IGNORECASE)
"""How an answer says that what was asked for is not there."""


class Naming:
    """The names that things can have: a colour right before a kind or a kind in a colour, the longest kind that fits ("watering can").

    :param kinds: "mug", "washing machine", ...; a name in the plural is not one of them.
    :param colors: "red", ...
    """

    def __init__(self, kinds: Iterable[str], colors: Iterable[str]) -> None:
        color, kind = _any_of(colors), _any_of(kinds)
        self._name = re.compile(rf"\b(?:({color})\s+({kind})|({kind})\s+in\s+({color}))\b", re.IGNORECASE)

    def names(self, text: str) -> set[str]:
        """All names in a text, as "red mug" in small letters."""
        found = self._name.findall(text)
        return {f"{color or late_color} {kind or late_kind}".lower() for color, kind, late_kind, late_color in found}

    def right(self, written: str, wanted: Sequence[str]) -> bool:
        """Whether an answer has a [SEG] and names exactly the wanted things; when none is wanted, whether it has no
        [SEG] and says that there is none.

        :param wanted: name of each target; equal ones count once.
        """
        if not wanted:
            return SEG not in written and DENIAL.search(written) is not None
        return SEG in written and DENIAL.search(written) is None and self.names(written) == set(wanted)


def scene_naming() -> Naming:
    """The names of things in synthetic scenes."""
    from scannet_tools.synthetic.kinds import BY_NAME
    from scannet_tools.synthetic.palette import COLORS

    return Naming(BY_NAME, COLORS)


def target_names(frame: Any, targets: Sequence[int]) -> list[str]:
    """ "red mug" for each target of a synthetic frame. Raises KeyError when the frame has no such object."""
    names = {item.id: f"{item.color} {item.kind}" for item in frame.objects}
    return [names[target] for target in targets]


def answer_shares(written: Sequence[tuple[str, Sequence[str]]], naming: Naming) -> dict[str, dict[str, Any]]:
    """Share of right answers.

    :param written: (answer, names of its targets) of every question.
    :return: {group: {share (None without questions), n}}: `single` (one target), `several` (more), `present` (both),
        `absent`, `overall`.
    """
    groups: dict[str, list[bool]] = {name: [] for name in ("single", "several", "present", "absent", "overall")}
    for text, wanted in written:
        right = naming.right(text, wanted)
        own = ("absent",) if not wanted else ("single" if len(wanted) == 1 else "several", "present")
        for name in (*own, "overall"):
            groups[name].append(right)
    return {name: {"share": sum(hits) / len(hits) if hits else None, "n": len(hits)} for name, hits in groups.items()}


def _any_of(words: Iterable[str]) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in longest_first)
