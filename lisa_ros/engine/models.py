"""From what a user calls a model to directories: the embedded model, a directory, or a hub id. No torch but for the embedded one.

The network is used only when the model itself, or the vision tower a user gives, is a hub id. A checkpoint in a
directory whose CLIP tower is elsewhere finds it in the hub's cache on this machine, or not at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lisa_ros.model.config import CheckpointError, first_line, named_tower, read_config_json

EMBEDDED_MODEL = "lisa-mini"


def resolve_model(model: str | Path) -> Path:
    """``lisa-mini``, a directory, or a hub id -> the checkpoint's directory. Only a hub id uses the network.

    Raises:
        CheckpointError: there is no such model.
    """
    if str(model) == EMBEDDED_MODEL:
        directory = Path(__file__).resolve().parent.parent / "assets" / EMBEDDED_MODEL
        if not (directory / "config.json").is_file():
            raise CheckpointError(f"{directory}: the embedded model is not installed; install the package again")
        return _whole(directory)
    path = Path(model).expanduser()
    if path.is_dir():
        return _whole(path)
    if not is_hub_id(model):
        raise CheckpointError(
            f"{model}: no such directory; "
            "give 'lisa-mini', a checkpoint directory or a hub id such as xinlai/LISA-7B-v1"
        )
    return _download(str(model))


def resolve_vision_tower(model: str | Path, directory: Path, vision_tower: str | Path | None = None) -> Path | None:
    """The directory of a checkpoint's CLIP tower; None when the checkpoint holds one or names a directory here.

    Args:
        model: what the user called the model, and ``directory`` what ``resolve_model`` made of it.
        vision_tower: the user's own choice, a directory or a hub id; it wins.

    Raises:
        CheckpointError: there is no such tower, or the checkpoint names one that is not on this machine and may not be
            fetched.
    """
    from lisa_ros.model.inventory import holds_vision_tower  # imported here: it needs torch

    if vision_tower is not None:
        return resolve_model(vision_tower)
    named = named_tower(read_config_json(Path(directory) / "config.json"))
    if named is None or not is_hub_id(named) or Path(named).is_dir() or holds_vision_tower(Path(directory)):
        return None
    if is_hub_id(model) and not Path(model).expanduser().is_dir():
        return _download(named)
    cached = cached_snapshot(named)
    if cached is None:
        raise CheckpointError(
            f"{directory} holds no CLIP tower, and '{named}', the one its config.json names, "
            f"is not in the hub's cache on this machine: "
            f"give its directory with --vision-tower DIR, or --vision-tower {named} to fetch it"
        )
    return cached


def _whole(directory: Path) -> Path:
    """A directory itself; of one that leaves its language model out, as the package's, the one that is put together of both."""
    path = directory / "config.json"
    ours = read_config_json(path).get("lisa_ros") if path.is_file() else None
    if not isinstance(ours, dict) or "language" not in ours:
        return directory
    from lisa_ros.engine.embedded import assemble  # imported here: it needs torch

    return assemble(directory, say=_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def is_hub_id(model: str | Path) -> bool:
    """Whether a name has the form of a hub id: OWNER/NAME."""
    parts = str(model).split("/")
    return len(parts) == 2 and all(parts) and not str(model).startswith((".", "~"))


def needed_files(names: list[str]) -> list[str]:
    """The files of a repository to fetch: one kind of weights (safetensors before PyTorch's), settings, tokenizer."""
    top = [name for name in names if "/" not in name]
    weights = [name for name in top if name.startswith("model") and name.endswith(".safetensors")]
    weights = weights or [name for name in top if name.startswith("pytorch_model") and name.endswith(".bin")]
    unused_index = (
        "pytorch_model.bin.index.json"
        if weights and weights[0].endswith(".safetensors")
        else "model.safetensors.index.json"
    )
    settings = [name for name in top if name.endswith(".json") and name != unused_index]
    return weights + settings + [name for name in top if name == "tokenizer.model"]


def _download(repository: str) -> Path:
    """Bring a repository's needed files into the hub's cache; without a network what is cached must do."""
    from huggingface_hub import HfApi, snapshot_download  # imported here: nobody else needs it

    try:
        files = needed_files(HfApi().list_repo_files(repository))
        return Path(snapshot_download(repository, allow_patterns=files))
    except Exception as error:  # the hub client raises many kinds; all mean that the repository cannot be had
        cached = cached_snapshot(repository)
        if cached is None:
            raise CheckpointError(
                f"{repository}: neither a directory here nor available from the hub ({first_line(error)})"
            ) from error
        return cached


def cached_snapshot(repository: str) -> Path | None:
    """The snapshot of a repository in the hub's cache on this machine. What it lacks is found by whoever reads it."""
    from huggingface_hub import snapshot_download

    try:
        # asking for one file only: the hub client calls a snapshot incomplete that lacks files nobody needs
        return Path(snapshot_download(repository, allow_patterns=["config.json"], local_files_only=True))
    except Exception:  # many kinds; all mean that it is not there
        return None
