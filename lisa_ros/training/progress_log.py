"""How a run goes: log.jsonl (a line an update), TensorBoard curves, and the text behind the progress bar."""

from __future__ import annotations

import json
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lisa_ros.evaluation.summary import Summary


class ProgressLog:
    """Of one call of a run. A call that goes on after an earlier one appends.

    Args:
        batch: pictures an update.
    """

    def __init__(self, out: Path, batch: int) -> None:
        self._path, self._batch = out / "log.jsonl", batch
        self._board = SummaryWriter(str(out / "tensorboard"))
        self._before = time.monotonic()

    def losses(self, update: int, values: dict[str, float]) -> str:
        """Note an update's losses, learning rate and gradient norm; a short text of them."""
        now = time.monotonic()
        rate = self._batch / max(now - self._before, 1e-9)
        self._before = now
        self._write(
            {"update": update, **{k: round(v, 7) for k, v in values.items()}, "pictures_per_second": round(rate, 3)}
        )
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, update)
        shown = " ".join(f"{name} {values[name]:.3f}" for name in ("loss", "ce", "bce", "dice"))
        return f"{shown} {rate:.1f} pictures/s"

    def validation(self, update: int, summary: Summary) -> None:
        """Note a validation."""
        self._write(
            {"update": update, "giou": round(summary.giou, 6), "ciou": round(summary.ciou, 6), "questions": summary.n}
        )
        self._board.add_scalar("validation/gIoU", summary.giou, update)
        self._board.add_scalar("validation/cIoU", summary.ciou, update)
        self._before = time.monotonic()

    def close(self) -> None:
        """Write out what is held back."""
        self._board.close()

    def _write(self, row: dict[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
