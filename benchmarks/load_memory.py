"""Peak host memory of loading a checkpoint, against the size of its weights.

    python benchmarks/load_memory.py [--full] [--keep DIR]

Writes a checkpoint of about 1.5 GB in the published form (bfloat16 language model, float32 SAM, PyTorch shards),
converts it to safetensors, and loads both on the CPU in child processes. A child's peak is VmHWM, which counts mapped
file pages too, from just before the load. The goal is at most 1.2 times the weights as they lie in memory afterwards.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from lisa_ros.cli.table import render
from lisa_ros.model.config import LanguageConfig, LisaConfig, VisionConfig
from lisa_ros.model.convert import convert_checkpoint
from lisa_ros.model.inventory import stored_name
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.published import published_config, published_dtype
from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.tokenizer import tokenizer_files

TOKENIZER = Path(__file__).resolve().parent.parent / "lisa_ros" / "assets" / "lisa-mini"
SETTINGS = [("bfloat16", "none"), ("float32", "none")]
if importlib.util.find_spec("bitsandbytes"):  # its import and its library count, too
    SETTINGS += [("bfloat16", "8bit"), ("bfloat16", "4bit")]


def configuration() -> LisaConfig:
    """LISA-7B-v1 with two of its layers, half of its tokens, and SAM's ViT-B: tensors have their true sizes."""
    language = LanguageConfig(4096, 11008, 2, 32, 32, vocab_size=16000)
    vision = VisionConfig(hidden_size=512, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=8)
    sam = SamConfig(width=768, depth=12, heads=12, global_attention=(2, 5, 8, 11))
    return replace(
        published_config("7b"), language=language, vision=vision, sam=sam, vision_tower=None, name="synthetic"
    )


def write_checkpoint(directory: Path, config: LisaConfig, shards: int) -> None:
    """Random weights in PyTorch shards, one shard in memory at a time."""
    directory.mkdir(parents=True)
    for path in tokenizer_files(TOKENIZER):
        shutil.copyfile(path, directory / path.name)
    data = config.to_json()
    data["lisa_ros"] = {"vision": asdict(config.vision)}
    (directory / "config.json").write_text(json.dumps(data))
    with torch.device("meta"):
        wanted = Lisa(config).state_dict()
    keys = list(wanted)
    weight_map = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        part = keys[number * len(keys) // shards : (number + 1) * len(keys) // shards]
        tensors = {stored_name(k): torch.randn(wanted[k].shape).to(published_dtype(k)) for k in part}
        torch.save(tensors, directory / name)
        weight_map |= dict.fromkeys(tensors, name)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def measure(directory: str, dtype: str, quantization: str) -> None:
    """In a child: load, and print bytes of weights and of the peak above the memory held before."""
    from lisa_ros.model.checkpoint import load_checkpoint

    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is held now
    before = _status("VmRSS")
    begin = time.perf_counter()
    lisa, _ = load_checkpoint(Path(directory), dtype=getattr(torch, dtype), quantization=quantization)
    peak, seconds = _status("VmHWM"), time.perf_counter() - begin
    weights = sum(tensor.nbytes for tensor in (*lisa.parameters(), *lisa.buffers()))
    print(
        json.dumps({"weights": weights, "peak": peak - before, "after": _status("VmRSS") - before, "seconds": seconds})
    )


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write the checkpoints here and keep them; what is there is used again"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="all of LISA-7B-v1 with its CLIP tower: 17 GB on disk, 16 GB of memory; .bin to bfloat16 and 4bit only",
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(*args.measure)
        return 0
    folder = args.keep or Path(tempfile.mkdtemp(prefix="load-memory-"))
    forms = {"PyTorch shards": folder / ("bin-7b" if args.full else "bin")}
    config, settings = configuration(), SETTINGS
    if args.full:
        config = replace(published_config("7b"), vision_tower=None)
        settings = [setting for setting in SETTINGS if setting in (("bfloat16", "none"), ("bfloat16", "4bit"))]
    try:
        if not forms["PyTorch shards"].is_dir():
            write_checkpoint(forms["PyTorch shards"], config, shards=8 if args.full else 2)
        if not args.full:
            forms["safetensors"] = folder / "safetensors"
            if not forms["safetensors"].is_dir():
                convert_checkpoint(forms["PyTorch shards"], forms["safetensors"], max_shard_bytes=10**9)
        rows = []
        for form, directory in forms.items():
            for dtype, quantization in settings:
                command = [sys.executable, __file__, "--measure", str(directory), dtype, quantization]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seen = json.loads(done.stdout.splitlines()[-1])
                mb = [f"{seen[name] / 1e6:.0f}" for name in ("weights", "peak", "after")]
                rows.append(
                    (form, dtype, quantization, *mb, f"{seen['peak'] / seen['weights']:.3f}", f"{seen['seconds']:.0f}")
                )
        heads = (
            "stored as",
            "loaded as",
            "quantization",
            "weights MB",
            "peak MB",
            "afterwards MB",
            "peak / weights",
            "seconds",
        )
        print(render(heads, rows, align="lllrrrrr"))
    finally:
        if args.keep is None:
            shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
