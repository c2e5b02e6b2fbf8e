"""Training recipes: YAML files under config/train, parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from lisa_ros.model.config import LanguageConfig, LisaConfig, VisionConfig
from lisa_ros.model.sam import SamConfig
from lisa_ros.training.mini.optimizer import OPTIMIZERS

PARTS = ("vision", "sam", "words", "language", "whole")


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training with its own learning rate.

    Attributes:
        images: pictures seen, over all processes. batch: pictures an update. questions: questions a picture, 0 for parts that read none; of ``written`` of
            them (None: all) the answers are learned to their end.
        sentences: sentences by use that are read beside each picture, without it ("language", "whole"; ``lisa_ros.training.mini.sentences``).
        lr: peak learning rate, reached after ``warmup`` updates, kept, and lowered linearly to zero over the last ``decay`` share.
        part: what is trained. "vision": towers and mask decoder, masks prompted by name. "sam": the same without
            CLIP's tower. "words": CLIP tower and projector, towards the words of
            what patches show. "language": language model and head, whose mask prompts are pulled towards those names; no masks. "whole": those
            and the mask decoder, with the paper's losses.
        told: share of a batch's pictures whose patches are the words of what they show instead of what CLIP's tower sees ("language", "whole").
        fit_head: begin with the head that a regression finds for the language model as it is then (``lisa_ros.training.mini.head``).
        crop: half of the pictures are parts of pictures around one of their things, whose width is at least this share of the whole.
        names: objects a picture whose masks are asked for by name ("vision", "sam"). groups: share of those names that do not tell the place, and
            mean everything of that kind or colour. A language model asks for one thing at a time.
        blur: how far beside the target a name's place may be told, as a share of SAM's square: a language model's is not exact, and the mask decoder
            should find the thing nevertheless ("vision", "sam").
        absent_weight: weight of the BCE of absent targets' masks, which should be empty ("whole").
        dense_weight, align_weight, place_weight, presence_weight, look_weight: weights of the warm-up's losses (for "whole": beside the paper's).
        sentences_weight: weight of the cross entropy of the kinds that ``sentences`` mean.
    """

    name: str
    images: int
    batch: int
    lr: float
    questions: int = 8
    written: int | None = None
    sentences: int = 0
    warmup: int = 100
    decay: float = 0.3
    part: str = "whole"
    crop: float = 0.65
    names: int = 0
    groups: float = 0.3
    blur: float = 0.0
    told: float = 0.0
    fit_head: bool = False
    absent_weight: float = 0.0
    dense_weight: float = 0.0
    align_weight: float = 0.0
    place_weight: float = 0.0
    presence_weight: float = 0.0
    look_weight: float = 0.0
    sentences_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise TypeError(f'stage {self.name}: part "{self.part}" is none of {", ".join(PARTS)}')
        if self.questions < 1 and self.part in ("language", "whole"):
            raise TypeError(f'stage {self.name}: part "{self.part}" learns from questions: they must be 1 or more')
        if self.sentences and self.part not in ("language", "whole"):
            raise TypeError(f'stage {self.name}: part "{self.part}" reads nothing: sentences must be 0')
        if not 0 <= self.groups <= 1:
            raise TypeError(f"stage {self.name}: groups {self.groups} is no share of the names")
        if not 0 < self.crop <= 1:
            raise TypeError(f"stage {self.name}: crop {self.crop} is no share of a picture's width")

    @property
    def updates(self) -> int:
        return max(1, self.images // self.batch)

    def rate(self, update: int) -> float:
        """Learning rate at an update, 0-based."""
        rising = min(1.0, (update + 1) / max(1, self.warmup))
        left = (self.updates - update) / max(1.0, self.decay * self.updates)
        return self.lr * min(rising, left, 1.0)


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    Attributes:
        vocabulary, model: size of the vocabulary and of the parts, of a run that begins with new weights.
        start: "language": directory of a language model, on the "towers" of an earlier run's directory (or lisa-mini), with a "conversation"; "shipped": what
            was trained of it before goes on learning. "towers" alone: those go on learning.
        looking: [layer, head] of the language model that ``look_weight`` teaches to look from a noun to what it names.
        compile: the image towers learn compiled, CLIP's on a CPU half as fast again: for long stages of "words" or "sam"; needs a C++ compiler.
        optimizer: "adamw" or "muon", see ``lisa_ros.training.mini.optimizer``.
        lora: rank, alpha, dropout, targets of the language model's adapters. precision: "no" or "bf16" (mixed).
    """

    name: str
    seed: int
    stages: tuple[Stage, ...]
    vocabulary: int = 0
    model: dict[str, Any] | None = None
    start: dict[str, str] | None = None
    lora: dict[str, Any] | None = None
    looking: tuple[tuple[int, int], ...] = ()
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "no"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.model is None and not {"language", "towers"} <= set(self.start or {}):
            raise TypeError("either model is needed, or start.language and start.towers")
        if "language" in (self.start or {}) and self.lora is None:
            raise TypeError("lora is needed with start.language")
        if not self.looking and any(stage.look_weight for stage in self.stages):
            raise TypeError("look_weight teaches the heads that looking names: none is named")
        if self.optimizer not in OPTIMIZERS:
            raise TypeError(f'optimizer "{self.optimizer}" is none of {", ".join(OPTIMIZERS)}')
        if self.precision not in ("no", "bf16"):
            raise TypeError(f'precision "{self.precision}" is neither "no" nor "bf16"')

    def config(self, vocab_size: int) -> LisaConfig:
        """The model's configuration. Raises RecipeError for unknown or missing keys."""
        model = dict(self.model)
        try:
            language = LanguageConfig(vocab_size=vocab_size, **model.pop("language"))
            vision = VisionConfig(**model.pop("vision"))
            sam = SamConfig.from_json(model.pop("sam"))
            return LisaConfig(language=language, vision=vision, sam=sam, name=self.name, **model)
        except (KeyError, TypeError) as error:
            raise RecipeError(f"recipe {self.name}: model: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """Parse a recipe. Raises RecipeError naming the file and what is wrong in it."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from error
    try:
        stages = tuple(Stage(**stage) for stage in data.pop("stages"))
        unknown = set(data) - {field.name for field in fields(Recipe)}
        if unknown:
            raise TypeError(f"unknown keys {', '.join(sorted(unknown))}")
        return Recipe(stages=stages, **data)
    except (KeyError, TypeError, AttributeError) as error:
        raise RecipeError(f"{path}: {error}") from error
