"""From what a user calls a model to a directory. No torch."""

from __future__ import annotations

from pathlib import Path

from lisa_ros.model.config import CheckpointError

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
        return directory
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    parts = str(model).split("/")
    looks_like_hub_id = len(parts) == 2 and all(parts) and not str(model).startswith((".", "~", "/"))
    if not looks_like_hub_id:
        raise CheckpointError(f"{model}: no such directory; give 'lisa-mini', a checkpoint directory or a hub id such as xinlai/LISA-7B-v1")
    from huggingface_hub import snapshot_download  # imported here: nobody else needs it

    patterns = ["*.json", "*.safetensors", "*.bin", "tokenizer.model"]
    try:
        return Path(snapshot_download(str(model), allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds; all mean that the model cannot be had
        raise CheckpointError(f"{model}: neither a directory here nor available from the hub ({str(error).splitlines()[0]})") from error
