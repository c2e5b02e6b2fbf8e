"""What a run begins with: LLaVA + SAM + CLIP put together (paper section 5.1), or a LISA that goes on learning.

A plain LLaMA may stand in LLaVA's place: its projector is new, then. From LLaVA, tokens and the head between the two models are new. From a LISA nothing is: head, decoder and token rows
stay as they were trained (the reference begins them anew there and so destroys them, its issues #159 and #188).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lisa_ros.engine import resolve_model
from lisa_ros.engine.models import resolve_vision_tower
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.config import SAM_PREFIX, CheckpointError, LisaConfig, named_tower, parse_config, read_config_json
from lisa_ros.model.filling import compare, fill, restore_buffers, shorten, stage_dtype
from lisa_ros.model.integrity import verify_files
from lisa_ros.model.inventory import by_key, open_tower
from lisa_ros.model.lisa import Lisa, build_projector, text_hidden_fcs
from lisa_ros.model.prompt import CONVERSATIONS
from lisa_ros.model.sam import SamConfig
from lisa_ros.model.sam.sam import Sam
from lisa_ros.model.shards import TensorHeader, directory_headers, read_headers, read_tensors
from lisa_ros.model.tokenizer import IMAGE_END, IMAGE_START, SEG, LisaTokenizer, TokenizerError, tokenizer_files

SCRATCH = "scratch"
WAYS = ("lisa", "llava", "language")
EMBEDDINGS, LM_HEAD = "model.embed_tokens.weight", "lm_head.weight"
GROWN = (EMBEDDINGS, LM_HEAD)
"""One row a token: they get rows for the new ones."""
PROJECTOR_PREFIX = "model.mm_projector."
HEAD_PREFIX = "model.text_hidden_fcs."
NEW_ROW_STD = 0.02  # LLaMA's initializer_range, which transformers 4.31 gives new rows, too


@dataclass(frozen=True)
class Start:
    """Where the weights come from: ``lisa``, or ``llava`` or ``language`` with ``sam`` and ``vision_tower``.

    Attributes:
        lisa: a LISA checkpoint: ``lisa-mini``, a directory or a hub id.
        llava: a LLaVA v1 or v1.5, directory or hub id. Of a LISA, what it has of LLaVA: a new head is learned.
        language: a LLaMA that knows nothing of pictures, directory or hub id, such as SmolLM2 (``lisa convert`` makes a
            directory of a .gguf). Its CLIP tower must be named.
        sam: a checkpoint file of segment_anything (ViT-H, -L or -B: sizes are read off it), a LISA, whose SAM is taken,
            or "scratch". For models of another kind see ``losses.Backbone``.
        vision_tower: the CLIP tower, directory or hub id, also a LISA that holds one; None: the one that the checkpoint names or holds.
        conversation: prompt template; None: the checkpoint's (llava_v1 where it names none; chatml for a language model that speaks it).
    """

    lisa: str | None = None
    llava: str | None = None
    language: str | None = None
    sam: str | None = None
    vision_tower: str | None = None
    conversation: str | None = None

    def __post_init__(self) -> None:
        if sum(getattr(self, way) is not None for way in WAYS) != 1:
            raise ValueError("start: give either lisa, or llava with sam, or language with sam and vision_tower")
        if self.language is not None and self.vision_tower is None:
            raise ValueError("start: language goes with vision_tower: the CLIP tower's directory or hub id")
        if (self.lisa is None) != (self.sam is not None):
            raise ValueError(
                'start: sam goes with llava or language: a checkpoint file of segment_anything, or "scratch"'
            )
        if self.conversation not in (None, *CONVERSATIONS):
            raise ValueError(
                f'start: conversation "{self.conversation}" is not known; choose from {", ".join(CONVERSATIONS)}'
            )

    @property
    def base(self) -> str:
        """Which of its three ways it is."""
        return next(way for way in WAYS if getattr(self, way) is not None)


@dataclass
class Started:
    """A model to train. tokenizer_directory holds the files of its tokenizer, new tokens included."""

    lisa: Lisa
    tokenizer: LisaTokenizer
    tokenizer_directory: Path


def start_model(
    start: Start, tokenizer_directory: Path, *, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Started:
    """Load what a run begins with, on the CPU.

    Args:
        tokenizer_directory: gets the tokenizer's files.
        seed: of what begins at random.

    Raises:
        CheckpointError: a part is missing, damaged, or does not go with the others; the message names it.
    """
    if start.lisa is not None:
        source = resolve_model(start.lisa)
        tower = resolve_vision_tower(start.lisa, source, start.vision_tower)
        lisa, tokenizer = load_checkpoint(source, vision_tower=tower, dtype=dtype)
        write_tokenizer(source, tokenizer_directory, tokenizer.added_tokens)
    else:
        source = resolve_model(getattr(start, start.base))
        tokenizer = _with_lisa_tokens(source, tokenizer_directory)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            lisa = _assemble(start, source, tokenizer, dtype)
    if start.conversation is not None:
        lisa.config = replace(lisa.config, conversation=start.conversation)
    return Started(lisa.train(), tokenizer, tokenizer_directory)


def write_tokenizer(source: Path, directory: Path, added_tokens: Mapping[str, int]) -> None:
    """Copy a tokenizer's files, with these added tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in tokenizer_files(source):
        if path.is_file():
            shutil.copyfile(path, directory / path.name)
    (directory / "added_tokens.json").write_text(json.dumps(dict(added_tokens), indent=1) + "\n", encoding="utf-8")
    if not (directory / "tokenizer_config.json").is_file():
        (directory / "tokenizer_config.json").write_text("{}\n", encoding="utf-8")


def _with_lisa_tokens(llava: Path, directory: Path) -> LisaTokenizer:
    """LLaVA's tokenizer with [SEG], <im_start> and <im_end>, each at the next free id unless it is there (as the
    reference)."""
    try:
        before = LisaTokenizer.from_directory(llava)
    except TokenizerError as error:
        raise CheckpointError(f"{llava}: {error}") from error
    added, size = dict(before.added_tokens), before.vocab_size
    for token in (SEG, IMAGE_START, IMAGE_END):
        if token not in added:
            added[token], size = size, size + 1
    write_tokenizer(llava, directory, added)
    return LisaTokenizer.from_directory(directory)


def _assemble(start: Start, llava: Path, tokenizer: LisaTokenizer, dtype: torch.dtype) -> Lisa:
    data = read_config_json(llava / "config.json")
    stored, _, twice = by_key(directory_headers(llava))
    if twice:
        raise CheckpointError(f"{llava}: {'; '.join(twice)}")
    stored = {key: header for key, header in stored.items() if not key.startswith((SAM_PREFIX, HEAD_PREFIX))}
    if start.language is not None:
        if data.get("tie_word_embeddings"):  # LISA trains both, each as its own
            stored[LM_HEAD] = stored[EMBEDDINGS]
        data = {"mm_projector_type": "mlp2x_gelu", **data, "tie_word_embeddings": False}
        chatml = "<|im_start|>" in tokenizer.special_tokens
        own = {"conversation": "chatml" if chatml else "llava_v1", "query_template": "{query}"}
        data["lisa_ros"] = {**own, **data.get("lisa_ros", {})}
        data = _with_eyes_of(start.vision_tower, data)
    shapes = {header.name: header.shape for header in stored.values()}
    vision = None
    if start.vision_tower is not None:
        vision, tower = open_tower(resolve_model(start.vision_tower), data, None, llava)
        stored = {key: header for key, header in stored.items() if not key.startswith("vision_tower.")} | tower
    elif not any(key.startswith("vision_tower.") for key in stored):
        raise CheckpointError(
            f"{llava} holds no CLIP tower: name it with start.vision_tower "
            f"(its config.json names '{named_tower(data)}')"
        )
    config_data = {
        **data,
        "vocab_size": tokenizer.vocab_size,
        "mm_use_im_start_end": True,
        "out_dim": SamConfig.prompt_dim,
        "mm_vision_tower": start.vision_tower or named_tower(data),
        "vision_tower": start.vision_tower or named_tower(data),
        "train_mask_decoder": True,
    }
    sam_stored = {} if start.sam == SCRATCH else _sam_headers(start.sam)
    ours = dict(data.get("lisa_ros", {}))
    own_sam = ours.pop("sam", asdict(SamConfig()))
    config_data["lisa_ros"] = {**ours, "sam": own_sam} if start.sam == SCRATCH else {**ours, **_written_sizes(start.sam)}
    shapes |= {SAM_PREFIX + key: header.shape for key, header in sam_stored.items()}
    config = parse_config(config_data, shapes, vision, llava)
    config = replace(config, out_dim=config.sam.prompt_dim, name=f"LISA from {llava.name}")
    return _filled(config, stored, sam_stored, tokenizer.seg_id, start, dtype)


def _with_eyes_of(vision_tower: str, data: dict[str, Any]) -> dict[str, Any]:
    """A language model's settings with how a LISA looks through the tower that is taken from it: which layer, and how pictures fit."""
    theirs = read_config_json(resolve_model(vision_tower) / "config.json")
    if "lisa_ros" not in theirs:
        return data
    data = {**data, "lisa_ros": dict(data["lisa_ros"])}
    for key, ours, other in (("mm_vision_select_layer", data, theirs), ("clip_fit", data["lisa_ros"], theirs["lisa_ros"])):
        if key in other:
            ours.setdefault(key, other[key])
    return data


def _filled(
    config: LisaConfig,
    stored: dict[str, TensorHeader],
    sam_stored: dict[str, TensorHeader],
    seg_id: int,
    start: Start,
    dtype: torch.dtype,
) -> Lisa:
    with torch.device("meta"):
        lisa = Lisa(config)
    stored = stored | {SAM_PREFIX + key: header for key, header in sam_stored.items()}
    grown = {key: stored.pop(key) for key in GROWN if key in stored}
    fresh = (
        [HEAD_PREFIX] + ([PROJECTOR_PREFIX] if start.language else []) + ([SAM_PREFIX] if start.sam == SCRATCH else [])
    )
    problems = [
        problem
        for problem in compare(lisa, stored)
        if not any(problem.startswith(f"missing {name}") for name in (*fresh, *grown))
    ]
    if problems:
        raise CheckpointError(
            f"{getattr(start, start.base)} and {start.sam}: the weights do not make a LISA: {shorten(problems)}"
        )
    verify_files(dict.fromkeys(header.file for header in (*stored.values(), *grown.values())))
    fill(lisa, stored, "cpu", lambda key: stage_dtype(key, dtype))
    for key, header in grown.items():
        owner = lisa.get_submodule(key.rpartition(".")[0])
        owner.weight = nn.Parameter(_grow(header, config.language.vocab_size, seg_id).to(dtype))
    lisa.model.text_hidden_fcs = text_hidden_fcs(config)
    if start.language is not None:
        language = config.language.hidden_size
        lisa.model.mm_projector = build_projector(config.projector, config.vision.hidden_size, language)
    if start.sam == SCRATCH:
        lisa.model.visual_model = Sam(config.sam)
        nn.init.trunc_normal_(lisa.sam.image_encoder.pos_embed, std=0.02)
    restore_buffers(lisa, "cpu")
    return lisa


def _grow(header: TensorHeader, rows: int, seg_id: int) -> Tensor:
    """A table of one row a token, float32, with new rows at its end (or without the padding rows that it has too many).

    [SEG]'s row is new wherever it is: a LISA's was learned with the head that is left out.
    """
    (table,) = (tensor.float().clone() for _, tensor in read_tensors(header.file, [header.name]))
    new = torch.randn(max(0, rows - len(table)), table.shape[1]) * NEW_ROW_STD
    grown = torch.cat([table[:rows], new])
    grown[seg_id] = torch.randn(table.shape[1]) * NEW_ROW_STD
    return grown


def _written_sizes(sam: str) -> dict[str, Any]:
    """The sizes that a LISA whose SAM is taken writes down: shapes do not tell the heads of its mask decoder."""
    path = Path(sam).expanduser()
    settings = {} if path.is_file() else read_config_json(resolve_model(sam) / "config.json").get("lisa_ros", {})
    return {"sam": settings["sam"]} if "sam" in settings else {}


def _sam_headers(sam: str) -> dict[str, TensorHeader]:
    """A SAM's tensors under its own names."""
    path = Path(sam).expanduser()
    if path.is_file():
        headers = {header.name: header for header in read_headers(path)}
    else:
        try:
            found = directory_headers(resolve_model(sam))
        except CheckpointError as error:
            raise CheckpointError(
                f"start.sam {sam}: no such file; give a checkpoint of segment_anything such as sam_vit_h_4b8939.pth, "
                'a LISA, or "scratch"'
            ) from error
        headers = {h.name.removeprefix(SAM_PREFIX): h for h in found if h.name.startswith(SAM_PREFIX)}
    try:
        SamConfig.from_shapes({name: header.shape for name, header in headers.items()})
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"start.sam {sam}: {error} is missing or has another shape than SAM's; "
            "give a checkpoint of segment_anything such as sam_vit_h_4b8939.pth"
        ) from error
    return headers
