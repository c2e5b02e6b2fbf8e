"""Questions about a whole scene, in the wordings that single frames are asked in.

Left, right and "closest to the camera" depend on where one stands, so relations are between things here: what a thing
stands on, and which of several is nearer to another thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scannet_tools.synthetic.questions import Asker, Question, View, kinds_of
from scannet_tools.synthetic.take import TakenObject

AIM = {"explicit": 6, "relational": 4, "use": 4, "absent": 4}
"""At most so many questions of each kind."""

NEARER = 0.7
"""A thing is the closest to another when the runner-up's distance times this is still more than its own."""

_CLOSEST = ("closest to", "nearest to")


def ask_about_scene(
    objects: Sequence[TakenObject],
    pixels: np.ndarray,
    scene: str,
    picture: tuple[int, int],
    rng: np.random.Generator,
) -> list[Question]:
    """Questions whose targets are object ids.

    Args:
        objects: of the scene; pieces of the room are never asked for. pixels: int [objects + 1], of each object id in
            the frame that shows it best: what is nowhere seen well is not asked for, but never called absent either.
        scene: "room" or "table_top". picture: (height, width) of the frames.
    """
    things = [item for item in objects if item.color]
    views = [View(o.id, o.label, o.color, max(int(pixels[o.id]), 1), 0.0, 0.0, 0.0, o.supported_by, o.size) for o in things]
    return SceneAsker(views, {item.id: item.middle for item in things}, scene, picture, rng).ask()


class SceneAsker(Asker):
    """An Asker that knows where things are instead of what a frame shows."""

    def __init__(
        self,
        views: Sequence[View],
        middles: dict[int, np.ndarray],
        scene: str,
        picture: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(views, picture, kinds_of(scene), rng, True)
        self._middles = middles

    def ask(self) -> list[Question]:
        """At most AIM's numbers of each kind; no two have the same text."""
        kept: dict[str, Question] = {}
        for kind, count in AIM.items():
            made = {question.text: replace(question, kind=kind) for question in getattr(self, "_" + kind)()}
            texts = [str(text) for text in self.rng.permutation(list(made)) if text not in kept]
            kept.update((text, made[text]) for text in texts[:count])
        return list(kept.values())

    def _absent(self) -> list[Question]:
        """Without places: "left of the table" is true or false only from somewhere."""
        places = [f" {words} the " for words in (*self.words.left, *self.words.right)]
        return [question for question in super()._absent() if not any(place in question.text for place in places)]

    def _relational(self) -> list[Question]:
        made = []
        for view in self.clear:
            twins = self._twins(view)
            for anchor in self._anchors(view):
                noun, words = self._called(view.kind), ""
                if anchor.id == view.supported_by:
                    if all(other.supported_by != anchor.id for other in self.seen if other.id != view.id):
                        noun = self._pick(self.words.things)
                    if all(twin.supported_by != anchor.id for twin in twins):
                        words = self._pick(self.words.on)
                elif twins and all(self._apart(view, anchor) < NEARER * self._apart(twin, anchor) for twin in twins):
                    words = self._pick(_CLOSEST)
                if words:
                    place = f"{words} the {anchor.kind}"
                    made.append(self._question("relational", f"{noun} {place}", [view], place))
        return made

    def _apart(self, one: View, other: View) -> float:
        return float(np.linalg.norm(self._middles[one.id] - self._middles[other.id]))
