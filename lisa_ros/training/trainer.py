"""The training loop: LISA's objective over a mixture of data sets, on one process or many (accelerate).

    trainer = Trainer(recipe, out)
    trainer.run()                     # from the last checkpoint in ``out`` if there is one

Every update is made of the same examples with the same dropout, however many processes share it and however often the run was
interrupted: both follow from the recipe's seed and the update's number. A run that was cut off ends as one that was not.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType, gather_object
from torch import Tensor
from tqdm import tqdm

from lisa_ros.training.adapter import fingerprint, load_trained, write_adapter
from lisa_ros.training.features import FeatureCache
from lisa_ros.training.feed import Damaged, Schedule, batches, open_mixture
from lisa_ros.training.losses import Objective
from lisa_ros.training.progress_log import ProgressLog
from lisa_ros.training.recipe import Recipe, changed_keys
from lisa_ros.training.schedule import learning_rate
from lisa_ros.training.start import start_model
from lisa_ros.training.state import LAST, OPTIMIZER, Progress, RunFolder, optimizer_tensors, restore_optimizer
from lisa_ros.training.trainable import describe, make_trainable, trained_parameters
from lisa_ros.training.validation import Validator

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)
"""Here processes hold parts of weights or moments: accelerate writes those, and only the same number of processes reads them."""
MAY_CHANGE = (
    "optimization.workers",
    "optimization.save_every",
    "optimization.cache_features",
    "validation",
    "data.root",
)
"""Keys of a recipe that do not change what a run learns."""


class TrainingError(RuntimeError):
    """A run cannot go on. The message says why, and what is kept."""


class Stopped(Exception):
    """The user asked the run to stop; its state is saved."""


class Trainer:
    """A recipe on its way.

    Args:
        out: the run's folder.
        root: folder of the data sets; None: the recipe's.
        force: go on although the recipe of the run in ``out`` was another one.
        skip_damaged: so many damaged examples are replaced by others instead of ending the run.
        say: gets lines of text for the user (of the main process only).
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        *,
        root: Path | None = None,
        force: bool = False,
        skip_damaged: int = 0,
        say: Callable[[str], None] = print,
    ) -> None:
        self.recipe, self.out = recipe, Path(out)
        how = recipe.optimization
        self.accelerator = Accelerator(
            mixed_precision=how.precision, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        )
        self._main = self.accelerator.is_main_process
        self._say = say if self._main else _silent
        self.folder = RunFolder(self.out)
        before = self.folder.progress()
        if before is not None:
            self._refuse_other_recipe(before, force)
        self.progress = before or Progress(0, recipe.as_dict())
        self.progress.recipe = recipe.as_dict()

        tokenizer_directory = self.out / ("tokenizer" if self._main else f".tokenizer-{self.accelerator.process_index}")
        frozen = torch.bfloat16 if how.precision == "bf16" else torch.float32
        started = start_model(recipe.start, tokenizer_directory, dtype=frozen, seed=recipe.seed)
        self.lisa, self.tokenizer, self._tokenizer_directory = started.lisa, started.tokenizer, tokenizer_directory
        torch.manual_seed(recipe.seed)
        own, recompute = started.tokenizer.own_ids, how.gradient_checkpointing
        counts = make_trainable(self.lisa, recipe.trainable, new_tokens=own, recompute=recompute)
        self._say(describe(self.lisa, counts))
        root = Path(root or recipe.data.root)
        mixture = open_mixture(recipe.data, root, seed=recipe.seed, length=how.updates * how.batch)
        self._examples = Damaged(mixture, skip_damaged, self.out / "damaged.txt")
        self._cache = FeatureCache(self.out / how.cache_features, self.lisa, frozen) if how.cache_features else None
        self._validator = Validator.open(recipe.validation, root)
        self._prepare(before)

    def run(self) -> Progress:
        """Train what is left of the recipe.

        Raises:
            TrainingError: a loss or gradient is not finite, or a checkpoint cannot be written.
            DatasetError: an example is damaged.
            Stopped: on SIGINT or SIGTERM, after the update that was under way.
        """
        how, accelerator = self.recipe.optimization, self.accelerator
        if self.progress.update >= how.updates:
            self._say(f"{self.out}: this run has all its {how.updates} updates")
            return self.progress
        schedule = Schedule(how, self.progress.update, accelerator.process_index, accelerator.num_processes)
        loader = iter(
            batches(
                self._examples,
                schedule,
                self.lisa.config,
                self.tokenizer,
                max_length=self.recipe.data.max_length,
                workers=how.workers,
                cache=self._cache,
            )
        )
        log = ProgressLog(self.out, how.batch) if self._main else None
        bar = tqdm(
            total=how.updates,
            initial=self.progress.update,
            desc=self.recipe.name,
            unit="update",
            disable=None if self._main else True,
        )
        if self.progress.update == 0 and self._validator is not None:
            self._validate(log)
        with _stop_requests() as stop, bar:
            while self.progress.update < how.updates:
                losses = self._update(loader, schedule)
                self.progress.update += 1
                bar.update()
                if log is not None:
                    bar.set_postfix_str(log.losses(self.progress.update, losses))
                stopping = self._anywhere(bool(stop))
                self._after_update(log, stopping)
                if stopping and self.progress.update < how.updates:
                    raise Stopped
        if log is not None:
            log.close()
        return self.progress

    def _update(self, loader: Iterator, schedule: Schedule) -> dict[str, float]:
        """One optimizer step. Returns the mean losses of all its micro batches, over all processes."""
        how, accelerator, update = self.recipe.optimization, self.accelerator, self.progress.update
        rate = learning_rate(update, peak=how.lr, warmup=how.warmup, updates=how.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        means: dict[str, float] = {}
        bad: list[str] = []
        for step in range(schedule.steps):
            batch = next(loader).to(accelerator.device)
            torch.manual_seed(_dropout_seed(self.recipe.seed, update, schedule.micro_batch(step)))
            last = step + 1 == schedule.steps
            with nullcontext() if last else accelerator.no_sync(self.model):
                with accelerator.autocast():
                    if self._cache is not None:
                        batch = self._cache.fill(batch, self.lisa)
                    losses = self.model(batch)
                accelerator.backward(losses["loss"] / schedule.steps)
            for name, value in losses.items():
                means[name] = means.get(name, 0.0) + value.item() / schedule.steps
            if not torch.isfinite(losses["loss"]):
                bad += batch.names
        norm = accelerator.clip_grad_norm_(list(trained_parameters(self.model).values()), how.clip)
        broken = bool(bad) or (norm is not None and not torch.isfinite(torch.as_tensor(norm)))
        if self._anywhere(broken):
            self._refuse_not_finite(bad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {**self._mean(means), "lr": rate, "gradient": float(norm) if norm is not None else 0.0}

    def _refuse_not_finite(self, bad: list[str]) -> None:
        names = gather_object(bad)
        kept = self.out / LAST
        raise TrainingError(
            f"update {self.progress.update}: "
            + (f"the loss of {', '.join(names)} is not finite" if names else "the gradient is not finite")
            + (f"; {kept} holds the state of update {self.folder.progress().update}" if kept.exists() else "")
            + "; look at these examples, or lower optimization.lr"
        )

    def _after_update(self, log: ProgressLog | None, stopping: bool) -> None:
        """Validate and save where it is due."""
        how, update = self.recipe.optimization, self.progress.update
        at_end = update == how.updates
        better = False
        if self._validator is not None and (at_end or update % self.recipe.validation.every == 0):
            better = self._validate(log)
        if at_end or better or stopping or update % how.save_every == 0:
            self._save(better)

    def _validate(self, log: ProgressLog | None) -> bool:
        """Score the model; whether it is the best so far."""
        with self.accelerator.autocast():
            summary = self._validator.score(self.lisa, self.tokenizer, self.accelerator)
        if log is not None:
            log.validation(self.progress.update, summary)
        self._say(
            f"update {self.progress.update}: {self._validator.name} gIoU {summary.giou:.4f} cIoU {summary.ciou:.4f} "
            f"({summary.n} questions)"
        )
        if self.progress.best_giou is not None and summary.giou <= self.progress.best_giou:
            return False
        self.progress.best_giou, self.progress.best_update = summary.giou, self.progress.update
        return self.progress.update > 0

    def _save(self, best: bool) -> None:
        accelerator = self.accelerator
        tensors, moments = self._gathered()
        if accelerator.distributed_type in SHARDED:
            accelerator.save_state(str(self.out / "sharded"))
        failure = ""
        if self._main:
            about = {
                "name": self.recipe.name,
                "start": asdict(self.recipe.start),
                "trainable": asdict(self.recipe.trainable),
                "seed": self.recipe.seed,
                "base": self._base,
                "update": self.progress.update,
                "best_giou": self.progress.best_giou,
                "recipe": self.recipe.as_dict(),
            }
            try:
                self.folder.save(
                    self.progress,
                    lambda building: write_adapter(building, self.lisa, tensors, self._tokenizer_directory, about),
                    moments,
                    best=best,
                )
            except Exception as error:  # OSError, or safetensors' own for a full disk
                failure = f"the checkpoint of update {self.progress.update} cannot be written: {error}"
        failures = [text for text in gather_object([failure]) if text]
        if failures:
            kept = f"; {self.out / LAST} holds the one before" if (self.out / LAST).exists() else ""
            raise TrainingError(f"{failures[0]}{kept}; make room and start the same command again")

    def _gathered(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Trained values and moments, whole, by the names that they have in ``lisa``."""
        if self.accelerator.distributed_type not in SHARDED:
            tensors = {name: p.detach().cpu().contiguous() for name, p in trained_parameters(self.lisa).items()}
            return tensors, optimizer_tensors(self.lisa, self.optimizer.optimizer) if self._main else {}
        state = self.accelerator.get_state_dict(self.model)
        wanted = trained_parameters(self.lisa).keys()
        tensors = {name.removeprefix("lisa."): value for name, value in state.items()}
        return {name: tensors[name].detach().cpu().contiguous() for name in wanted if name in tensors}, {}

    def _prepare(self, before: Progress | None) -> None:
        """Put the model on its device and the state of an earlier call into it."""
        how, accelerator = self.recipe.optimization, self.accelerator
        if before is not None:
            load_trained(self.lisa, self.out / LAST)
        self._base = fingerprint(self.lisa)  # of whole weights: prepare() may cut them over processes
        if accelerator.distributed_type == DistributedType.DEEPSPEED:
            config = accelerator.state.deepspeed_plugin.deepspeed_config
            config["train_micro_batch_size_per_gpu"] = how.micro_batch
        self.lisa.to(accelerator.device)
        objective = Objective(self.lisa)
        optimizer = torch.optim.AdamW(
            list(trained_parameters(objective).values()), lr=how.lr, betas=how.betas, weight_decay=how.weight_decay
        )
        self.model, self.optimizer = accelerator.prepare(objective, optimizer)
        if before is None:
            return
        if accelerator.distributed_type in SHARDED:
            accelerator.load_state(str(self.out / "sharded"))
        else:
            restore_optimizer(self.lisa, self.optimizer.optimizer, self.out / LAST / OPTIMIZER)
        self._say(f"{self.out}: going on after update {before.update}")

    def _refuse_other_recipe(self, before: Progress, force: bool) -> None:
        differing = changed_keys(before.recipe, self.recipe.as_dict())
        differing = [key for key in differing if not key.startswith(MAY_CHANGE)]
        if differing and not force:
            raise TrainingError(
                f"{self.out} holds a run of another recipe: {', '.join(differing)} differ; give another --out, "
                "or --force to go on with this recipe"
            )

    def _mean(self, values: dict[str, float]) -> dict[str, float]:
        """Over all processes."""
        if self.accelerator.num_processes == 1:
            return values
        together = torch.tensor(list(values.values()), device=self.accelerator.device)
        return dict(zip(values, self.accelerator.reduce(together, "mean").tolist()))

    def _anywhere(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.accelerator.num_processes == 1:
            return here
        flag = torch.tensor([1.0 if here else 0.0], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum").item())


def _dropout_seed(seed: int, update: int, micro_batch: int) -> int:
    return hash((seed, update, micro_batch)) & 0x7FFF_FFFF_FFFF_FFFF


def _silent(_: str) -> None:
    """What other processes than the main one say."""


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that gets the number of every SIGINT and SIGTERM; a second SIGINT interrupts at once."""
    got: list[int] = []

    def note(number: int, frame: Any) -> None:
        if number == signal.SIGINT and got:
            raise KeyboardInterrupt
        got.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
