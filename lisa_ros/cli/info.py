"""`lisa info`: what a checkpoint holds, without loading it."""
from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lisa_ros.cli.checkpoint import TensorHeader, locate, read_config, tensor_headers
from lisa_ros.cli.table import render

PARTS = (
    ("SAM image encoder", "model.visual_model.image_encoder."),
    ("SAM prompt encoder", "model.visual_model.prompt_encoder."),
    ("SAM mask decoder", "model.visual_model.mask_decoder."),
    ("[SEG] projection", "model.text_hidden_fcs."),
    ("image projector", "model.mm_projector."),
    ("vision tower", "model.vision_tower."),
    ("token embedding", "model.embed_tokens."),
    ("language model", "model.layers."),
    ("language model", "model.norm."),
    ("language head", "lm_head."),
)
"""Part of LISA by the beginning of a tensor's name, as published checkpoints spell them."""
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}
TORCH = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int8": "I8"}


def main(argv: Sequence[str]) -> int:
    """Print config and tensors of a checkpoint."""
    parser = argparse.ArgumentParser(prog="lisa info", description="Describe a checkpoint without loading it.")
    parser.add_argument("model", nargs="?", default="lisa-mini", help="lisa-mini (default), a directory, or a cached hub id")
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    args = parser.parse_args(argv)
    folder = locate(args.model)
    config = read_config(folder)
    tensors = list(tensor_headers(folder))
    print(describe(str(folder), config, tensors))
    if args.tensors:
        print()
        print(render(("tensor", "type", "shape", "file"), [(t.name, t.dtype, list(t.shape), t.file) for t in tensors]))
    return 0


def describe(where: str, config: dict[str, Any], tensors: Sequence[TensorHeader]) -> str:
    """Config and parts as text."""
    parts: dict[str, list[TensorHeader]] = defaultdict(list)
    for tensor in tensors:
        parts[part_of(tensor.name)].append(tensor)
    rows = [_part_row(name, held) for name, held in parts.items()]
    rows.append(_part_row("all", tensors))
    settings = [(key, value) for key, value in sorted(config.items()) if not isinstance(value, (dict, list))]
    nested = [
        (f"{key}.{inner}", value)
        for key, group in sorted(config.items())
        if isinstance(group, dict)
        for inner, value in sorted(group.items())
        if not isinstance(value, (dict, list))
    ]
    return "\n".join(
        (
            where,
            "",
            render(("part", "tensors", "parameters", "MB", "types"), rows, align="lrrrl"),
            "",
            render(("config.json", "value"), [*settings, *nested]),
        )
    )


def part_of(name: str) -> str:
    """Which part of LISA a tensor belongs to; "other" when its name says nothing."""
    return next((part for part, prefix in PARTS if name.startswith(prefix)), "other")


def _part_row(name: str, tensors: Sequence[TensorHeader]) -> tuple[object, ...]:
    types = sorted({TORCH.get(tensor.dtype, tensor.dtype) for tensor in tensors})
    size = sum(tensor.size * BYTES.get(TORCH.get(tensor.dtype, tensor.dtype), 4) for tensor in tensors)
    return name, len(tensors), f"{sum(tensor.size for tensor in tensors):,}", f"{size / 1e6:.1f}", ", ".join(types)
