"""The 3D semantic benchmark: IoU of 20 classes over the vertices of all scenes.

Source: ScanNet, `BenchmarkScripts/3d_evaluation/evaluate_semantic_label.py`. Its rules:

- vertices whose true class is none of the 20 count nowhere, whatever is predicted there;
- a predicted id that is none of the 20 is wrong, and a false positive of no class;
- the confusion is summed over all scenes, and then IoU = TP / (TP + FP + FN) of each class;
- a class that is neither there nor predicted has no IoU (NaN; the script stops with an error). The script prints no
  mean; the mean here is over the classes that have an IoU.
"""

from __future__ import annotations

import numpy as np

from scannet_tools.label_map import CLASSES_20

_IDS = np.array(sorted(CLASSES_20))
_OTHER = len(_IDS)


class SemanticScore:
    """Running confusion: int64 [20,21], rows the true class, columns the predicted one, the last = none of the 20.

    Both in the order of the nyu40 ids in `CLASSES_20`.
    """

    def __init__(self) -> None:
        self.confusion = np.zeros((_OTHER, _OTHER + 1), np.int64)

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Count one scene: nyu40 ids [n] of its vertices, predicted and true.

        Raises:
            ValueError: they are not of the same number of vertices.
        """
        if predicted.shape != truth.shape or truth.ndim != 1:
            raise ValueError(
                f"predicted ids {list(predicted.shape)} and true ids {list(truth.shape)}: there must be one of each "
                "per vertex"
            )
        rows, columns = _place(truth), _place(predicted)
        counts = np.bincount(rows * (_OTHER + 1) + columns, minlength=(_OTHER + 1) ** 2)
        self.confusion += counts.reshape(_OTHER + 1, _OTHER + 1)[:_OTHER]

    def iou(self) -> dict[str, float]:
        """Class name -> IoU, in the order of `CLASSES_20`; NaN for a class that is neither there nor predicted."""
        hit = np.diagonal(self.confusion)
        union = self.confusion.sum(axis=1) + self.confusion[:, :_OTHER].sum(axis=0) - hit
        values = np.divide(hit, union, out=np.full(_OTHER, np.nan), where=union > 0)
        return {CLASSES_20[number]: float(value) for number, value in zip(_IDS.tolist(), values)}

    def mean_iou(self) -> float:
        """Mean over the classes that have an IoU; NaN when none has."""
        values = [value for value in self.iou().values() if not np.isnan(value)]
        return float(np.mean(values)) if values else float("nan")


def _place(ids: np.ndarray) -> np.ndarray:
    """int [n]: which of the 20 classes each id is, from 0; 20 = none of them."""
    place = np.minimum(np.searchsorted(_IDS, ids), _OTHER - 1)
    return np.where(_IDS[place] == ids, place, _OTHER)
