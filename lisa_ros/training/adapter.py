"""What a run has learned, and nothing else: a folder that, put onto the weights it began with, is the trained model.

    adapter_model.safetensors, adapter_config.json    LoRA of the language model, in peft's own format
    trained.safetensors                               everything else that was trained: token rows, heads, mask decoder
    adapter.json                                      what it belongs to: where the run began, what it trained
    tokenizer.model, tokenizer_config.json, added_tokens.json

The 7B's is 1.2 GB in float32, beside 16 GB of the whole model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lisa_ros.engine.embedded import PEFT_PREFIX
from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.config import CheckpointError, first_line, read_config_json
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.shards import read_tensors
from lisa_ros.model.tokenizer import tokenizer_files
from lisa_ros.training.start import Start, Started, start_model, write_tokenizer
from lisa_ros.training.trainable import LANGUAGE_ADAPTER, Lora, Trainable, make_trainable, trained_parameters

ABOUT, ADAPTER, ADAPTER_CONFIG, TRAINED = (
    "adapter.json",
    "adapter_model.safetensors",
    "adapter_config.json",
    "trained.safetensors",
)
SAMPLED = 64  # values of each frozen tensor that its base is told by


def save_adapter(building: Path, lisa: Lisa, tokenizer_directory: Path, about: dict[str, Any]) -> None:
    """Write the trained values of a model into a directory (see ``replaced_directory``).

    Args:
        about: "start" and "trainable" as dictionaries, and whatever else shall be known of the run.
    """
    tensors = {name: p.detach().to("cpu").contiguous() for name, p in trained_parameters(lisa).items()}
    write_adapter(building, lisa, tensors, tokenizer_directory, {**about, "base": fingerprint(lisa)})


def write_adapter(
    building: Path, lisa: Lisa, tensors: dict[str, torch.Tensor], tokenizer_directory: Path, about: dict[str, Any]
) -> None:
    """As ``save_adapter``, of values that were gathered already (name in ``lisa`` -> tensor).

    Args:
        about: holds "base", too: ``fingerprint(lisa)`` of before the model was cut over processes.
    """
    lora = {peft_name(name): tensor for name, tensor in tensors.items() if is_lora(name)}
    if lora:
        save_file(lora, building / ADAPTER, metadata={"format": "pt"})
        config = lisa.peft_config[LANGUAGE_ADAPTER].to_dict()
        config = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        _write_json(building / ADAPTER_CONFIG, config)
    others = {name: tensor for name, tensor in tensors.items() if not is_lora(name)}
    save_file(others, building / TRAINED, metadata={"format": "pt"})
    _write_json(building / ABOUT, about)
    added = read_config_json(tokenizer_directory / "added_tokens.json")
    write_tokenizer(tokenizer_directory, building, added)


def load_adapter(
    directory: Path, work: Path, *, base: str | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Started, dict[str, Any]]:
    """The trained model, adapters not merged, and what its folder says about it.

    Args:
        work: a folder for the tokenizer's files.
        base: the weights that the run began with, where they lie elsewhere now.

    Raises:
        CheckpointError: a file is missing or damaged, or the base is another one.
    """
    directory = Path(directory)
    about = read_about(directory)
    try:
        start, trainable = Start(**about["start"]), trainable_from(about["trainable"])
        seed, wanted = about.get("seed", 0), about["base"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{directory / ABOUT}: {first_line(error)}; this is no folder of lisa train") from error
    if base is not None:
        start = Start(**{**asdict(start), start.base: base})
    started = start_model(start, work, dtype=dtype, seed=seed)
    make_trainable(started.lisa, trainable, new_tokens=started.tokenizer.own_ids)
    if fingerprint(started.lisa) != wanted:
        places = ", ".join(part for part in (getattr(start, start.base), start.sam, start.vision_tower) if part)
        raise CheckpointError(
            f"{directory} was not trained on {places}: other weights lie there now; "
            "name the ones it was trained on with --model"
        )
    load_trained(started.lisa, directory)
    return started, about


def copy_adapter(directory: Path, out: Path) -> None:
    """The adapter's files of a run's folder, without the optimizer's. ``out`` appears only when it is whole.

    Raises:
        CheckpointError: one is missing. OSError: it cannot be written.
    """
    names = [ABOUT, TRAINED, *(path.name for path in tokenizer_files(directory))]
    names += [ADAPTER, ADAPTER_CONFIG] if read_about(directory).get("trainable", {}).get("lora") else []
    for name in names:
        _require(directory / name)
    with replaced_directory(out) as building:
        for name in names:
            shutil.copyfile(directory / name, building / name)


def read_about(directory: Path) -> dict[str, Any]:
    """What a folder says about itself. Raises CheckpointError when it is none of a run."""
    if not (directory / ABOUT).is_file():
        raise CheckpointError(
            f"{directory / ABOUT} is missing: give a folder that lisa train writes, such as runs/NAME/best"
        )
    return read_config_json(directory / ABOUT)


def load_trained(lisa: Lisa, directory: Path) -> None:
    """Put the trained values of a folder into a model that has its adapters.

    Raises:
        CheckpointError: a value is missing or too many, or has another shape.
    """
    trained = trained_parameters(lisa)
    missing = set(trained)
    for file in (directory / TRAINED, directory / ADAPTER):
        if file == directory / ADAPTER and not any(map(is_lora, trained)):
            continue
        _require(file)
        for stored, tensor in read_tensors(file):
            name = _own_name(stored) if file.name == ADAPTER else stored
            if name not in trained or trained[name].shape != tensor.shape:
                raise CheckpointError(f"{file}: {stored} {list(tensor.shape)} does not fit what the run trained")
            with torch.no_grad():
                trained[name].copy_(tensor)
            missing.discard(name)
    if missing:
        raise CheckpointError(f"{directory}: {sorted(missing)[0]} is missing, and {len(missing) - 1} more")


def trainable_from(data: dict[str, Any]) -> Trainable:
    """A Trainable of plain values. Raises TypeError for unknown keys."""
    data = dict(data)
    for key in ("lora", "sam_lora"):
        if data.get(key) is not None:
            lora = dict(data[key])
            if "targets" in lora:
                lora["targets"] = tuple(lora["targets"])
            data[key] = Lora(**lora)
    return Trainable(**data)


def fingerprint(lisa: Lisa) -> str:
    """Tells one base from another: a hash of some values of everything frozen (LLaMA, CLIP, SAM), the same whatever
    precision it was loaded in. Of a model that knows what it trains (``make_trainable``)."""
    seen = hashlib.sha256()
    for name, parameter in lisa.named_parameters():
        if parameter.requires_grad:
            continue
        some = parameter.detach().flatten()[:: max(1, parameter.numel() // SAMPLED)]
        seen.update(f"{name} {tuple(parameter.shape)}".encode())
        seen.update(some.to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()[:16]


def _require(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: copy the whole folder again")


def is_lora(name: str) -> bool:
    """Whether a parameter of a model belongs to the language model's adapter."""
    return f".{LANGUAGE_ADAPTER}.weight" in name and ".lora_" in name


def peft_name(name: str) -> str:
    """What peft calls a parameter of the language model's adapter."""
    return PEFT_PREFIX + name.replace(f".{LANGUAGE_ADAPTER}.weight", ".weight")


def _own_name(stored: str) -> str:
    return stored.removeprefix(PEFT_PREFIX).replace(".weight", f".{LANGUAGE_ADAPTER}.weight")


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
