"""What a checkpoint directory holds, read from headers alone: settings, where every tensor lies, what does not fit.

Loading, converting and describing a checkpoint all start here, so they agree on what a good one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lisa_ros.model.config import (
    CLIP_PREFIX,
    CheckpointError,
    LisaConfig,
    VisionConfig,
    named_grid,
    named_tower,
    parse_config,
    read_config_json,
    read_vision_config,
    stored_vision,
)
from lisa_ros.model.filling import compare
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.shards import TensorHeader, directory_headers, refuse_lfs_pointer
from lisa_ros.model.tokenizer import IMAGE_END, IMAGE_START, LisaTokenizer, TokenizerError
from lisa_ros.model.vocabulary import vocabulary_file

TOWER = "vision_tower."  # Lisa's own name of the CLIP tower


@dataclass(frozen=True)
class Inventory:
    """A checkpoint's content, nothing of it loaded.

    Attributes:
        published: ``config.json`` as written.
        tensors: Lisa's own state-dict key -> where that tensor lies.
        tower: directory the CLIP tower comes from; None: it lies in the checkpoint itself, or there is none.
        stale: stored tensors that are not used (rotary tables of old transformers versions).
        problems: how the tensors differ from what ``config`` asks for; empty for a complete checkpoint.
        lisa: the model on the meta device.
    """

    directory: Path
    config: LisaConfig
    published: dict[str, Any]
    tensors: dict[str, TensorHeader]
    tower: Path | None
    stale: list[TensorHeader]
    problems: list[str]
    lisa: Lisa

    @property
    def has_tower(self) -> bool:
        """Whether a CLIP tower was found, here or in ``tower``."""
        return any(key.startswith(TOWER) for key in self.tensors)

    @property
    def files(self) -> list[Path]:
        """The weight files in use, in order."""
        return list(dict.fromkeys(header.file for header in self.tensors.values()))


def take_inventory(directory: Path, vision_tower: Path | None = None, *, need_tower: bool = True) -> Inventory:
    """Look through a checkpoint directory.

    Args:
        vision_tower: directory of the CLIP tower; it wins over the checkpoint's own and over the one ``config.json``
            names.
        need_tower: False: a checkpoint without a CLIP tower is fine, and no key of one is missed.

    Raises:
        CheckpointError: something is unreadable or contradictory, or there is no CLIP tower. Tensors that do not fit
            only become ``problems``.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such directory; give a checkpoint directory")
    data = read_config_json(directory / "config.json")
    headers = directory_headers(directory)
    shapes = {header.name: header.shape for header in headers}
    tensors, stale, problems = by_key(headers)
    holds_tower = any(key.startswith(TOWER) for key in tensors)
    tower = vision_tower
    if tower is None and not holds_tower and Path(named_tower(data) or "?").is_dir():
        tower = Path(named_tower(data))
    if tower is not None:
        own = stored_vision(data, shapes) if holds_tower else None
        vision, parts = open_tower(Path(tower), data, own, directory)
        tensors = {key: header for key, header in tensors.items() if not key.startswith(TOWER)} | parts
    elif holds_tower:
        vision = None
    elif need_tower:
        raise CheckpointError(
            f"{directory} holds no CLIP tower, and '{named_tower(data)}', the one its config.json names, "
            "is no directory here: give one, or a hub id such as openai/clip-vit-large-patch14, with --vision-tower"
        )
    else:
        vision = _unseen_vision(data)
    config = parse_config(data, shapes, vision, directory)
    try:
        with torch.device("meta"):
            lisa = Lisa(config)
    except ValueError as error:  # sizes that do not go together
        raise CheckpointError(f"{directory / 'config.json'}: {error}") from error
    if tower is None and not holds_tower:
        problems += [text for text in compare(lisa, tensors) if not text.startswith(f"missing {TOWER}")]
    else:
        problems += compare(lisa, tensors)
    return Inventory(directory, config, data, tensors, tower, stale, problems, lisa)


def holds_vision_tower(directory: Path) -> bool:
    """Whether a checkpoint's weight files hold a CLIP tower. Raises CheckpointError when they cannot be read."""
    return any(header.name.startswith(CLIP_PREFIX) for header in directory_headers(directory))


def read_tokenizer(directory: Path, config: LisaConfig) -> LisaTokenizer:
    """The tokeniser of a checkpoint.

    Raises:
        CheckpointError: it is missing, has no [SEG], or contradicts the configuration.
    """
    try:
        if vocabulary_file(directory).is_file():
            refuse_lfs_pointer(vocabulary_file(directory))
        tokenizer = LisaTokenizer.from_directory(directory)
        tokenizer.seg_id  # noqa: B018  a checkpoint without [SEG] is refused here
    except TokenizerError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    if tokenizer.vocab_size > config.language.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} tokens, "
            f"config.json says vocab_size {config.language.vocab_size}; the files do not belong together"
        )
    absent = [token for token in (IMAGE_START, IMAGE_END) if token not in tokenizer.added_tokens]
    if config.image_markers and absent:
        raise CheckpointError(
            f"{directory}: config.json says mm_use_im_start_end, the tokenizer has no {' and no '.join(absent)}; "
            "the files do not belong together"
        )
    return tokenizer


def module_name(name: str, from_tower: bool = False) -> str | None:
    """Name of a stored tensor inside Lisa; None for those that are not used (stale rotary tables, CLIP's text half)."""
    if name.endswith("rotary_emb.inv_freq") or name.endswith("embeddings.position_ids"):
        return None
    if from_tower and not name.startswith(CLIP_PREFIX):
        return TOWER + name.removeprefix("vision_model.") if name.startswith("vision_model.") else None
    if name.startswith(CLIP_PREFIX):
        return TOWER + name.removeprefix(CLIP_PREFIX)
    return name


def stored_name(key: str) -> str:
    """Inverse of module_name, for writing."""
    return CLIP_PREFIX + key.removeprefix(TOWER) if key.startswith(TOWER) else key


def by_key(
    headers: list[TensorHeader], from_tower: bool = False
) -> tuple[dict[str, TensorHeader], list[TensorHeader], list[str]]:
    """Headers by Lisa's own key, the unused ones, and which keys come twice."""
    tensors: dict[str, TensorHeader] = {}
    stale, twice = [], []
    for header in headers:
        key = module_name(header.name, from_tower)
        if key is None:
            stale.append(header)
        elif key in tensors:
            twice.append(f"twice {header.name} ({tensors[key].file.name} and {header.file.name})")
        else:
            tensors[key] = header
    return tensors, stale, twice


def open_tower(
    tower: Path, data: dict[str, Any], own: VisionConfig | None, directory: Path
) -> tuple[VisionConfig, dict[str, TensorHeader]]:
    """Sizes and tensors of a CLIP directory, held against the checkpoint it shall serve.

    Args:
        own: sizes of the tower that the checkpoint holds itself, if it does.
    """
    vision = read_vision_config(tower)
    tensors, _, twice = by_key(directory_headers(tower), from_tower=True)
    if twice:
        raise CheckpointError(f"{tower}: {'; '.join(twice)}")
    positions = tensors.get(f"{TOWER}embeddings.position_embedding.weight")
    if positions is not None and positions.shape[0] != vision.patches + 1:
        raise CheckpointError(
            f"{tower}: its position embedding has {positions.shape[0]} rows, its config.json "
            f"(image_size {vision.image_size}, patch_size {vision.patch_size}) asks for {vision.patches + 1}; "
            "the files do not belong together"
        )
    grid = (vision.image_size, vision.patch_size)
    wanted = named_grid(named_tower(data)) if own is None else (own.image_size, own.patch_size)
    if wanted not in (None, grid):
        trained = f"'{named_tower(data)}'" if own is None else "the CLIP tower it holds"
        raise CheckpointError(
            f"{tower}: this CLIP tower sees {grid[0]} pixels in patches of {grid[1]} ({vision.patches} patches); "
            f"{directory} was trained with {trained}: {wanted[0]} pixels in patches of {wanted[1]}; "
            "give that tower with --vision-tower"
        )
    if own not in (None, vision):
        raise CheckpointError(
            f"{tower}: this CLIP tower has other sizes ({vision}) than the one {directory} holds ({own}); "
            "leave out --vision-tower"
        )
    return vision, tensors


def _unseen_vision(data: dict[str, Any]) -> VisionConfig:
    """Sizes of a tower that is not here, as far as the checkpoint tells them."""
    image, patch = named_grid(named_tower(data)) or (VisionConfig.image_size, VisionConfig.patch_size)
    width = data.get("mm_hidden_size", VisionConfig.hidden_size)
    heads = width // 64 if isinstance(width, int) and width % 64 == 0 else 1
    return VisionConfig(width, 4 * width, num_attention_heads=heads, image_size=image, patch_size=patch)
