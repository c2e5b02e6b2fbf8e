"""Several data sets as one list, drawn as LISA draws them: groups by rate, sets of a group alike, items at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lisa_ros.datasets.example import Dataset, DatasetError, Example


@dataclass(frozen=True)
class Group:
    """Data sets that are drawn with one rate (paper section 5.1: 9 semantic, 3 referring, 3 VQA, 1 reasoning)."""

    rate: float
    datasets: Sequence[Dataset]


class Mixture:
    """Examples 0 to ``length`` - 1. Example i follows from ``seed`` and i alone, whichever process asks, and when.

    Raises:
        DatasetError: there is no group, or a set is empty.
    """

    def __init__(self, groups: Sequence[Group], *, seed: int, length: int) -> None:
        empty = [dataset.name for group in groups for dataset in group.datasets if len(dataset) == 0]
        if empty or not groups or not all(group.datasets for group in groups):
            raise DatasetError(
                f"nothing to draw from: {', '.join(empty) or 'no data set'} is empty; check the data folder"
            )
        self._groups, self._seed, self._length = groups, seed, length
        rates = np.array([group.rate for group in groups], float)
        self._shares = rates / rates.sum()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """Raises DatasetError for a damaged item, IndexError outside the length."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng([self._seed, index])
        group = self._groups[int(rng.choice(len(self._groups), p=self._shares))]
        dataset = group.datasets[int(rng.integers(len(group.datasets)))]
        return dataset.example(int(rng.integers(len(dataset))), rng)
