"""A trained model as a checkpoint that stands alone: LoRA merged, safetensors in the published layout, a model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.integrity import write_sums
from lisa_ros.model.inventory import TOWER, stored_name
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.published import published_dtype
from lisa_ros.model.tokenizer import tokenizer_files
from lisa_ros.training.peft_layers import LoraLayer
from lisa_ros.training.token_rows import TokenRows

BASE = ".base_layer."  # where peft puts a layer that it has wrapped


def merged_tensors(lisa: Lisa) -> Iterator[tuple[str, Tensor]]:
    """(own name, value) of every tensor, LoRA and rows of new tokens put into what they change. The model itself stays as it is: merging in
    place and taking it out again would cost bits of frozen weights in bfloat16."""
    layers = {f"{name}.": module for name, module in lisa.named_modules() if isinstance(module, LoraLayer | TokenRows)}
    for name, value in lisa.state_dict().items():
        if ".lora_" in name or name.endswith(".rows"):
            continue
        own = name.replace(BASE, ".")
        layer = layers.get(f"{own.rpartition('.')[0]}.")
        if isinstance(layer, TokenRows):
            value = layer.merged()
        elif layer is not None and own.endswith(".weight"):
            with torch.no_grad():
                value = value.float() + sum(layer.get_delta_weight(adapter).float() for adapter in layer.lora_A)
        yield own, value.detach()


def publish(
    lisa: Lisa,
    tokenizer_directory: Path,
    out: Path,
    *,
    dtype: torch.dtype | None = None,
    with_vision_tower: bool = False,
    card: str = "",
    max_shard_bytes: int = 4_000_000_000,
    advance: Callable[[int], None] = lambda written: None,
) -> Path:
    """Write a checkpoint. ``out`` appears only when it is whole.

    Args:
        dtype: stored precision; None: as published (SAM and text_hidden_fcs float32, everything else bfloat16).
        with_vision_tower: put the CLIP tower in. Published checkpoints leave it out; a model whose tower has no other
            home always carries it.
        card: the README.md.

    Raises:
        CheckpointError: a value is not finite, or there is no room. OSError: ``out`` cannot be written.
    """
    carries_tower = with_vision_tower or lisa.config.vision_tower is None
    names = {name: value for name, value in merged_tensors(lisa) if carries_tower or not name.startswith(TOWER)}
    wanted = {name: dtype or published_dtype(name) for name in names}
    total = sum(value.numel() * wanted[name].itemsize for name, value in names.items())
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(out.parent).free < total * 1.01:
        raise CheckpointError(f"{out}: the checkpoint takes {total / 1e9:.1f} GB, that much is not free there")
    with replaced_directory(out) as building:
        shards = _cut({name: value.numel() * wanted[name].itemsize for name, value in names.items()}, max_shard_bytes)
        weight_map: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            file = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else "model.safetensors"
            tensors = {stored_name(name): names[name].to("cpu", wanted[name]).contiguous() for name in shard}
            _refuse_non_finite(tensors)
            try:
                save_file(tensors, building / file, metadata={"format": "pt"})
            except SafetensorError as error:  # what safetensors makes of a full disk
                raise CheckpointError(f"{out}: cannot be written ({error}); make room, nothing is left") from error
            weight_map |= dict.fromkeys(tensors, file)
            advance(sum(tensor.nbytes for tensor in tensors.values()))
        if len(shards) > 1:
            index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
            _write_json(building / "model.safetensors.index.json", index)
        for path in tokenizer_files(tokenizer_directory):
            shutil.copyfile(path, building / path.name)
        write_sums(building)  # of all but config.json, whose settings a user may change
        stored = "bfloat16" if dtype is None else str(dtype).removeprefix("torch.")
        _write_json(building / "config.json", {**lisa.config.to_json(), "torch_dtype": stored})
        (building / "README.md").write_text(card, encoding="utf-8")
    return out


def _cut(sizes: dict[str, int], limit: int) -> list[list[str]]:
    """Names in shards of at most ``limit`` bytes; a larger tensor has one of its own."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, nbytes in sizes.items():
        if shards[-1] and size + nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += nbytes
    return shards


def _refuse_non_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{name}: NaN or infinite values as {tensor.dtype}; take an earlier state of the run, "
                "or --dtype float32"
            )


def _write_json(path: Path, data: dict[str, object]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
