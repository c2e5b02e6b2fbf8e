"""Checkpoint directories in the published LISA layout: loaded and, by training, written.

The module is built on the meta device and filled tensor by tensor, so a checkpoint is never held twice; with 8-bit or
4-bit weights each layer shrinks as soon as it is whole, so its full-precision form is never held at all. No pickle is
ever executed. Parts: ``inventory`` (what a directory holds), ``shards`` (its files), ``integrity`` (their sha256),
``filling`` (values into the module), ``convert`` (to safetensors).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from lisa_ros.model.config import CheckpointError
from lisa_ros.model.filling import fill, restore_buffers, shorten, stage_dtype
from lisa_ros.model.integrity import verify_files
from lisa_ros.model.inventory import Inventory, read_tokenizer, stored_name, take_inventory
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.memory import out_of_memory_as_checkpoint_error, require_memory
from lisa_ros.model.quantization import quantize_layer, require_quantization
from lisa_ros.model.tokenizer import LisaTokenizer, tokenizer_files
from lisa_ros.model.vocabulary import vocabulary_file

QUANTIZATIONS = {"none": 16, "8bit": 8, "4bit": 4}
"""How the language model's linear layers are kept -> bits a weight ("none": in the checkpoint's dtype)."""


def load_checkpoint(
    directory: Path,
    *,
    vision_tower: Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    quantization: str = "none",
) -> tuple[Lisa, LisaTokenizer]:
    """A LISA in evaluation mode, with its tokeniser.

    Args:
        vision_tower: directory of the CLIP tower, for checkpoints that do not hold one (the published ones).
        quantization: "none", "8bit" or "4bit" weights of the language model's layers.

    Raises:
        CheckpointError: something is missing, unreadable, misshapen or contradictory, or does not fit into memory; the
            message names it and says what to do.
        ValueError: an unknown quantization.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(f'quantization "{quantization}" is not known; choose from {", ".join(QUANTIZATIONS)}')
    inventory = take_inventory(directory, vision_tower)
    tokenizer = read_tokenizer(inventory.directory, inventory.config)
    refuse_problems(inventory)
    lisa, settings = inventory.lisa, (device, dtype, quantization, str(inventory.directory))
    shrink = _nothing
    if quantization != "none":
        require_quantization(torch.device(device))
        shrink = _layer_quantizer(inventory, QUANTIZATIONS[quantization])
    require_memory(lisa, *settings)
    verify_files([*inventory.files, vocabulary_file(inventory.directory)])
    with out_of_memory_as_checkpoint_error(lisa, *settings):
        fill(lisa, inventory.tensors, device, lambda key: stage_dtype(key, dtype), shrink)
        restore_buffers(lisa, device)
    return lisa.eval().requires_grad_(False), tokenizer


def refuse_problems(inventory: Inventory) -> None:
    """Raises CheckpointError when a checkpoint's tensors are not the ones its configuration asks for; it lists them."""
    if inventory.problems:
        raise CheckpointError(
            f"{inventory.directory}: the weights do not fit config.json: {shorten(inventory.problems)}"
        )


def _nothing(key: str) -> None:
    """What there is to do after a tensor is in place when nothing is quantised."""


def _layer_quantizer(inventory: Inventory, bits: int) -> Callable[[str], None]:
    """What to call with every filled key, so that a language-model layer is quantised once its last tensor is there."""

    def layer_of(key: str) -> int | None:
        found = re.match(r"model\.layers\.(\d+)\.", key)
        return int(found[1]) if found else None

    missing = Counter(layer_of(key) for key in inventory.tensors)

    def filled(key: str) -> None:
        layer = layer_of(key)
        missing[layer] -= 1
        if layer is not None and missing[layer] == 0:
            quantize_layer(inventory.lisa.model.layers[layer], bits)

    return filled


def save_checkpoint(lisa: Lisa, tokenizer_directory: Path, directory: Path, dtype: torch.dtype | None = None) -> None:
    """Write a complete checkpoint directory, atomically: an existing one is replaced only once the new one is whole.

    Args:
        tokenizer_directory: where the tokenizer's three files lie.
        dtype: stored precision; None keeps each tensor's own.
    """
    with replaced_directory(Path(directory)) as building:
        tensors = {
            stored_name(k): v.detach().to("cpu", dtype or v.dtype).contiguous() for k, v in lisa.state_dict().items()
        }
        save_file(tensors, building / "model.safetensors", metadata={"format": "pt"})
        (building / "config.json").write_text(json.dumps(lisa.config.to_json(), indent=1) + "\n", encoding="utf-8")
        for path in tokenizer_files(tokenizer_directory):
            shutil.copyfile(path, building / path.name)


@contextmanager
def replaced_directory(directory: Path) -> Iterator[Path]:
    """An empty directory to build in. It takes the place of ``directory`` only when the block ends without an error."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield building
        building.chmod(0o755)
        for path in building.iterdir():
            path.chmod(0o644)
        if directory.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
            os.rename(directory, old / "checkpoint")
            os.rename(building, directory)
            shutil.rmtree(old)
        else:
            os.rename(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
