"""The 3D instance benchmark: AP, AP50 and AP25 of 18 classes over all scenes.

Source: ScanNet, `BenchmarkScripts/3d_evaluation/evaluate_semantic_instance.py`. Its rules:

- objects and predictions of fewer than 100 vertices are left out, and predictions of other classes;
- an object is found by a prediction of its class whose IoU with it is larger than the threshold (not equal);
- predictions look for objects in the order of the file. One that finds an object that has been found already is a
  false positive, with the lower of the two confidences, and may still find another one;
- a prediction that finds nothing is a false positive, unless a larger share of its vertices than the threshold lies on
  vertices of none of the 18 classes, or on left-out objects of its class; one that finds a left-out object is none;
- precision over recall is integrated with steps of half the distance between the neighbours on both sides, beginning
  at precision 1, recall 0;
- AP is the mean over the thresholds 0.5, 0.55 ... 0.9 (0.95 is not one of them); AP50 and AP25 are of one threshold;
- a class without objects has no AP (NaN) and is left out of the means; one without predictions has 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from scannet_tools.aside import written_aside
from scannet_tools.label_map import INSTANCE_CLASSES_18
from scannet_tools.scores.id_files import read_ids, write_ids

MIN_VERTICES = 100
THRESHOLDS = np.append(np.arange(0.5, 0.95, 0.05), 0.25)  # written like this, not as decimals: ties depend on it
_AP, _AP50, _AP25 = slice(0, 9), 0, 9

_PER_CLASS = 1000
"""The truth holds class * 1000 + number of the instance."""


@dataclass(frozen=True, eq=False)
class PredictedInstance:
    """mask: bool [n], its vertices. label: nyu40 id. confidence: larger is surer."""

    mask: np.ndarray
    label: int
    confidence: float


@dataclass(frozen=True)
class AveragePrecision:
    """Of one class, or the mean over classes: over thresholds 0.5 to 0.9, at 0.5 and at 0.25. NaN: no such objects."""

    ap: float
    ap50: float
    ap25: float


@dataclass(frozen=True, eq=False)
class _ClassInScene:
    """One class in one scene. overlap: IoU float64 [objects, predictions], objects from 100 vertices only.

    near: bool [predictions, thresholds], whether it finds any object of the class, small ones too. ignored: share of
    its vertices that count for no one. confidence: of the predictions.
    """

    overlap: np.ndarray
    near: np.ndarray
    ignored: np.ndarray
    confidence: np.ndarray


class InstanceScore:
    """Collects scenes; the precision is computed over all of them together."""

    def __init__(self) -> None:
        self._scenes: list[dict[int, _ClassInScene]] = []

    def add(self, predictions: Iterable[PredictedInstance], truth: np.ndarray) -> None:
        """Compare one scene's predictions with its truth: int [n] per vertex, nyu40 id * 1000 + number of the instance.

        The order of predictions matters where several find the same object.

        Raises:
            ValueError: a mask is not of the truth's vertices, or a confidence is no number.
        """
        instances, of_vertex, sizes = np.unique(np.asarray(truth, np.int64), return_inverse=True, return_counts=True)
        of_vertex = of_vertex.reshape(-1)
        labels = instances // _PER_CLASS
        nowhere = ~np.isin(labels, list(INSTANCE_CLASSES_18))
        shared: dict[int, list[np.ndarray]] = {label: [] for label in INSTANCE_CLASSES_18}
        confidence: dict[int, list[float]] = {label: [] for label in INSTANCE_CLASSES_18}
        for number, predicted in enumerate(predictions, start=1):
            mask = np.asarray(predicted.mask) != 0
            if mask.shape != truth.shape:
                raise ValueError(
                    f"prediction {number}: its mask is {list(mask.shape)} and the truth {list(truth.shape)}: both have "
                    "one value per vertex"
                )
            if np.isnan(predicted.confidence):
                raise ValueError(f"prediction {number}: its confidence is no number")
            if predicted.label in shared and np.count_nonzero(mask) >= MIN_VERTICES:
                shared[predicted.label].append(np.bincount(of_vertex[mask], minlength=len(instances)))
                confidence[predicted.label].append(float(predicted.confidence))
        scene = {}
        for label in INSTANCE_CLASSES_18:
            common = np.array(shared[label], np.int64).reshape(-1, len(instances))  # [predictions, instances]
            scene[label] = _compare(common, sizes, labels == label, nowhere, np.array(confidence[label]))
        self._scenes.append(scene)

    def per_class(self) -> dict[str, AveragePrecision]:
        """Class name -> its precision, in the order of `INSTANCE_CLASSES_18`."""
        found = {}
        for label, name in INSTANCE_CLASSES_18.items():
            scenes = [scene[label] for scene in self._scenes]
            values = np.array([_average_precision(scenes, place) for place in range(len(THRESHOLDS))])
            found[name] = AveragePrecision(float(values[_AP].mean()), float(values[_AP50]), float(values[_AP25]))
        return found

    def mean(self) -> AveragePrecision:
        """Over the classes that have objects; NaN when none has."""
        there = [one for one in self.per_class().values() if not np.isnan(one.ap)]
        if not there:
            return AveragePrecision(float("nan"), float("nan"), float("nan"))
        return AveragePrecision(*(float(np.mean([getattr(one, k) for one in there])) for k in ("ap", "ap50", "ap25")))


def _compare(
    common: np.ndarray, sizes: np.ndarray, own: np.ndarray, nowhere: np.ndarray, confidence: np.ndarray
) -> _ClassInScene:
    """common: int [predictions, instances], shared vertices. own: instances of this class. nowhere: of no class."""
    predicted = common.sum(axis=1, keepdims=True)
    overlap = common[:, own] / (predicted + sizes[own] - common[:, own])
    small = own & (sizes < MIN_VERTICES)
    ignored = common[:, nowhere | small].sum(axis=1) / predicted[:, 0]
    near = (overlap[:, :, None] > THRESHOLDS).any(axis=1)
    return _ClassInScene(overlap[:, ~small[own]].T, near, ignored, confidence)


def _average_precision(scenes: Sequence[_ClassInScene], place: int) -> float:
    """Of one class at one threshold."""
    true, score, missed, objects, predictions = [], [], 0, 0, 0
    for scene in scenes:
        objects += len(scene.overlap)
        predictions += len(scene.confidence)
        hits, doubles, scene_missed = _match(scene, THRESHOLDS[place])
        missed += scene_missed
        alone = scene.confidence[~scene.near[:, place] & (scene.ignored <= THRESHOLDS[place])]
        score += [*hits, *doubles, *alone]
        true += [1.0] * len(hits) + [0.0] * (len(doubles) + len(alone))
    if objects == 0:
        return float("nan")
    if predictions == 0 or not score:
        return 0.0
    return _area(np.array(true), np.array(score), missed)


def _match(scene: _ClassInScene, threshold: float) -> tuple[list[float], list[float], int]:
    """Confidences of the predictions that find an object and of those that find a found one; objects not found."""
    hits, doubles, missed = [], [], 0
    taken = np.zeros(len(scene.confidence), bool)
    for overlap in scene.overlap:
        best = None
        for number in np.flatnonzero((overlap > threshold) & ~taken):
            confidence = float(scene.confidence[number])
            if best is None:
                best = confidence
                taken[number] = True  # one that finds a found object stays free, as in the script
            else:
                doubles.append(min(best, confidence))
                best = max(best, confidence)
        if best is None:
            missed += 1
        else:
            hits.append(best)
    return hits, doubles, missed


def _area(true: np.ndarray, score: np.ndarray, missed: int) -> float:
    """Under precision over recall. true: 1 = found an object, 0 = false alarm. missed: objects that none found."""
    order = np.argsort(score, kind="stable")
    first = np.unique(score[order], return_index=True)[1]  # of each confidence, rising: all from there on are kept
    below = np.concatenate([[0.0], np.cumsum(true[order])])[first]
    kept_true = true.sum() - below
    precision = np.append(kept_true / (len(true) - first), 1.0)
    recall = np.append(kept_true / (true.sum() + missed), 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ (0.5 * (around[:-2] - around[2:])))


def truth_ids(vertex_classes: np.ndarray, vertex_objects: np.ndarray) -> np.ndarray:
    """int64 [n], the benchmark's truth: class * 1000 + object. Both [n], 0 = none, objects numbered from 1.

    Raises:
        ValueError: an object's number is 1000 or more, which would read as another class.
    """
    if vertex_objects.size and vertex_objects.max() >= _PER_CLASS:
        raise ValueError(
            f"object {vertex_objects.max()}: the benchmark's truth has room for numbers below {_PER_CLASS}; number "
            "the objects anew"
        )
    return vertex_classes.astype(np.int64) * _PER_CLASS + vertex_objects


def read_predictions(path: str | Path, vertex_count: int | None = None) -> list[PredictedInstance]:
    """Read the predictions for a scene: lines `mask_file label confidence`, mask files relative to the file's folder.

    A mask file that is named twice counts once, with what the later line says, as in the script.

    Raises:
        FileNotFoundError, OSError: a file cannot be read.
        ValueError: a line is not of this form, or a mask is damaged or lies elsewhere; names the file and the line.
    """
    path = Path(path)
    folder = path.parent.resolve()
    listed: dict[Path, tuple[int, float]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where, parts = f"{path}, line {number}", line.split(" ")
        try:
            name, label, confidence = parts[0], int(float(parts[1])), float(parts[2])
        except (IndexError, ValueError, OverflowError):
            name, label, confidence = "", 0, float("nan")
        if len(parts) != 3 or not name or np.isnan(confidence):
            raise ValueError(f"{where}: expected 'mask_file label confidence', got {line[:80]!r}")
        mask = (folder / name).resolve()
        if Path(name).is_absolute() or not mask.is_relative_to(folder):
            raise ValueError(f"{where}: {name} must be relative to {path.parent} and lie in it")
        listed[mask] = label, confidence
    return [PredictedInstance(read_ids(mask, vertex_count) != 0, *said) for mask, said in listed.items()]


def write_predictions(path: str | Path, predictions: Sequence[PredictedInstance]) -> None:
    """Write `<scene>.txt`, and a mask per prediction into `pred_mask` beside it. The list appears last, and whole.

    Raises:
        OSError: a file cannot be written; names it.
    """
    path = Path(path)
    (path.parent / "pred_mask").mkdir(exist_ok=True)
    lines = []
    for number, predicted in enumerate(predictions):
        name = PurePosixPath("pred_mask", f"{path.stem}_{number:03d}.txt")
        write_ids(path.parent / name, predicted.mask != 0)
        lines.append(f"{name} {predicted.label} {float(predicted.confidence)!r}\n")
    with written_aside(path) as file:
        file.write("".join(lines).encode())
