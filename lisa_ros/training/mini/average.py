"""Let the language model of a shipped folder be the mean of its own and an earlier one's.

    python -m lisa_ros.training.mini.average runs/later runs/earlier --out runs/lisa-mini

One run went on from the other, or both began with the same weights (Wortsman et al., "Model soups", 2022): the mean of what they adapted then answers
better than either, with the work of one. Adapters and the rows of LISA's own tokens are averaged; towers, projector, decoder and head, which belong
together, stay those of the first. Calibrate it afterwards.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lisa_ros.model.config import CheckpointError
from lisa_ros.training.adapter import ADAPTER, ADAPTER_CONFIG
from lisa_ros.training.mini.folder import WEIGHTS, write_changed

ROWS = ".rows"


def average(folder: Path, other: Path, out: Path) -> Path:
    """Write the folder; ``out`` is replaced when it is whole.

    Raises:
        CheckpointError: one of the two is no shipped folder, or they adapt different matrices.
    """
    adapters, weights = ([_read(place / file) for place in (folder, other)] for file in (ADAPTER, WEIGHTS))
    if len({_text(place / ADAPTER_CONFIG) for place in (folder, other)}) > 1:  # equal shapes may be scaled differently
        raise CheckpointError(f"{folder} and {other}: their {ADAPTER_CONFIG} differ, so the mean of their adapters means nothing")
    changed = {}
    for file, (ours, theirs) in ((ADAPTER, adapters), (WEIGHTS, weights)):
        both = [name for name in ours if file == ADAPTER or name.endswith(ROWS)]
        if any(name not in theirs or theirs[name].shape != ours[name].shape for name in both):
            raise CheckpointError(f"{folder / file} and {other / file}: not of the same layers and sizes")
        changed[file] = ours | {name: ((ours[name].float() + theirs[name].float()) / 2).to(ours[name].dtype) for name in both}
    return write_changed(folder, out, changed, sums=True)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path.parent}: not what lisa_ros.training.mini.ship wrote ({path.name}: {error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path.parent}: not what lisa_ros.training.mini.ship wrote ({path.name}: {error.strerror})") from error


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lisa_ros.training.mini.average", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="shipped folder of the later run, which gives all but the language model")
    parser.add_argument("other", type=Path, help="shipped folder of the earlier one")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    try:
        print(average(options.folder, options.other, options.out))
    except CheckpointError as error:
        print(f"average: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
