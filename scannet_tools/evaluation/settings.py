"""What the numbers of a run depend on. A row that was made with other settings is made anew."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TRUTHS = ("filt", "mesh")


@dataclass(frozen=True)
class Settings:
    """model, engine_digest: which weights. device: "cpu" or "cuda", without a number. dtype, mode: as given.

    every, start, max_frames: which frames of a scene are asked (max_frames 0 = all). truth: "filt" (the scene's own
    instance pictures) or "mesh" (the annotated mesh, ray-cast). min_share: from which share of the picture a target is
    in view.
    """

    model: str
    engine_digest: str
    device: str
    dtype: str
    mode: str
    every: int = 1
    max_frames: int = 0
    truth: str = "filt"
    min_share: float = 0.003

    def of_scene(self, scene_digest: str) -> dict[str, Any]:
        """As a row keeps it. scene_digest: of the scene's files and questions."""
        return {**asdict(self), "scene_digest": scene_digest}

    def frames(self, count: int) -> list[int]:
        """The numbers of the frames to ask of a scene with so many."""
        chosen = list(range(0, count, self.every))
        return chosen[: self.max_frames] if self.max_frames else chosen
