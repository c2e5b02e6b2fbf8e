"""`lisa info`: what a checkpoint holds and whether it is whole, without loading it."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lisa_ros.cli.checkpoint import locate
from lisa_ros.cli.errors import CommandError
from lisa_ros.cli.table import render

if TYPE_CHECKING:
    from lisa_ros.model.config import LisaConfig
    from lisa_ros.model.inventory import Inventory
    from lisa_ros.model.shards import TensorHeader

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
LISTED = 20
"""How many tensors that do not fit are named."""


def main(argv: Sequence[str]) -> int:
    """Print config and tensors of a checkpoint."""
    parser = argparse.ArgumentParser(prog="lisa info", description="Describe a checkpoint without loading it.")
    parser.add_argument("model", nargs="?", default="lisa-mini", help="lisa-mini (default), a directory, or a hub id")
    parser.add_argument(
        "--vision-tower",
        metavar="TOWER",
        help="directory or hub id of the CLIP tower, if it is not the one config.json names",
    )
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="hash the files and hold them against what is known of them; 1 if one is wrong",
    )
    args = parser.parse_args(argv)

    from lisa_ros.engine.models import resolve_model
    from lisa_ros.model.config import CheckpointError, read_config_json
    from lisa_ros.model.shards import directory_headers

    folder = locate(args.model)
    try:
        tower = None if args.vision_tower is None else resolve_model(args.vision_tower)
        config = read_config_json(folder / "config.json")
        headers = directory_headers(folder)
        print("\n\n".join((str(folder), summary(folder, tower), parts_table(headers), settings_table(config))))
        if args.tensors:
            rows = [(t.name, type_name(t), list(t.shape), t.file.name) for t in headers]
            print("\n" + render(("tensor", "type", "shape", "file"), rows))
        return verify(folder, tower) if args.verify else 0
    except CheckpointError as error:
        raise CommandError(str(error)) from error


def summary(folder: Path, tower: Path | None) -> str:
    """What kind of LISA this is, and what it lacks, as a table; of a directory that is no LISA, the reason."""
    from lisa_ros.engine.models import resolve_vision_tower
    from lisa_ros.model.config import CheckpointError
    from lisa_ros.model.inventory import take_inventory

    try:
        if tower is None:
            try:
                tower = resolve_vision_tower(folder, folder)  # looks on this machine only
            except CheckpointError:
                tower = None  # the table says so
        inventory = take_inventory(folder, tower, need_tower=False)
    except CheckpointError as error:
        return f"cannot be loaded: {error}"
    rows = [*_sizes(inventory), *_tokens(inventory), _tower(inventory), *_fit(inventory), *_memory(inventory)]
    return render(("", folder.name), rows)


def parts_table(headers: Sequence[TensorHeader]) -> str:
    """Tensors, parameters and bytes of every part."""
    parts: dict[str, list[TensorHeader]] = defaultdict(list)
    for tensor in headers:
        parts[part_of(tensor.name)].append(tensor)
    rows = [_part_row(name, held) for name, held in parts.items()]
    return render(("part", "tensors", "parameters", "MB", "types"), [*rows, _part_row("all", headers)], align="lrrrl")


def settings_table(config: dict[str, Any]) -> str:
    """config.json as written; of its groups, the plain values."""
    plain = [(key, value) for key, value in sorted(config.items()) if not isinstance(value, (dict, list))]
    nested = [
        (f"{key}.{inner}", value)
        for key, group in sorted(config.items())
        if isinstance(group, dict)
        for inner, value in sorted(group.items())
        if not isinstance(value, (dict, list))
    ]
    return render(("config.json", "value"), [*plain, *nested])


def verify(folder: Path, tower: Path | None) -> int:
    """Print every file's state; 1 when one is wrong or gone, else 0."""
    from lisa_ros.model.integrity import SUMS, check_files, read_sums
    from lisa_ros.model.shards import weight_files
    from lisa_ros.model.vocabulary import vocabulary_file

    listed = [folder / name for name in read_sums(folder / SUMS)] if (folder / SUMS).is_file() else []
    files = dict.fromkeys(
        [*weight_files(folder), vocabulary_file(folder), *listed, *(weight_files(tower) if tower else [])]
    )
    checks = check_files([file for file in files if file.is_file()], afresh=True)
    rows = [
        (check.file.name, check.state, check.actual if check.state == "wrong" else check.expected) for check in checks
    ]
    rows += [(file.name, "missing", None) for file in files if not file.is_file()]
    print("\n" + render(("file", "state", "sha256"), rows))
    if any(state == "unknown" for _, state, _ in rows):
        print(f"unknown: no {SUMS} beside the file, and it is not of the hub's cache")
    return 1 if any(state in ("wrong", "missing") for _, state, _ in rows) else 0


def part_of(name: str) -> str:
    """Which part of LISA a tensor belongs to; "other" when its name says nothing."""
    return next((part for part, prefix in PARTS if name.startswith(prefix)), "other")


def type_name(tensor: TensorHeader) -> str:
    """A tensor's type, as in "bfloat16"."""
    return str(tensor.dtype).removeprefix("torch.")


def _part_row(name: str, tensors: Sequence[TensorHeader]) -> tuple[object, ...]:
    size, nbytes = sum(tensor.size for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    return (
        name,
        len(tensors),
        f"{size:,}",
        f"{nbytes / 1e6:.1f}",
        ", ".join(sorted({type_name(tensor) for tensor in tensors})),
    )


def _sizes(inventory: Inventory) -> list[tuple[str, str]]:
    from lisa_ros.model.published import PUBLISHED

    config = inventory.config
    language, vision, sam = config.language, config.vision, config.sam
    same = [
        c.name
        for c in PUBLISHED.values()
        if (c.language, c.vision, c.sam, c.projector) == (language, vision, sam, config.projector)
    ]
    return [
        ("layout", f"as {same[0]}" if same else "sizes of its own"),
        (
            "language model",
            f"{language.num_hidden_layers} layers, {language.hidden_size} wide, {language.num_attention_heads} heads, "
            f"{language.vocab_size} tokens, context {language.max_position_embeddings}",
        ),
        (
            "picture",
            f"{vision.image_size} pixels in patches of {vision.patch_size}: {_at_most(config)}{vision.patches} positions, "
            f"{config.projector} projector",
        ),
        ("SAM", f"{sam.image_size} pixels, {sam.depth} blocks, {sam.width} wide"),
    ]


def _at_most(config: LisaConfig) -> str:
    """What stands before a number of positions: patches of bars are left out of them with ``clip_fit: unpad``."""
    return "up to " if config.clip_fit == "unpad" else ""


def _tokens(inventory: Inventory) -> list[tuple[str, str]]:
    from lisa_ros.engine.prompting import Prompter
    from lisa_ros.model.config import CheckpointError
    from lisa_ros.model.inventory import read_tokenizer

    try:
        tokenizer = read_tokenizer(inventory.directory, inventory.config)
    except CheckpointError as error:
        return [("tokenizer", f"cannot be used: {error}")]
    prefix = Prompter(inventory.config, tokenizer, inventory.config.conversation).prefix_length
    return [
        (
            "tokenizer",
            f"{tokenizer.vocab_size} tokens, [SEG] {tokenizer.seg_id}, {tokenizer.rules}",
        ),
        ("prompt", f"{_at_most(inventory.config)}{prefix} positions before the query, the same for every query"),
    ]


def _tower(inventory: Inventory) -> tuple[str, str]:
    if inventory.tower is not None:
        return "CLIP tower", str(inventory.tower)
    if inventory.has_tower:
        return "CLIP tower", "in the checkpoint"
    return "CLIP tower", f"not on this machine; config.json names '{inventory.config.vision_tower}' (--vision-tower)"


def _fit(inventory: Inventory) -> list[tuple[str, str]]:
    problems = inventory.problems
    rows = [
        (
            "weights",
            f"{len(inventory.tensors)} tensors, "
            + (f"{len(problems)} that do not fit:" if problems else "all that are needed"),
        )
    ]
    rows += [("", problem) for problem in problems[:LISTED]]
    if len(problems) > LISTED:
        rows.append(("", f"and {len(problems) - LISTED} more"))
    if inventory.stale:
        rows.append(("not used", f"{len(inventory.stale)} stored tensors, such as {inventory.stale[0].name}"))
    return rows


def _memory(inventory: Inventory) -> list[tuple[str, str]]:
    import torch

    from lisa_ros.model.memory import memory_need

    needs = {
        "float32": memory_need(inventory.lisa, torch.float32),
        "bfloat16": memory_need(inventory.lisa, torch.bfloat16),
        "8bit": memory_need(inventory.lisa, torch.bfloat16, "8bit"),
        "4bit": memory_need(inventory.lisa, torch.bfloat16, "4bit"),
    }
    texts = [f"{name} {need.weights / 1e9:.2f} + {need.working / 1e9:.2f}" for name, need in needs.items()]
    return [("memory, GB", "weights + room to work: " + ", ".join(texts))]
