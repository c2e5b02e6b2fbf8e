"""Any readable checkpoint -> sharded safetensors, one tensor in memory at a time, whatever the checkpoint's size.

The safetensors library writes a file from tensors that are all in memory; here the header is written first (its length,
then JSON: name -> type, shape, place) and the values follow as they are read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from lisa_ros.model.checkpoint import refuse_problems, replaced_directory
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.integrity import SUMS, sha256_of, sums_text, verify_files
from lisa_ros.model.inventory import Inventory, read_tokenizer, stored_name, take_inventory
from lisa_ros.model.shards import SAFETENSORS_DTYPES, TensorHeader, read_tensors
from lisa_ros.model.vocabulary import vocabulary_file

TYPE_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
COPIED_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "generation_config.json",
)


@dataclass(frozen=True)
class _Output:
    """One tensor of the new checkpoint: its name, where it comes from, and the type it gets."""

    name: str
    source: TensorHeader
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        return self.source.size * self.dtype.itemsize


def convert_checkpoint(
    directory: Path,
    out: Path,
    *,
    vision_tower: Path | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 4_000_000_000,
    advance: Callable[[int], None] = lambda written: None,
    announce: Callable[[int], None] = lambda total: None,
) -> Path:
    """Write a checkpoint anew. ``out`` appears only when it is whole; an existing one is replaced then.

    Args:
        vision_tower: directory of a CLIP tower to put into the new checkpoint.
        dtype: stored type of all tensors; None keeps each tensor's own.
        max_shard_bytes: a file is closed before it gets larger than this.
        announce, advance: told the total of bytes, then of every piece written.

    Raises:
        CheckpointError: the checkpoint is not complete, or there is no room for the new one.
    """
    inventory = take_inventory(directory, vision_tower, need_tower=False)
    read_tokenizer(inventory.directory, inventory.config)
    refuse_problems(inventory)
    verify_files([*inventory.files, vocabulary_file(inventory.directory)])
    outputs = [_Output(stored_name(key), header, dtype or header.dtype) for key, header in inventory.tensors.items()]
    total = sum(output.nbytes for output in outputs)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(out.parent).free < total * 1.01:
        raise CheckpointError(
            f"{out}: the new checkpoint takes {total / 1e9:.1f} GB, that much is not free there; give another --out"
        )
    announce(total)
    with replaced_directory(out) as building:
        shards = _cut(outputs, max_shard_bytes)
        digests, weight_map = {}, {}
        for number, shard in enumerate(shards, 1):
            name = f"model-{number:05}-of-{len(shards):05}.safetensors"
            digests[name] = _write_shard(building / name, shard, advance)
            weight_map.update({output.name: name for output in shard})
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        _write_json(building / "model.safetensors.index.json", index)
        _write_json(building / "config.json", _config(inventory, dtype))
        for name in COPIED_FILES:
            if (inventory.directory / name).is_file():
                shutil.copyfile(inventory.directory / name, building / name)
        # not config.json: its settings under "lisa_ros" are there to be edited
        digests |= {
            path.name: sha256_of(path) for path in building.iterdir() if path.name not in (*digests, "config.json")
        }
        (building / SUMS).write_text(sums_text(digests), encoding="utf-8")
    return out


def _cut(outputs: list[_Output], limit: int) -> list[list[_Output]]:
    """Outputs in shards of at most ``limit`` bytes (a larger tensor has a shard of its own), source files in order."""
    shards: list[list[_Output]] = [[]]
    size = 0
    for output in outputs:
        if shards[-1] and size + output.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(output)
        size += output.nbytes
    return shards


def _write_shard(path: Path, shard: list[_Output], advance: Callable[[int], None]) -> str:
    """Write one safetensors file and return its sha256."""
    # wide types first: every tensor then starts at a multiple of its own item size
    shard = sorted(shard, key=lambda output: -output.dtype.itemsize)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for output in shard:
        entry = {
            "dtype": TYPE_NAMES[output.dtype],
            "shape": output.source.shape,
            "data_offsets": [place, place + output.nbytes],
        }
        header[output.name] = entry
        place += output.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    seen = hashlib.sha256()
    with path.open("wb") as stream:

        def write(piece: bytes | memoryview) -> None:
            stream.write(piece)
            seen.update(piece)

        write(len(text).to_bytes(8, "little") + text)
        for run in _runs(shard):
            named = {output.source.name: output for output in run}
            for name, tensor in read_tensors(run[0].source.file, named):
                values = _checked(tensor, named[name])
                write(memoryview(values.view(torch.uint8).numpy()))
                advance(named[name].nbytes)
    return seen.hexdigest()


def _runs(shard: list[_Output]) -> list[list[_Output]]:
    """Neighbours that come from one file, so that a file is opened once for all of them."""
    runs: list[list[_Output]] = []
    for output in shard:
        if not runs or runs[-1][0].source.file != output.source.file:
            runs.append([])
        runs[-1].append(output)
    return runs


def _checked(tensor: Tensor, output: _Output) -> Tensor:
    """A tensor's values as they will be stored, flat.

    A converted checkpoint must load, so what is not finite is refused here, too.
    """
    values = tensor.to(output.dtype).contiguous().flatten()
    if not torch.stack(values.aminmax()).isfinite().all():
        raise CheckpointError(
            f"{output.source.file}: NaN or infinite values in {output.name}"
            + (
                " as float16; try --dtype bfloat16"
                if output.dtype == torch.float16 != tensor.dtype
                else "; the file is damaged, download it again"
            )
        )
    return values


def _config(inventory: Inventory, dtype: torch.dtype | None) -> dict[str, object]:
    """``config.json`` as published, with the new precision, and with the sizes of a CLIP tower that was put in."""
    data = dict(inventory.published)
    if dtype is not None:
        data["torch_dtype"] = str(dtype).removeprefix("torch.")
    if inventory.tower is not None:
        data["lisa_ros"] = {
            "name": inventory.config.name,
            **data.get("lisa_ros", {}),
            "vision": asdict(inventory.config.vision),
        }
    return data


def _write_json(path: Path, data: dict[str, object]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
