"""Recipes of the paper's training: YAML files under config/train, each of which may take another as its base.

    base: lisa-7b.yaml              # everything from there, but for the keys below
    name: without-ade20k
    data: {groups: {semantic: {sets: [cocostuff, mapillary, paco_lvis, pascal_part]}}}

Mappings are merged, everything else is replaced; ``null`` takes a group out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lisa_ros.training.adapter import trainable_from
from lisa_ros.training.start import Start
from lisa_ros.training.trainable import Trainable

PRECISIONS = ("bf16", "no")
SET_FOR_ALL = {"count": "data.classes_per_sample", "exclude_images": "data.exclude_heldout"}
"""What readers of data sets are given by every recipe, and the key that says it."""


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Group:
    """Data sets that are drawn with one rate, each of them as often as the others.

    Attributes:
        rate: against the rates of the other groups. sets: names that ``lisa_ros.datasets.opening`` knows.
        settings: passed to every set of the group.
    """

    rate: float
    sets: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Attributes:
        root: folder of the data sets in their official layout, see docs/training.md.
        classes_per_sample: questions a picture, at most, in the semantic and referring sets.
        max_length: positions of a conversation with its picture.
        exclude_heldout: leave out COCO pictures that refCOCO, refCOCO+ or refCOCOg evaluate on, as the paper does.
        miniature: make so many synthetic pictures in the official layouts under the root when nothing is there.
    """

    groups: Mapping[str, Group]
    root: str = "data"
    classes_per_sample: int = 3
    max_length: int = 512
    exclude_heldout: bool = True
    miniature: int = 0


@dataclass(frozen=True)
class Optimization:
    """How it is trained. The defaults are the paper's and its code's.

    Attributes:
        warmup: updates until the full learning rate; it then falls in a line to 0 at the last update.
        batch: pictures an update over all processes. micro_batch: pictures a process takes at once.
        precision: "bf16" (frozen weights in bfloat16, computing under autocast) or "no" (float32).
        workers: processes that read pictures, for each process that trains.
        cache_features: folder (relative to the run's) that keeps the frozen towers' features of each picture; null: compute them.
    """

    lr: float = 3.0e-4
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    warmup: int = 100
    clip: float = 1.0
    updates: int = 5000
    batch: int = 160
    micro_batch: int = 2
    precision: str = "bf16"
    gradient_checkpointing: bool = True
    workers: int = 4
    save_every: int = 100
    cache_features: str | None = None


@dataclass(frozen=True)
class Validation:
    """gIoU decides which checkpoint is the best.

    Attributes:
        limit: pictures, the first so many; null: all.
        wording: "lisa", the reference's templates, or "model", the checkpoint's own.
    """

    set: str = "reasonseg"
    split: str = "val"
    every: int = 500
    limit: int | None = None
    wording: str = "lisa"


@dataclass(frozen=True)
class Recipe:
    """A run."""

    name: str
    start: Start
    data: Data
    trainable: Trainable = field(default_factory=Trainable)
    optimization: Optimization = field(default_factory=Optimization)
    validation: Validation | None = field(default_factory=Validation)
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON have them."""
        return _plain(asdict(self))


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        changes: "key.key=value" (YAML values), applied last.

    Raises:
        RecipeError: names the file and what is wrong in it.
    """
    data = _with_base(Path(path))
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise RecipeError(f"--set {change}: write it as key=value, such as optimization.lr=1e-4")
        try:
            nested: Any = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {change}: the value is no YAML ({error})") from error
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        data = _merged(data, nested)
    try:
        return _recipe(data)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise RecipeError(f"{path}: {error}") from error


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys, with dots, in which two recipes of plain values differ."""
    keys = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            keys += changed_keys(a, b, f"{prefix}{key}.")
        elif a != b:
            keys.append(f"{prefix}{key}")
    return keys


def _with_base(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys, see config/train/lisa-7b.yaml")
    base = data.pop("base", None)
    if base is None:
        return data
    other = path.parent / base
    if other.resolve() in seen:
        raise RecipeError(f"{path}: its base {base} has it as a base again")
    return _merged(_with_base(other, (*seen, path.resolve())), data)


def _merged(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    merged = {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}
    return merged


def _recipe(data: dict[str, Any]) -> Recipe:
    data = dict(data)
    groups = {}
    section = dict(data.pop("data", None) or {})
    for name, group in dict(section.pop("groups", None) or {}).items():
        if group is not None:
            group = dict(group)
            rate, sets = group.pop("rate"), group.pop("sets")
            if not isinstance(sets, list) or not sets or not rate > 0:
                raise ValueError(f"data.groups.{name}: give a rate above 0 and a list of sets")
            for key, instead in SET_FOR_ALL.items():
                if key in group:
                    raise ValueError(f"data.groups.{name}.{key}: that is one for all sets, {instead}")
            groups[name] = Group(float(rate), tuple(sets), group)
    if not groups:
        raise ValueError("data.groups: at least one group of data sets is needed")
    optimization = dict(data.pop("optimization", None) or {})
    if "betas" in optimization:
        optimization["betas"] = tuple(optimization["betas"])
    if "lr" in optimization:
        optimization["lr"] = float(optimization["lr"])  # YAML takes 3e-4, without a point, for text
    validation = data.pop("validation", {})
    start = dict(data.pop("start"))
    # the head's starting point depends on which of the two ways it is: a base's other way goes
    if start.get("lisa") is not None:
        start["llava"] = start["language"] = start["sam"] = None
    recipe = Recipe(
        start=Start(**start),
        data=Data(groups=groups, **section),
        trainable=trainable_from(data.pop("trainable", None) or {}),
        optimization=Optimization(**optimization),
        validation=None if validation is None else Validation(**validation),
        **data,
    )
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    how = recipe.optimization
    for key in ("warmup", "updates", "batch", "micro_batch", "save_every"):
        if not isinstance(getattr(how, key), int) or getattr(how, key) < (0 if key == "warmup" else 1):
            raise ValueError(f"optimization.{key} is {getattr(how, key)!r}: a whole number is needed")
    if how.batch % how.micro_batch:
        raise ValueError(f"optimization.batch {how.batch} is no multiple of micro_batch {how.micro_batch}")
    if how.precision not in PRECISIONS:
        raise ValueError(f"optimization.precision {how.precision!r}: choose from {', '.join(PRECISIONS)}")
    if recipe.start.language is not None and not recipe.trainable.projector:
        raise ValueError(
            "trainable.projector: true is needed: start.language begins with a projector that knows nothing"
        )
    what = recipe.trainable
    if how.cache_features and (what.image_encoder or what.sam_lora or what.vision_tower):
        raise ValueError("optimization.cache_features: an image tower is trained, its features change with every update")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
