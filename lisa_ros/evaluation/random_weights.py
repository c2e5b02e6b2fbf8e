"""LISAs of the published shapes with random weights: for times and memory, where the weights themselves cannot be had.

Built as checkpoints are: on the meta device, then tensor by tensor on the device and in the precision asked for, so a
13B model never exists in float32 anywhere.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from lisa_ros.engine.models import EMBEDDED_MODEL, resolve_model
from lisa_ros.evaluation.stand_in_tokenizer import StandInTokenizer
from lisa_ros.model.checkpoint import QUANTIZATIONS, stage_dtype
from lisa_ros.model.config import LisaConfig, parse_config, read_config_json
from lisa_ros.model.filling import restore_buffers
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.memory import require_memory
from lisa_ros.model.published import published_config
from lisa_ros.model.quantization import quantize_layer
from lisa_ros.model.tokenizer import LisaTokenizer

NAMES = ("7b", "13b", "llava-1.5-7b", "mini")
DEVIATION = 0.02
"""Of every matrix, as LLaMA is initialised: keeps the activations of 40 layers near one, also in float16."""


def random_config(name: str, layers: int | None = None) -> LisaConfig:
    """Sizes of one of NAMES, with `layers` layers of the language model (None: all).

    Every query is segmented, as by published models.

    :raises ValueError: an unknown name, or more layers than the model has.
    """
    if name not in NAMES:
        raise ValueError(f'random weights "{name}" are not known; choose from {", ".join(NAMES)}')
    if name == "mini":
        directory = resolve_model(EMBEDDED_MODEL)
        config = parse_config(read_config_json(directory / "config.json"), {}, None, directory)
    else:
        config = published_config(name)
    language, label = config.language, f"{name} shapes, random weights"
    if layers is not None:
        if not 1 <= layers <= language.num_hidden_layers:
            raise ValueError(f"layers must be 1 to {language.num_hidden_layers} for {name}, got {layers}")
        label += f", {layers} of {language.num_hidden_layers} language layers"
        language = dataclasses.replace(language, num_hidden_layers=layers)
    return dataclasses.replace(config, language=language, name=label, min_target_probability=0.0)


def random_lisa(
    name: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
    layers: int | None = None,
    quantization: str = "none",
    seed: int = 0,
) -> tuple[Lisa, StandInTokenizer | LisaTokenizer]:
    """A LISA of the shapes of one of NAMES with random weights, and a tokenizer for it: lisa-mini's own, or a stand-in.

    Answers always run to `max_new_tokens`: the model never says </s>, nor [SEG] of its own accord.

    :param layers: of the language model; None: all.
    :param quantization: "none", "8bit" or "4bit" weights of the language model's layers.
    :raises ValueError: as `random_config`.
    :raises CheckpointError: the weights do not fit into the device's memory, or cannot be quantised there.
    """
    config = random_config(name, layers)
    with torch.device("meta"):
        lisa = Lisa(config)
    require_memory(lisa, device, dtype, quantization, config.name)
    generator = torch.Generator(device).manual_seed(seed)
    for layer in lisa.model.layers:
        _fill(layer, device, dtype, generator)
        if quantization != "none":
            quantize_layer(layer, QUANTIZATIONS[quantization])
    _fill(lisa, device, dtype, generator)
    if name == "mini":
        tokenizer = LisaTokenizer.from_directory(resolve_model(EMBEDDED_MODEL))
    else:
        tokenizer = StandInTokenizer(config.language.vocab_size)
    # a score that is always 0 is never the highest of a whole vocabulary
    lisa.lm_head.weight.data[[tokenizer.eos_id, tokenizer.seg_id]] = 0
    restore_buffers(lisa, device)
    return lisa.eval().requires_grad_(False), tokenizer


def weight_bytes(lisa: Lisa) -> int:
    """Memory of all parameters and buffers, in bytes."""
    return sum(tensor.nbytes for tensor in (*lisa.parameters(), *lisa.buffers()))


def _fill(module: nn.Module, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Random values for the state of a module that is still on the meta device."""
    state = {
        key: _random(key, tensor.shape, stage_dtype(key, dtype), device, generator)
        for key, tensor in module.state_dict().items()
        if tensor.is_meta
    }
    module.load_state_dict(state, assign=True, strict=False)


def _random(
    key: str, shape: torch.Size, dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> Tensor:
    tensor = torch.empty(shape, dtype=dtype, device=device)
    if len(shape) > 1:
        return tensor.normal_(0.0, DEVIATION, generator=generator)
    return tensor.fill_(0.0 if key.endswith("bias") else 1.0)  # vectors: biases, and scales of norms
