"""A checkpoint's configuration, read as published ``config.json`` files are written.

``model_type`` of a published LISA is "llava", which transformers takes for a class of its own: the JSON is read
directly here. Sizes of SAM and of the CLIP tower are not in published files; they come from the tensors and from the
tower's own ``config.json``. Checkpoints written by this repository hold them under the key ``lisa_ros``. A key that
would change what the model computes, and that this package does not follow, is refused by name instead of being read
over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lisa_ros.model.sam.config import SamConfig

PROJECTORS = ("linear", "mlp2x_gelu")
CLIP_PREFIX = "model.vision_tower.vision_tower.vision_model."  # the reference's name of the CLIP tower
SAM_PREFIX = "model.visual_model."


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used. The message names the file and says what to do."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line that fits into a sentence of ours."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@dataclass(frozen=True)
class LanguageConfig:
    """LLaMA's sizes (names of ``config.json``)."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the CLIP tower that feeds the language model. Defaults are CLIP-L/14."""

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    image_size: int = 224
    patch_size: int = 14
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Positions one picture takes in the language model's input."""
        return self.grid**2

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> VisionConfig:
        """Read the sizes off tensor shapes, keyed by the tower's own names (``embeddings...``, ``encoder...``).

        Shapes do not tell the number of heads (64 wide in every CLIP) nor the activation (quick_gelu in OpenAI's
        towers).

        Raises:
            KeyError: a tensor that carries a size is missing.
        """
        width, _, _, patch = shapes["embeddings.patch_embedding.weight"]
        cells = shapes["embeddings.position_embedding.weight"][0] - 1
        layers = {int(m[1]) for key in shapes if (m := re.match(r"encoder\.layers\.(\d+)\.", key))}
        return cls(
            hidden_size=width,
            intermediate_size=shapes["encoder.layers.0.mlp.fc1.weight"][0],
            num_hidden_layers=len(layers),
            num_attention_heads=max(1, width // 64),
            image_size=round(cells**0.5) * patch,
            patch_size=patch,
        )


@dataclass(frozen=True)
class LisaConfig:
    """Everything that decides the shape of a LISA.

    Attributes:
        projector: "linear", or "mlp2x_gelu" as in LLaVA-1.5 descendants.
        out_dim: width of the mask prompt, SAM's prompt_dim.
        select_layer: which CLIP hidden state feeds the projector (-2: last but one).
        image_markers: the picture stands between <im_start> and <im_end>; False: it stands alone.
        vision_tower: hub id or directory of the CLIP tower, None when its weights lie in the checkpoint.
        clip_fit: "crop" (reference: shortest side, centre crop), "pad" (the whole frame, letter-boxed) or "unpad" (the
            same, and the language model does not read the patches of the bars, as LLaVA-NeXT has it).
        conversation: prompt template, see prompt.py.
        query_template: how a query becomes the user's turn.
        min_target_probability: below this softmax probability of [SEG] mask mode answers NOT_FOUND. 0 (published
            checkpoints) always segments.
        name: shown to users.
    """

    language: LanguageConfig
    vision: VisionConfig
    sam: SamConfig
    projector: str = "linear"
    out_dim: int = 256
    select_layer: int = -2
    image_markers: bool = True
    vision_tower: str | None = None
    clip_fit: str = "crop"
    conversation: str = "llava_v1"
    query_template: str = "{query} Please output segmentation mask."
    min_target_probability: float = 0.0
    name: str = ""
    published: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The ``config.json`` of a checkpoint written by this repository: published keys, ours under ``lisa_ros``."""
        return {
            **self.published,
            **asdict(self.language),
            "architectures": ["LISAForCausalLM"],
            "model_type": "llava",
            "mm_hidden_size": self.vision.hidden_size,
            "mm_projector_type": self.projector,
            "mm_use_im_start_end": self.image_markers,
            "mm_vision_select_feature": "patch",
            "mm_vision_select_layer": self.select_layer,
            "mm_vision_tower": self.vision_tower,
            "out_dim": self.out_dim,
            "tie_word_embeddings": False,
            "train_mask_decoder": True,
            "lisa_ros": {
                "name": self.name,
                "vision": asdict(self.vision),
                "sam": asdict(self.sam),
                "clip_fit": self.clip_fit,
                "conversation": self.conversation,
                "query_template": self.query_template,
                "min_target_probability": self.min_target_probability,
            },
        }


def read_config_json(path: Path) -> dict[str, Any]:
    """Parse a ``config.json``. Raises CheckpointError when it is missing, broken, or holds no JSON object."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: a checkpoint directory needs its {Path(path).name}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    except ValueError as error:  # broken JSON, broken UTF-8
        raise CheckpointError(f"{path}: not valid JSON ({error}); copy the file again") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object; copy the file again")
    return data


def parse_config(
    data: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], vision: VisionConfig | None, source: Path
) -> LisaConfig:
    """Put a LisaConfig together.

    Args:
        data: the parsed ``config.json``.
        shapes: stored tensor name -> shape of the checkpoint (no data needed).
        vision: the CLIP tower's sizes when they come from elsewhere than the checkpoint.
        source: the checkpoint's directory, named in errors.

    Raises:
        CheckpointError: a key or a tensor that carries a size is missing or impossible, or asks for what this package
            does not do.
    """
    where = Path(source) / "config.json"
    ours = data.get("lisa_ros", {})
    _refuse_unknown_settings(data, where)
    try:
        if vision is None:
            vision = stored_vision(data, shapes)
        if "sam" in ours:
            sam = SamConfig.from_json(ours["sam"])
        else:
            sam = SamConfig.from_shapes(
                {k.removeprefix(SAM_PREFIX): v for k, v in shapes.items() if k.startswith(SAM_PREFIX)}
            )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{source}: {error} is missing, so this is not a LISA checkpoint this package can read"
        ) from error
    config = LisaConfig(
        language=_language(data, where),
        vision=vision,
        sam=sam,
        projector=data.get("mm_projector_type")
        or ("mlp2x_gelu" if "model.mm_projector.2.weight" in shapes else "linear"),
        out_dim=_whole_number(data, "out_dim", where, 256),
        select_layer=data.get("mm_vision_select_layer", -2),
        image_markers=bool(data.get("mm_use_im_start_end", True)),
        vision_tower=named_tower(data),
        clip_fit=ours.get("clip_fit", "crop"),
        conversation=ours.get("conversation", LisaConfig.conversation),
        query_template=ours.get("query_template", LisaConfig.query_template),
        min_target_probability=ours.get("min_target_probability", 0.0),
        name=ours.get("name") or _directory_name(Path(source).absolute()),
        published={k: v for k, v in data.items() if k != "lisa_ros"},
    )
    if data.get("mm_hidden_size", vision.hidden_size) != vision.hidden_size:
        raise CheckpointError(
            f"{where}: mm_hidden_size is {data['mm_hidden_size']}, the CLIP tower is {vision.hidden_size} wide; "
            "give the tower this checkpoint was trained with (--vision-tower)"
        )
    states = vision.num_hidden_layers + 1  # the embeddings, and what each layer makes of them
    if not isinstance(config.select_layer, int) or not -states <= config.select_layer < states:
        raise CheckpointError(
            f"{where}: mm_vision_select_layer is {config.select_layer!r}, "
            f"the CLIP tower has {vision.num_hidden_layers} layers"
        )
    return config


def stored_vision(data: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> VisionConfig:
    """Sizes of the CLIP tower that a checkpoint holds itself.

    Raises:
        KeyError: it holds none.
    """
    ours = data.get("lisa_ros", {})
    if "vision" in ours:
        return VisionConfig(**ours["vision"])
    return VisionConfig.from_shapes(
        {k.removeprefix(CLIP_PREFIX): v for k, v in shapes.items() if k.startswith(CLIP_PREFIX)}
    )


def named_tower(data: dict[str, Any]) -> str | None:
    """What ``config.json`` calls the CLIP tower: a hub id or a directory of the machine it was trained on."""
    return data.get("vision_tower") or data.get("mm_vision_tower") or None


def named_grid(tower: str | None) -> tuple[int, int] | None:
    """Picture size and patch size that a CLIP tower's name tells, as "clip-vit-large-patch14-336" does; else None."""
    found = re.search(r"clip-vit-\w+-patch(\d+)(?:-(\d+))?/?$", tower or "")
    return (int(found[2] or 224), int(found[1])) if found else None


def read_vision_config(directory: Path) -> VisionConfig:
    """Sizes of a CLIP directory. Raises CheckpointError when they are not there."""
    path = Path(directory) / "config.json"
    data = read_config_json(path)
    data = data.get("lisa_ros", {}).get("vision") or data.get("vision_config") or data  # of a LISA: its own tower
    try:
        # what equals transformers' own default may be left out of the file; these defaults are VisionConfig's, too
        optional = ("image_size", "hidden_act", "layer_norm_eps")
        return VisionConfig(
            **{f.name: data[f.name] for f in fields(VisionConfig) if f.name not in optional or f.name in data}
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: {error} is missing; this is not a CLIP vision tower") from error


def _directory_name(directory: Path) -> str:
    """A checkpoint's name where nothing else tells it; a snapshot of the hub's cache is called after its repository."""
    repository = directory.parent.parent.name
    if directory.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.split("--")[-1]
    return directory.name


def _refuse_unknown_settings(data: dict[str, Any], where: Path) -> None:
    known: dict[str, tuple[Any, ...]] = {
        "rope_scaling": (None,),
        "hidden_act": ("silu",),
        "tie_word_embeddings": (False,),
        "mm_vision_select_feature": ("patch", None),
        "mm_projector_type": (*PROJECTORS, None),
    }
    for key, values in known.items():
        if key in data and data[key] not in values:
            wanted = " or ".join(json.dumps(value) for value in values if value is not None or len(values) == 1)
            raise CheckpointError(f"{where}: {key} is {json.dumps(data[key])}; only {wanted} can be computed here")
    kind = (data.get("rope_parameters") or {}).get(
        "rope_type", "default"
    )  # transformers 5's spelling of rope_scaling and rope_theta
    if kind != "default":
        raise CheckpointError(
            f'{where}: rope_parameters asks for rope_type {json.dumps(kind)}; only "default" can be computed here'
        )


def _language(data: dict[str, Any], where: Path) -> LanguageConfig:
    heads = _whole_number(data, "num_attention_heads", where)
    config = LanguageConfig(
        hidden_size=_whole_number(data, "hidden_size", where),
        intermediate_size=_whole_number(data, "intermediate_size", where),
        num_hidden_layers=_whole_number(data, "num_hidden_layers", where),
        num_attention_heads=heads,
        num_key_value_heads=_whole_number(data, "num_key_value_heads", where, heads),
        vocab_size=_whole_number(data, "vocab_size", where),
        max_position_embeddings=_whole_number(data, "max_position_embeddings", where, 2048),
        rms_norm_eps=data.get("rms_norm_eps", 1e-6),
        rope_theta=data.get("rope_theta") or (data.get("rope_parameters") or {}).get("rope_theta") or 10000.0,
    )
    if config.hidden_size % heads or heads % config.num_key_value_heads:
        raise CheckpointError(
            f"{where}: num_attention_heads {heads} does not divide hidden_size {config.hidden_size}, "
            f"or num_key_value_heads {config.num_key_value_heads} does not divide it"
        )
    return config


def _whole_number(data: dict[str, Any], key: str, where: Path, default: int | None = None) -> int:
    value = data.get(key)
    value = default if value is None else value
    if value is None:
        raise CheckpointError(f"{where}: {key} is missing, so this is not a LISA checkpoint this package can read")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{where}: {key} is {json.dumps(value)}, not a number of at least 1")
    return value
