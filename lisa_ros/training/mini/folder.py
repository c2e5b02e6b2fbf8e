"""Another folder of weights out of one, of which some files change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.integrity import SUMS, write_sums

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def write_changed(folder: Path, out: Path, tensors: Mapping[str, dict[str, Tensor]], *, sums: bool, config: dict[str, Any] | None = None) -> Path:
    """Write a copy of ``folder`` with other ``tensors`` in the files that they are listed under; ``out`` is replaced when it is whole.

    Args:
        sums: write SHA256SUMS, as ship does: without config.json and README.md, which calibration and people change.
        config: what config.json says; None: as before.
    """
    with replaced_directory(out) as building:
        shutil.copytree(folder, building, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*tensors, CONFIG, CARD, SUMS))
        for file, values in tensors.items():
            save_file(values, building / file, metadata={"format": "pt"})
        if sums:
            write_sums(building)
        for file in (CONFIG, CARD):
            if (folder / file).is_file():
                shutil.copyfile(folder / file, building / file)
        if config is not None:
            (building / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return out
