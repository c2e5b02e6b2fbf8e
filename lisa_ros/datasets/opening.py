"""Data sets by the names that recipes and the command line use."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from lisa_ros.datasets.example import Dataset, DatasetError, EvaluationSet
from lisa_ros.datasets.instruct import FILES, LlavaInstruct
from lisa_ros.datasets.miniature import MARK
from lisa_ros.datasets.parts import PacoLvis, PascalPart
from lisa_ros.datasets.reasoning import ReasonSeg
from lisa_ros.datasets.referring import NAMES, Referring
from lisa_ros.datasets.semantic import Ade20k, CocoStuff, Mapillary
from lisa_ros.datasets.synthetic import SyntheticScenes

_log = logging.getLogger(__name__)

TRAINING: dict[str, tuple[Any, dict[str, str]]] = {
    "ade20k": (Ade20k, {}),
    "cocostuff": (CocoStuff, {}),
    "mapillary": (Mapillary, {}),
    "paco_lvis": (PacoLvis, {}),
    "pascal_part": (PascalPart, {}),
    **{name: (Referring, {"name": name}) for name in NAMES},
    **{name: (LlavaInstruct, {"file": name}) for name in FILES},
    "reasonseg": (ReasonSeg, {}),
    "synthetic": (SyntheticScenes, {}),
}
"""Name -> reader, and the arguments that the name stands for."""
PUBLISHED = {
    ("ade20k", "train"): 20_210,
    ("cocostuff", "train"): 118_287,
    ("mapillary", "train"): 18_000,
    ("refcoco", "train"): 16_994,
    ("refcoco+", "train"): 16_992,
    ("refcocog", "train"): 21_899,
    ("grefcoco", "train"): 16_994,
    ("llava_instruct_150k", "train"): 157_712,
    ("reasonseg", "train"): 239,
    ("reasonseg", "train+val"): 439,
}
"""(Name, split) -> items of the published set."""
EVALUATION = ("reasonseg", "synthetic", *NAMES)


def open_dataset(
    name: str, root: Path, *, count: int = 3, exclude_images: frozenset[int] = frozenset(), **settings: Any
) -> Dataset:
    """A training set.

    Args:
        count: questions a picture, at most. exclude_images: COCO ids to leave out. Readers for which one of them means
            nothing are not given it.
        settings: of this set alone, such as ``split`` and ``explanatory`` of reasonseg.

    Raises:
        DatasetError: an unknown name or setting, or the set's files are missing or damaged.
    """
    if name not in TRAINING:
        raise DatasetError(f'no data set "{name}"; there are {", ".join(TRAINING)}')
    reader, own = TRAINING[name]
    takes = inspect.signature(reader).parameters
    shared = {key: value for key, value in (("count", count), ("exclude_images", exclude_images)) if key in takes}
    unknown = [key for key in settings if key not in takes]
    if unknown:
        raise DatasetError(
            f"{name} has no setting {unknown[0]}; it has {', '.join(key for key in takes if key != 'root')}"
        )
    opened = reader(Path(root), **own, **shared, **settings)
    if not (Path(root) / MARK).is_file():
        _compare_size(name, settings.get("split", "train"), len(opened), len(shared.get("exclude_images", ())))
    return opened


def leaves_out_coco_pictures(name: str) -> bool:
    """Whether ``exclude_images`` means something to a set."""
    return name in TRAINING and "exclude_images" in inspect.signature(TRAINING[name][0]).parameters


def _compare_size(name: str, split: str, found: int, excluded: int) -> None:
    """A copy that was cut off looks like a whole one: only its size tells. It may be meant, so it is only a warning."""
    published = PUBLISHED.get((name, split))
    if published is not None and not published - excluded <= found <= published:
        _log.warning("%s %s: %d items, %d as published; is the copy whole?", name, split, found, published)


def open_evaluation_set(name: str, root: Path, split: str) -> EvaluationSet:
    """A set of questions with truth. Raises DatasetError as ``open_dataset`` does."""
    if name not in EVALUATION:
        raise DatasetError(f'no evaluation set "{name}"; there are {", ".join(EVALUATION)}')
    if name == "reasonseg":
        return ReasonSeg(Path(root), split, explanatory=0)
    if name == "synthetic":
        return SyntheticScenes(Path(root), split)
    return Referring(Path(root), name, split)
