"""An evaluation set in memory whose right answers `fakes.ColorEngine` finds, and may be told to miss."""

from __future__ import annotations

import numpy as np
from fakes import COLORS

from lisa_ros.datasets.example import EvaluationItem

HEIGHT, WIDTH = 24, 32


class ColorBoxes:
    """Pictures of a red and a green box on black. Each has four questions:

    the red box: a phrase ("short"), all of it ignored but its left half; the green box: a sentence ("long"), the truth
    is twice as wide as what is green; the white box: "short", it is not there; and a sentence whose target no colour
    names.
    """

    name = "boxes"

    def __init__(self, count: int = 5, split: str = "val") -> None:
        self.count, self.split = count, split
        self.read = 0

    def __len__(self) -> int:
        return self.count

    def evaluation_item(self, index: int) -> EvaluationItem:
        self.read += 1
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        top = index % 10
        image[top : top + 6, 2:10] = COLORS["red"]
        image[top : top + 8, 14:19] = COLORS["green"]
        targets = np.zeros((4, HEIGHT, WIDTH), np.uint8)
        targets[0, top : top + 6, 2:6] = 1
        targets[0, top : top + 6, 6:10] = 255
        targets[1, top : top + 8, 14:24] = 1
        targets[3, 20:, :] = 1
        return EvaluationItem(
            f"{self.split}/{index:03d}.jpg",
            image,
            ("the red box", " Where is the green box?", "the white box", "What can be opened?"),
            (False, True, False, True),
            targets,
            ("short", "long", "short", "long"),
        )
