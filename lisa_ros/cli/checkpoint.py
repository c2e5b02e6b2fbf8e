"""What a checkpoint directory holds, read from headers: no weight is loaded, no pickle is run."""
from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from lisa_ros.cli.errors import CommandError

MAX_HEADER = 100_000_000
"""The safetensors format's own limit for its header, bytes."""


@dataclass(frozen=True)
class TensorHeader:
    """Name, type and shape of one stored tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


def locate(model: str) -> Path:
    """The directory of a model: the embedded one, a local directory, or a hub id.

    :raises CommandError: there is no such model.
    """
    from lisa_ros.engine.models import resolve_model
    from lisa_ros.model.config import CheckpointError

    try:
        return resolve_model(model)
    except CheckpointError as error:
        raise CommandError(str(error)) from error


def digest(folder: Path) -> str:
    """Short text that changes when the checkpoint does: over names, sizes and times, and over the content of small files."""
    seen = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            stat = path.stat()
            small = stat.st_size < 200_000_000
            seen.update(f"{path.name} {stat.st_size} {0 if small else stat.st_mtime_ns}\n".encode())
            if small:
                seen.update(hashlib.sha256(path.read_bytes()).digest())
    return seen.hexdigest()[:16]


def read_config(folder: Path) -> dict:
    """config.json as written.

    :raises CommandError: it is missing or no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandError(f"{path} is missing: {folder} is not a checkpoint directory") from error
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise CommandError(f"{path} holds no JSON object: not a checkpoint's config")
    return config


def tensor_headers(folder: Path) -> Iterator[TensorHeader]:
    """Headers of all tensors: of *.safetensors if there are any, else of pytorch_model*.bin.

    :raises CommandError: there are no weights, or a file is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if files:
        for file in files:
            yield from safetensors_header(file)
        return
    files = sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise CommandError(f"{folder} holds neither *.safetensors nor pytorch_model*.bin")
    for file in files:
        yield from _bin_header(file)


def safetensors_header(file: Path) -> list[TensorHeader]:
    """Headers of one safetensors file; only its first bytes are read.

    :raises CommandError: the file is not what it says.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, file.stat().st_size - 8):
                raise CommandError(f"{file} is damaged: its header says {length} bytes; fetch it again")
            header = json.loads(stream.read(length))
        tensors = [
            TensorHeader(name, entry["dtype"], tuple(entry["shape"]), file.name)
            for name, entry in header.items()
            if name != "__metadata__"
        ]
        end = 8 + length + max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"cannot read {file}: {error}; fetch it again") from error
    if file.stat().st_size < end:
        raise CommandError(f"{file} is cut off: {file.stat().st_size} of {end} bytes; fetch it again")
    return tensors


def _bin_header(file: Path) -> list[TensorHeader]:
    """Headers of a PyTorch file, through the restricted unpickler and without its data."""
    import pickle

    import torch

    try:
        tensors = torch.load(file, map_location="meta", weights_only=True, mmap=True)
        return [TensorHeader(name, str(t.dtype).removeprefix("torch."), tuple(t.shape), file.name) for name, t in tensors.items()]
    except (OSError, RuntimeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CommandError(f"cannot read {file} as plain weights: {reason}") from error
