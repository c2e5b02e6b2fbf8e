"""A run's folder: its checkpoints, written whole or not at all, and how a run goes on from one.

    checkpoints/000500/     adapter (see adapter.py), optimizer.safetensors, state.json
    last, best              links to two of them; older ones are removed

A checkpoint is built under another name and renamed when it is on the disk, then the link is moved: at any moment, also
in the middle of a power cut, ``last`` names a whole checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.config import CheckpointError, read_config_json
from lisa_ros.training.trainable import trained_parameters

OPTIMIZER, STATE = "optimizer.safetensors", "state.json"
LAST, BEST = "last", "best"


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        update: updates done. best_giou, best_update: of the best validation so far (None, before the first).
        recipe: the recipe of the run as plain values.
    """

    update: int
    recipe: dict[str, Any]
    best_giou: float | None = None
    best_update: int | None = None


class RunFolder:
    """The folder of one run."""

    def __init__(self, out: Path) -> None:
        self.out = Path(out)
        self._checkpoints = self.out / "checkpoints"

    def progress(self) -> Progress | None:
        """What ``last`` says; None for a new run. Raises CheckpointError when it is damaged."""
        if not (self.out / LAST).exists():
            return None
        data = read_config_json(self.out / LAST / STATE)
        try:
            return Progress(**data)
        except TypeError as error:
            raise CheckpointError(
                f"{self.out / LAST / STATE}: {error}; remove the run's folder to begin anew"
            ) from error

    def save(self, progress: Progress, write: Any, optimizer: dict[str, Tensor], *, best: bool) -> Path:
        """Write a checkpoint.

        Args:
            write: called with the folder to put the adapter into.
            optimizer: see ``optimizer_tensors``.
            best: it is the best so far.

        Raises:
            OSError: it cannot be written; the checkpoints before it are untouched.
        """
        target = self._checkpoints / f"{progress.update:06}"
        with replaced_directory(target) as building:
            write(building)
            save_file(optimizer, building / OPTIMIZER, metadata={"format": "pt"})
            (building / STATE).write_text(json.dumps(vars(progress), indent=1) + "\n", encoding="utf-8")
            for path in building.iterdir():
                _sync(path)
        self._link(LAST, target)
        if best:
            self._link(BEST, target)
        self._sweep()
        return target

    def _link(self, name: str, target: Path) -> None:
        aside = self.out / f".{name}.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(target.relative_to(self.out))
        os.replace(aside, self.out / name)

    def _sweep(self) -> None:
        """Remove what neither link names, and what an interrupted write left."""
        kept = {(self.out / name).resolve() for name in (LAST, BEST)}
        for path in self._checkpoints.iterdir():
            if path.resolve() not in kept:
                shutil.rmtree(path, ignore_errors=True)


def optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's moments by the name of what they belong to: "name/exp_avg" and so on."""
    tensors = {}
    for name, parameter in trained_parameters(module).items():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{name}/{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    return tensors


def restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Put the moments back. Raises CheckpointError when the file is damaged or of another model."""
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors raises its own, and OSError
        raise CheckpointError(f"{path}: cannot be read ({error}); remove the run's folder to begin anew") from error
    names = trained_parameters(module)
    for stored, value in tensors.items():
        name, _, key = stored.rpartition("/")
        if name not in names:
            raise CheckpointError(f"{path}: {name} is not trained here; the file is of another run")
        parameter = names[name]
        # AdamW counts its steps in float32 on the CPU; moments live with their parameter
        optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device, parameter.dtype)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
