"""Questions about a frame and their answers: explicit, relational, comparisons, by use, several targets, and about what is not there."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .kinds import BY_NAME, KINDS, USES, Use
from .palette import COLORS
from .wordings import UNSEEN, USUAL, Wording, pick

MIN_SHARE = 0.003  # of the picture: smaller targets are not asked for
SEEN = 12  # pixels from which an object counts as in view (at 320x240), so that nothing half seen is called absent
AIM = {"explicit": 3, "relational": 2, "comparison": 1, "several": 1, "use": 2, "absent": 3}
"""At most so many questions of each kind about a frame of a split; in this order."""
SUPPORTS = ("table", "tray", "rug", "book", "box", "bench", "cabinet", "bed", "sofa", "armchair", "piano", "washing machine")
WIDE = ("table", "rug", "bench", "cabinet", "bed", "sofa", "armchair", "piano", "bookshelf", "refrigerator", "washing machine")


@dataclass(frozen=True)
class Question:
    """A query and its truth. kind: one of AIM's, or "held-out use"; targets: instance numbers, empty when absent; answer: a sentence that says so;
    missing: names ("mug", "mug in red") any of which is what an absent target may be called."""

    text: str
    kind: str
    targets: tuple[int, ...]
    answer: str
    missing: tuple[str, ...] = ("thing",)


@dataclass(frozen=True)
class View:
    """One object as a frame shows it.

    Attributes:
        id: instance number. pixels: visible ones. u, v: mean column and row. z: median depth in metres. supported_by: id of what it stands on, or 0.
        size: metres along its own axes, the last upwards.
    """

    id: int
    kind: str
    color: str
    pixels: int
    u: float
    v: float
    z: float
    supported_by: int
    size: tuple[float, float, float]

    @property
    def name(self) -> str:
        """What answers call it."""
        return f"the {self.color} {self.kind}"

    @property
    def volume(self) -> float:
        """Of its box, m^3."""
        return float(np.prod(self.size))


def views(objects, instance: np.ndarray, depth: np.ndarray) -> list[View]:
    """The objects in view, largest number of pixels not guaranteed; ``objects`` as in SyntheticFrame."""
    found = []
    for item in objects:
        mask = instance == item.id
        pixels = int(mask.sum())
        if pixels:
            v, u = (float(place.mean()) for place in np.nonzero(mask))
            found.append(View(item.id, item.kind, item.color, pixels, u, v, float(np.median(depth[mask])), item.supported_by, item.size))
    return found


class Asker:
    """Makes the questions of one frame.

    Args:
        seen: objects in view. shape: (height, width) of the picture. scene_kinds: kinds that scenes of this sort hold: absent things are drawn
            from them, so that language alone cannot tell. unseen: ask in wordings, and for uses, that training never uses.
    """

    def __init__(self, seen: Sequence[View], shape: tuple[int, int], scene_kinds: Sequence[str], rng: np.random.Generator, unseen: bool):
        self.rng, self.unseen = rng, unseen
        self.words: Wording = UNSEEN if unseen else USUAL
        scale = shape[0] * shape[1] / (320 * 240)
        self.seen = list(seen)
        self.clear = [view for view in seen if view.pixels >= max(MIN_SHARE * shape[0] * shape[1], SEEN * scale)]
        self.width, self.height = shape[1], shape[0]
        self.kinds_seen = {view.kind for view in seen}
        shown = {name for kind in self.kinds_seen for name in BY_NAME[kind].shows}
        self.scene_kinds = [name for name in scene_kinds if name not in self.kinds_seen | shown]

    def ask(self, most: Mapping[str, int] = AIM) -> list[Question]:
        """Questions of every kind, at most so many of each as ``most`` says."""
        questions: list[Question] = []
        for kind, count in most.items():
            made = getattr(self, "_" + kind)()
            order = self.rng.permutation(len(made))
            questions += [made[i] for i in order[:count]]
        return questions

    # --- words --------------------------------------------------------------------------------------------------------------------

    def _pick(self, options: Sequence[str]) -> str:
        return pick(options, self.rng)

    def _called(self, kind: str) -> str:
        synonyms = BY_NAME[kind].synonyms
        return self._pick(synonyms) if synonyms and self.rng.random() < 0.25 else kind

    def _colored(self, color: str, noun: str) -> str:
        return self._pick(self.words.colored).replace("{color}", color).replace("{noun}", noun)

    def _request(self, wanted: str, article: str = "the ") -> str:
        return self.words.request(wanted, self.rng, article)

    def _question(self, kind: str, wanted: str, targets: Sequence[View], reason: str = "") -> Question:
        return Question(self._request(wanted), kind, tuple(view.id for view in targets), answer(targets, reason))

    def _twins(self, view: View) -> list[View]:
        return [other for other in self.seen if other.kind == view.kind and other.id != view.id]

    def _anchors(self, view: View) -> list[View]:
        """Clear things that their kind alone names."""
        return [a for a in self.clear if a.kind != view.kind and sum(other.kind == a.kind for other in self.seen) == 1]

    # --- kinds of question --------------------------------------------------------------------------------------------------------

    def _explicit(self) -> list[Question]:
        made = []
        for view in self.clear:
            twins = self._twins(view)
            if any(twin.color == view.color for twin in twins):
                continue
            noun = self._called(view.kind)
            if twins or self.rng.random() < 0.6:
                noun = self._colored(view.color, noun)
            made.append(self._question("explicit", noun, [view]))
            if self.rng.random() < 0.15 and all(other.color != view.color for other in self.seen if other.id != view.id):
                made.append(self._question("explicit", self._colored(view.color, self._pick(self.words.things)), [view]))
        return made

    def _relational(self) -> list[Question]:
        made = []
        margin = 0.04 * self.width
        for view in self.clear:
            twins = self._twins(view)
            for anchor in self._anchors(view):
                made += self._beside_anchor(view, twins, anchor, margin)
            if twins:
                for words, rank, gap in (
                    (self.words.near, lambda v: v.z, 0.06 * view.z), (self.words.far, lambda v: -v.z, 0.06 * view.z),
                    (self.words.leftmost, lambda v: v.u, 2 * margin), (self.words.rightmost, lambda v: -v.u, 2 * margin),
                ):  # fmt: skip
                    if all(rank(view) + gap < rank(twin) for twin in twins):
                        where = self._pick(words)
                        made.append(self._question("relational", f"{self._called(view.kind)} {where}", [view], where))
        return made

    def _beside_anchor(self, view: View, twins: list[View], anchor: View, margin: float) -> list[Question]:
        made = []

        def add(words: Sequence[str], noun: str | None = None) -> None:
            place = f"{self._pick(words)} the {anchor.kind}"
            made.append(self._question("relational", f"{noun or self._called(view.kind)} {place}", [view], place))

        if anchor.id == view.supported_by:
            if not any(other.supported_by == anchor.id and other.id != view.id for other in self.seen):
                add(self.words.on, self._pick((*self.words.things, view.kind)))
            elif all(twin.supported_by != anchor.id for twin in twins) and (twins or self.rng.random() < 0.1):
                add(self.words.on)
            return made
        if anchor.kind in SUPPORTS and any(other.supported_by == anchor.id for other in (view, *twins)):
            return made
        for words, sign in ((self.words.left, -1), (self.words.right, 1)):
            apart = sign * (view.u - anchor.u) > margin
            if apart and all(sign * (twin.u - anchor.u) < -margin for twin in twins) and (twins or self.rng.random() < 0.15):
                add(words)
        if not twins:
            return made
        for words, sign in ((self.words.front, -1), (self.words.behind, 1)):
            gap = 0.06 * anchor.z
            here = sign * (view.z - anchor.z) > gap and abs(view.u - anchor.u) < 3 * margin
            if here and all(sign * (twin.z - anchor.z) < -gap for twin in twins):
                add(words)
        if all(self._apart(view, anchor) < 0.55 * self._apart(twin, anchor) for twin in twins):
            add(self.words.beside)
        return made

    def _apart(self, one: View, other: View) -> float:
        """How far two things seem from each other, in metres or (here) in pixels weighted with their depth."""
        return float(np.hypot(np.hypot(one.u - other.u, one.v - other.v), self.width * abs(one.z - other.z)))

    def _comparison(self) -> list[Question]:
        made = []
        for view in self.clear:
            twins = self._twins(view)
            if not twins:
                continue
            noun = self._called(view.kind)
            if all(view.volume > 1.5 * twin.volume for twin in twins):
                made.append(self._question("comparison", f"{self._pick(self.words.bigger if len(twins) == 1 else self.words.biggest)} {noun}", [view]))
            if all(1.5 * view.volume < twin.volume for twin in twins):
                made.append(self._question("comparison", f"{self._pick(self.words.smaller if len(twins) == 1 else self.words.smallest)} {noun}", [view]))
            if all(view.size[2] > 1.25 * twin.size[2] for twin in twins):
                made.append(self._question("comparison", f"{self._pick(self.words.tallest)} {noun}", [view]))
        made += self._extremes()
        return made

    def _extremes(self) -> list[Question]:
        """Which thing of all is the tallest, the nearest. What most things stand on is not one of them, as people mean it."""
        things = [view for view in self.seen if 2 * sum(other.supported_by == view.id for other in self.seen) < len(self.seen)]
        if len(things) < 3:
            return []
        made, thing, words = [], self._pick(self.words.things), self.words
        ranks = [(words.tallest, lambda v: v.size[2], 1.2), (words.smallest, lambda v: 1 / v.volume, 1.5)]
        if not any(view.kind == "rug" for view in things):  # wide, but of little volume
            ranks.append((words.biggest, lambda v: v.volume, 1.5))
        places = []
        if not any(view.kind in WIDE for view in things):  # their middle says little about where they begin
            places = [(words.near, lambda v: 1 / v.z, 1.1), (words.leftmost, lambda v: 2 - v.u / self.width, 1.08),
                      (words.rightmost, lambda v: 1 + v.u / self.width, 1.08)]  # fmt: skip
        for options, rank, ratio in (*ranks, *places):
            first, second = sorted(things, key=rank, reverse=True)[:2]
            if first in self.clear and first.kind not in ("picture", "rug") and rank(first) > ratio * rank(second):
                word = self._pick(options)
                place = any(options is other for other, _, _ in places)
                made.append(self._question("comparison", f"{thing} {word}" if place else f"{word} {thing}", [first]))
        return made

    def _several(self) -> list[Question]:
        made = []
        single = [view for view in self.clear if not self._twins(view)]
        if len(single) >= 2:
            a, b = (single[i] for i in self.rng.permutation(len(single))[:2])
            names = [self._colored(v.color, v.kind) if self.rng.random() < 0.3 else self._called(v.kind) for v in (a, b)]
            made.append(self._question("several", self._pick(self.words.pair).replace("{a}", names[0]).replace("{b}", names[1]), [a, b]))
        for kind in sorted({view.kind for view in self.clear}):
            group = [view for view in self.seen if view.kind == kind]
            if 2 <= len(group) <= 4 and all(view in self.clear for view in group):
                wanted = self._pick(self.words.all).replace("{nouns}", plural(kind)).replace("{noun}", kind)
                found = Question(self._request(wanted, ""), "several", tuple(view.id for view in group), answer(group, ""))
                made.append(found)
        return made

    def _use(self) -> list[Question]:
        made = []
        for use in USES:
            if (use.held_out and not self.unseen) or self.kinds_seen & set(use.blockers):
                continue
            targets = [view for view in self.seen if view.kind in use.kinds]
            if targets and all(target in self.clear for target in targets) and len(targets) <= 3:
                targets.sort(key=lambda view: -view.pixels)
                ids = tuple(view.id for view in targets)
                made.append(Question(self._use_text(use), "held-out use" if use.held_out else "use", ids, answer(targets, use.why, ": ")))
        return made

    def _use_text(self, use: Use) -> str:
        return self._pick(use.unseen) if self.unseen else use_sentence(use, self.words, self.rng)

    def _absent(self) -> list[Question]:
        made = []
        for name in self.rng.permutation(self.scene_kinds)[:2]:
            kind = BY_NAME[str(name)]
            noun, missing, name = self._called(kind.name), kind.name, kind.name
            if self.rng.random() < 0.6:
                color = self._pick(kind.colors)
                noun, missing, name = self._colored(color, noun), f"{color} {missing}", f"{missing} in {color}"
            if self.rng.random() < 0.15 and self.clear:
                anchor = self.clear[int(self.rng.integers(len(self.clear)))].kind
                noun += f" {self._pick((*self.words.left, *self.words.right))} the {anchor}"
            made.append(Question(self._request(noun), "absent", (), f"There is no {missing} here.", (name,)))
        for view in self.clear:  # the kind is there, the colour is not
            same = [view, *self._twins(view)]
            free = [color for color in BY_NAME[view.kind].colors if color not in {other.color for other in same}]
            if free and self.rng.random() < 0.3:
                color = self._pick(free)
                only = f"There is no {color} {view.kind} here, only a {view.color} one." if len(same) == 1 else f"There is no {color} {view.kind} here."
                asked = self._request(self._colored(color, self._called(view.kind)))
                made.append(Question(asked, "absent", (), only, (f"{view.kind} in {color}",)))
        missing = [color for color in COLORS if all(view.color != color for view in self.seen)]
        if missing and self.rng.random() < 0.1:
            color, thing = self._pick(missing), self._pick(self.words.things)
            asked = self._request(self._colored(color, thing))
            made.append(Question(asked, "absent", (), f"There is no {color} {thing} here.", (f"thing in {color}",)))
        idle = [use for use in USES if not use.held_out and not self.kinds_seen & {*use.kinds, *use.blockers} and set(use.kinds) & set(self.scene_kinds)]
        for index in self.rng.permutation(len(idle))[:2]:
            use = idle[index]
            fitting = tuple(kind for kind in use.kinds if kind in self.scene_kinds)
            made.append(Question(self._use_text(use), "absent", (), use.absent, fitting))
        return made


def use_sentence(use: Use, words: Wording, rng: np.random.Generator) -> str:
    """One of training's sentences that ask for a use: a whole one, or a request for "something to ..."."""
    if rng.random() < 0.7:
        return pick(use.said, rng)
    thing = pick(("something to", "a thing to", "something I can", "what I can"), rng)
    return words.request(f"{thing} {pick(use.to, rng)}", rng, "")


def answer(targets: Sequence[View], reason: str, between: str = ", ") -> str:
    """The sentence that names the targets; when it is one, with a reason."""
    return sentence([view.name for view in targets], between + reason if reason and len(targets) == 1 else "")


def sentence(names: Sequence[str], reason: str = "") -> str:
    """ "It is the red mug." or "These are the red mug and the blue book."; ``reason`` stands before the full stop."""
    if len(names) == 1:
        return f"It is {names[0]}{reason}."
    return f"These are {', '.join(names[:-1])} and {names[-1]}{reason}."


def plural(noun: str) -> str:
    """Of a kind's name."""
    if noun in ("scissors", "headphones"):
        return noun
    if noun == "bookshelf":
        return "bookshelves"
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun + "s"


def kinds_of(scene: str) -> list[str]:
    """Names of the kinds that scenes of a sort may hold ("room" or "table_top")."""
    if scene == "table_top":
        return [kind.name for kind in KINDS if "table" in kind.places and kind.name not in ("television",)]
    return [kind.name for kind in KINDS]

