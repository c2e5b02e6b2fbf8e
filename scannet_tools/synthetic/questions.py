"""Questions about a frame and their answers: explicit, relational, by use, and about what is not there."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .kinds import BY_NAME, KINDS, USES, Use

EXPLICIT = ("the {x}", "{x}", "Can you segment the {x} in this image?", "Please segment the {x} in this image.", "hand me the {x}", "bring me the {x}",
            "where is the {x}?", "find the {x}", "show me the {x}", "pick up the {x}", "What is {x} in this image? Please output segmentation mask.")
EXPLICIT_UNSEEN = ("I need the {x}", "give me the {x} please", "could you get the {x} for me?", "locate the {x}")  # asked by the test split only
MIN_SHARE = 0.003  # of the picture: smaller targets are not asked for
SEEN = 12  # pixels from which an object counts as in view (at 320x240), so that nothing half seen is called absent
AIM = {"explicit": 4, "relational": 2, "use": 2, "absent": 3}


@dataclass(frozen=True)
class Question:
    """A query and its truth. kind: "explicit", "relational", "use" or "absent"; targets: instance numbers, empty when absent;
    answer: the sentence that follows "[SEG]." (or stands alone when absent)."""

    text: str
    kind: str
    targets: tuple[int, ...]
    answer: str


@dataclass(frozen=True)
class View:
    """One object as a frame shows it: number, kind, colour, visible pixels, mean column, median depth, what it stands on."""

    id: int
    kind: str
    color: str
    pixels: int
    u: float
    z: float
    supported_by: int


def views(objects, instance: np.ndarray, depth: np.ndarray) -> list[View]:
    """The objects in view, largest number of pixels not guaranteed; ``objects`` as in SyntheticFrame."""
    found = []
    for item in objects:
        mask = instance == item.id
        pixels = int(mask.sum())
        if pixels:
            found.append(View(item.id, item.kind, item.color, pixels, float(np.nonzero(mask)[1].mean()), float(np.median(depth[mask])), item.supported_by))
    return found


class Asker:
    """Makes the questions of one frame.

    Args:
        seen: objects in view. scene_kinds: kinds that scenes of this sort hold: absent things are drawn from them, so that language alone
            cannot tell. unseen: share of wordings from those that training never uses.
    """

    def __init__(self, seen: Sequence[View], shape: tuple[int, int], scene_kinds: Sequence[str], rng: np.random.Generator, unseen: float):
        self.rng, self.unseen = rng, unseen
        scale = shape[0] * shape[1] / (320 * 240)
        self.seen = list(seen)
        self.clear = [view for view in seen if view.pixels >= max(MIN_SHARE * shape[0] * shape[1], SEEN * scale)]
        self.width = shape[1]
        self.kinds_seen = {view.kind for view in seen}
        self.scene_kinds = [name for name in scene_kinds if name not in self.kinds_seen]

    def ask(self) -> list[Question]:
        questions: list[Question] = []
        for kind, count in AIM.items():
            made = getattr(self, "_" + kind)()
            order = self.rng.permutation(len(made))
            questions += [made[i] for i in order[:count]]
        return questions

    def _pick(self, usual: Sequence[str], unseen: Sequence[str]) -> str:
        pool = unseen if unseen and self.rng.random() < self.unseen else usual
        return str(pool[int(self.rng.integers(len(pool)))])

    def _called(self, kind: str) -> str:
        synonyms = BY_NAME[kind].synonyms
        return str(self.rng.choice(synonyms)) if synonyms and self.rng.random() < 0.25 else kind

    def _explicit_text(self, noun: str) -> str:
        return self._pick(EXPLICIT, EXPLICIT_UNSEEN).replace("{x}", noun)

    def _explicit(self) -> list[Question]:
        made = []
        for view in self.clear:
            same_kind = [other for other in self.seen if other.kind == view.kind]
            same = [other for other in same_kind if other.color == view.color]
            if len(same) > 1:
                continue
            noun = self._called(view.kind)
            if len(same_kind) > 1 or self.rng.random() < 0.6:
                noun = f"{view.color} {noun}"
            made.append(Question(self._explicit_text(noun), "explicit", (view.id,), f"It is the {view.color} {view.kind}."))
        return made

    def _relational(self) -> list[Question]:
        made = []
        margin = 0.04 * self.width
        for view in self.clear:
            answer = f"It is the {view.color} {view.kind}."
            twins = [other for other in self.seen if other.kind == view.kind and other.id != view.id]
            for anchor in self.clear:
                if anchor.kind == view.kind or sum(other.kind == anchor.kind for other in self.seen) > 1:
                    continue
                if anchor.id == view.supported_by:
                    if not any(other.supported_by == anchor.id and other.id != view.id for other in self.seen):
                        thing = self._pick(("thing", "object", view.kind), ())
                        made.append(Question(self._explicit_text(f"{thing} on the {anchor.kind}"), "relational", (view.id,), answer))
                    continue
                for side, sign in (("left", -1), ("right", 1)):
                    def lies(other: View, sign: int = sign, anchor: View = anchor) -> bool:
                        return sign * (other.u - anchor.u) > margin
                    if lies(view) and all(sign * (twin.u - anchor.u) < -margin for twin in twins) and (twins or self.rng.random() < 0.15):
                        made.append(Question(self._explicit_text(f"{self._called(view.kind)} {side} of the {anchor.kind}"), "relational", (view.id,), answer))
            if len(twins) == 0:
                continue
            for words, rank in (("closest to the camera", lambda v: v.z), ("furthest from the camera", lambda v: -v.z),
                                ("on the left", lambda v: v.u), ("on the right", lambda v: -v.u)):
                gap = 0.06 * view.z if "camera" in words else 2 * margin
                if all(rank(view) + gap < rank(twin) for twin in twins):
                    made.append(Question(self._explicit_text(f"{self._called(view.kind)} {words}"), "relational", (view.id,), answer))
        return made

    def _use(self) -> list[Question]:
        made = []
        for use in USES:
            if self.kinds_seen & set(use.blockers):
                continue
            targets = [view for view in self.seen if view.kind in use.kinds]
            if targets and all(target in self.clear for target in targets) and len(targets) <= 3:
                targets.sort(key=lambda view: -view.pixels)
                names = [f"the {view.color} {view.kind}" for view in targets]
                listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
                made.append(Question(self._use_text(use), "use", tuple(view.id for view in targets), f"It is {listed}."))
        return made

    def _use_text(self, use: Use) -> str:
        return self._pick(use.phrases, use.unseen)

    def _absent(self) -> list[Question]:
        made = []
        for name in self.rng.permutation(self.scene_kinds)[:2]:
            kind = BY_NAME[str(name)]
            noun, answer = self._called(kind.name), kind.name
            if self.rng.random() < 0.6:
                color = str(self.rng.choice(kind.colors))
                noun, answer = f"{color} {noun}", f"{color} {answer}"
            if self.rng.random() < 0.15 and self.clear:
                anchor = self.clear[int(self.rng.integers(len(self.clear)))].kind
                noun += f" {self._pick(('left', 'right'), ())} of the {anchor}"
            made.append(Question(self._explicit_text(noun), "absent", (), f"There is no {answer} here."))
        for view in self.clear:  # the kind is there, the colour is not
            taken = {other.color for other in self.seen if other.kind == view.kind}
            free = [color for color in BY_NAME[view.kind].colors if color not in taken]
            if free and self.rng.random() < 0.3:
                color = str(self.rng.choice(free))
                made.append(Question(self._explicit_text(f"{color} {self._called(view.kind)}"), "absent", (), f"There is no {color} {view.kind} here."))
        idle = [use for use in USES if not self.kinds_seen & {*use.kinds, *use.blockers} and set(use.kinds) & set(self.scene_kinds)]
        if idle:
            use = idle[int(self.rng.integers(len(idle)))]
            made.append(Question(self._use_text(use), "absent", (), use.absent))
        return made


def kinds_of(scene: str) -> list[str]:
    """Names of the kinds that scenes of a sort may hold ("room" or "table_top")."""
    if scene == "table_top":
        return [kind.name for kind in KINDS if "table" in kind.places and kind.name not in ("television",)]
    return [kind.name for kind in KINDS]
