"""From a recipe's data sets to batches: which example goes into which update of which process.

Example i of a run depends on the recipe's seed and i alone. Update u of B pictures takes examples u*B to (u+1)*B - 1, cut
into micro batches of m; with W processes, process r computes micro batches r, r + W, r + 2W ... So neither the number of
processes, nor that of readers, nor an interruption changes what an update is made of.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lisa_ros.datasets.example import DatasetError, Example
from lisa_ros.datasets.mixture import Group as MixtureGroup
from lisa_ros.datasets.mixture import Mixture
from lisa_ros.datasets.opening import leaves_out_coco_pictures, open_dataset
from lisa_ros.datasets.referring import heldout_coco_images
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training import reader_process
from lisa_ros.training.collation import Batch, collate
from lisa_ros.training.features import FeatureCache
from lisa_ros.training.recipe import Data, Optimization

REPLACEMENT_STEP = 1_000_003  # a damaged example is replaced by the one so many further on


def open_mixture(data: Data, root: Path, *, seed: int, length: int) -> Mixture:
    """All data sets of a recipe.

    Raises:
        DatasetError: a set's files are missing or damaged; names them.
    """
    on_coco = any(leaves_out_coco_pictures(name) for group in data.groups.values() for name in group.sets)
    heldout = heldout_coco_images(root) if data.exclude_heldout and on_coco else frozenset()
    groups = []
    for group in data.groups.values():
        sets = [
            open_dataset(name, root, count=data.classes_per_sample, exclude_images=heldout, **group.settings)
            for name in group.sets
        ]
        groups.append(MixtureGroup(group.rate, sets))
    return Mixture(groups, seed=seed, length=length)


class Damaged(TorchDataset):
    """A mixture in which up to ``allowed`` damaged examples are replaced by others, and written down.

    Args:
        log: file that gets a line for each of them.
    """

    def __init__(self, mixture: Mixture, allowed: int, log: Path) -> None:
        self._mixture, self._allowed, self._log = mixture, allowed, log
        self._count = multiprocessing.get_context("fork").Value("i", 0)  # of all readers together

    def __len__(self) -> int:
        return len(self._mixture)

    def __getitem__(self, index: int) -> Example:
        while True:
            try:
                return self._mixture[index % len(self._mixture)]
            except DatasetError as error:
                with self._count.get_lock():
                    self._count.value += 1
                    if self._count.value > self._allowed:
                        raise
                    with self._log.open("a", encoding="utf-8") as log:
                        log.write(f"{error}\n")
                index += REPLACEMENT_STEP


class Schedule:
    """Indices of the micro batches of one process, from one update to the last."""

    def __init__(self, how: Optimization, first: int, rank: int, world: int) -> None:
        if how.batch % (how.micro_batch * world):
            raise ValueError(
                f"optimization.batch {how.batch} cannot be shared by {world} processes in micro batches of "
                f"{how.micro_batch}; change one of them (--set optimization.micro_batch=...)"
            )
        self._how, self._first, self._rank, self._world = how, first, rank, world

    @property
    def steps(self) -> int:
        """Micro batches of this process in an update."""
        return self._how.batch // (self._how.micro_batch * self._world)

    def micro_batch(self, step: int) -> int:
        """Number, over all processes, of this process's micro batch in an update."""
        return step * self._world + self._rank

    def __len__(self) -> int:
        return (self._how.updates - self._first) * self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for update in range(self._first, self._how.updates):
            for step in range(self.steps):
                begin = update * self._how.batch + self.micro_batch(step) * self._how.micro_batch
                yield list(range(begin, begin + self._how.micro_batch))


def batches(
    examples: TorchDataset,
    schedule: Schedule,
    config: LisaConfig,
    tokenizer: LisaTokenizer,
    *,
    max_length: int,
    workers: int,
    cache: FeatureCache | None,
) -> DataLoader:
    """A loader of batches in the schedule's order."""
    return DataLoader(
        examples,
        batch_sampler=schedule,
        num_workers=workers,
        collate_fn=partial(make_batch, config=config, tokenizer=tokenizer, max_length=max_length, cache=cache),
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=reader_process.begin,
        pin_memory=False,
        persistent_workers=False,
    )


def make_batch(
    examples: Sequence[Example],
    *,
    config: LisaConfig,
    tokenizer: LisaTokenizer,
    max_length: int,
    cache: FeatureCache | None,
) -> Batch:
    """Examples to a batch, with the towers' features where the cache has all of them."""
    if cache is None:
        return collate(examples, config, tokenizer, max_length=max_length)
    keys = tuple(cache.key(example.image) for example in examples)
    features = cache.load(keys)
    batch = collate(examples, config, tokenizer, max_length=max_length, pixels=features is None)
    batch.keys = keys
    if features is not None:
        batch.clip_features, batch.sam_embedding = features
    return batch
