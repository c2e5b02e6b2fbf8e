"""Checkpoint directories in the published LISA layout: read (``.bin`` shards through ``weights_only``, safetensors) and written.

The module is built on the meta device and filled tensor by tensor, so a checkpoint is never held twice. No pickle is ever executed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from lisa_ros.model.config import CheckpointError, VisionConfig, parse_config, read_config_json
from lisa_ros.model.lisa import Lisa, llama_config
from lisa_ros.model.tokenizer import LisaTokenizer, TokenizerError

CLIP_PREFIX = "model.vision_tower.vision_tower.vision_model."  # the reference's name of the CLIP tower
TOKENIZER_FILES = ("tokenizer.model", "tokenizer_config.json", "added_tokens.json")


def load_checkpoint(
    directory: Path,
    *,
    vision_tower: Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Lisa, LisaTokenizer]:
    """A LISA in evaluation mode, with its tokeniser.

    Args:
        vision_tower: directory of the CLIP tower, for checkpoints that do not hold one (the published ones).

    Raises:
        CheckpointError: something is missing, unreadable, misshapen or contradictory; the message names it and says what to do.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such directory; give a checkpoint directory")
    data = read_config_json(directory / "config.json")
    shards = weight_files(directory)
    shapes = {name: tuple(tensor.shape) for shard in shards for name, tensor in read_tensors(shard)}
    has_tower = any(name.startswith(CLIP_PREFIX) for name in shapes)
    tower_shards: list[Path] = []
    vision = None
    if not has_tower:
        tower = Path(vision_tower or data.get("vision_tower") or data.get("mm_vision_tower") or "")
        if not tower.is_dir():
            raise CheckpointError(
                f"{directory} holds no CLIP tower and '{tower}' is no local directory: "
                "give the directory of openai/clip-vit-large-patch14 as vision tower (--vision-tower)"
            )
        vision = read_vision_config(tower)
        tower_shards = weight_files(tower)
    config = parse_config(data, shapes, vision, directory)
    try:
        tokenizer = LisaTokenizer.from_directory(directory)
        tokenizer.seg_id  # noqa: B018  a checkpoint without [SEG] is refused here
    except TokenizerError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    if tokenizer.vocab_size > config.language.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} tokens, config.json says vocab_size {config.language.vocab_size}; "
            "the files do not belong together"
        )
    with torch.device("meta"):
        lisa = Lisa(config)
    missing = set(lisa.state_dict())
    problems: list[str] = []
    state: dict[str, Tensor] = {}
    for shard in shards + tower_shards:
        for name, tensor in read_tensors(shard):
            key = module_name(name, from_tower=shard in tower_shards)
            if key is None:
                continue
            if key not in missing:
                problems.append(f"unexpected {name}" if key not in state else f"twice {name}")
            elif lisa.get_parameter_or_buffer(key).shape != tensor.shape:
                want = list(lisa.get_parameter_or_buffer(key).shape)
                problems.append(f"{name} has shape {list(tensor.shape)}, config.json asks for {want}")
                missing.discard(key)
            else:
                state[key] = tensor.to(device=device, dtype=stage_dtype(key, dtype), copy=True)
                missing.discard(key)
    problems += [f"missing {key}" for key in sorted(missing)]
    if problems:
        shown = "; ".join(problems[:12]) + (f"; and {len(problems) - 12} more" if len(problems) > 12 else "")
        raise CheckpointError(f"{directory}: the weights do not fit config.json: {shown}")
    lisa.load_state_dict(state, assign=True)
    restore_buffers(lisa, device)
    return lisa.eval().requires_grad_(False), tokenizer


def stage_dtype(key: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype a parameter gets. SAM's neck overflows in float16 and stays float32 there."""
    if dtype == torch.float16 and ".image_encoder.neck." in key:
        return torch.float32
    return dtype


def module_name(name: str, from_tower: bool = False) -> str | None:
    """Name of a stored tensor inside Lisa; None for tensors that are not used (stale rotary tables, CLIP's text half)."""
    if name.endswith("rotary_emb.inv_freq") or name.endswith("embeddings.position_ids"):
        return None
    if from_tower:
        return "vision_tower." + name.removeprefix("vision_model.") if name.startswith("vision_model.") else None
    if name.startswith(CLIP_PREFIX):
        return "vision_tower." + name.removeprefix(CLIP_PREFIX)
    return name


def stored_name(key: str) -> str:
    """Inverse of module_name, for writing."""
    return CLIP_PREFIX + key.removeprefix("vision_tower.") if key.startswith("vision_tower.") else key


def weight_files(directory: Path) -> list[Path]:
    """The shards of a checkpoint directory, safetensors before pickles. Raises CheckpointError when a listed shard is missing."""
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        index = directory / f"{stem}{suffix}.index.json"
        if index.is_file():
            names = sorted(set(read_config_json(index).get("weight_map", {}).values()))
            absent = [name for name in names if not (directory / name).is_file()]
            if absent:
                raise CheckpointError(f"{directory}: {index.name} lists {', '.join(absent)}, which is not there; download it again")
            return [directory / name for name in names]
        if (directory / f"{stem}{suffix}").is_file():
            return [directory / f"{stem}{suffix}"]
    raise CheckpointError(f"{directory}: no model.safetensors and no pytorch_model.bin (nor an index of shards)")


def read_tensors(shard: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and memory-mapped tensors of one shard.

    Raises:
        CheckpointError: the file is truncated, or a pickle that holds more than tensors (it is refused, nothing in it runs).
    """
    try:
        if shard.suffix == ".safetensors":
            with safe_open(shard, framework="pt") as tensors:
                for name in tensors.keys():
                    yield name, tensors.get_tensor(name)
        else:
            yield from torch.load(shard, map_location="cpu", weights_only=True, mmap=True).items()
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{shard}: cannot be read ({str(error).splitlines()[0]}); download or convert it again") from error
    except Exception as error:  # pickle.UnpicklingError and what a hostile file may raise while being refused
        raise CheckpointError(f"{shard}: refused, it is not a plain file of tensors ({str(error).splitlines()[0]})") from error


def read_vision_config(directory: Path) -> VisionConfig:
    """Sizes of a CLIP directory. Raises CheckpointError when they are not there."""
    data = read_config_json(directory / "config.json")
    data = data.get("vision_config", data)
    try:
        return VisionConfig(**{name: data[name] for name in VisionConfig.__dataclass_fields__})
    except KeyError as error:
        raise CheckpointError(f"{directory / 'config.json'}: {error} is missing; this is not a CLIP vision tower") from error


def restore_buffers(lisa: Lisa, device: str | torch.device) -> None:
    """Recompute the buffers that no checkpoint holds, after a module was built on the meta device."""
    lisa.model.rotary_emb = LlamaRotaryEmbedding(llama_config(lisa.config)).to(device)
    for module in lisa.modules():
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = _fresh_buffer(module, name).to(device)


def _fresh_buffer(module: nn.Module, name: str) -> Tensor:
    if name == "position_ids":
        return torch.arange(module.position_ids.shape[-1])[None]
    return module.fresh_buffer(name)


def save_checkpoint(lisa: Lisa, tokenizer_directory: Path, directory: Path, dtype: torch.dtype | None = None) -> None:
    """Write a complete checkpoint directory, atomically: an existing one is replaced only once the new one is whole.

    Args:
        tokenizer_directory: where ``tokenizer.model`` and its two JSON files lie.
        dtype: stored precision; None keeps each tensor's own.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        tensors = {stored_name(k): v.detach().to("cpu", dtype or v.dtype).contiguous() for k, v in lisa.state_dict().items()}
        save_file(tensors, building / "model.safetensors", metadata={"format": "pt"})
        (building / "config.json").write_text(json.dumps(lisa.config.to_json(), indent=1) + "\n", encoding="utf-8")
        for name in TOKENIZER_FILES:
            shutil.copyfile(Path(tokenizer_directory) / name, building / name)
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
