"""A module built on the meta device (shapes, no memory): compared with stored tensors, filled from them one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lisa_ros.model.config import CheckpointError
from lisa_ros.model.shards import TensorHeader, read_tensors


def compare(module: nn.Module, stored: Mapping[str, TensorHeader]) -> list[str]:
    """How stored tensors differ from what a module needs; empty when they fit exactly.

    Args:
        stored: the module's own state-dict key -> where that tensor lies.
    """
    wanted = module.state_dict()
    problems = [f"unexpected {stored[key].name}" for key in sorted(stored.keys() - wanted.keys())]
    for key in sorted(stored.keys() & wanted.keys()):
        if stored[key].shape != tuple(wanted[key].shape):
            problems.append(
                f"{stored[key].name} has shape {list(stored[key].shape)}, "
                f"config.json asks for {list(wanted[key].shape)}"
            )
        elif not stored[key].dtype.is_floating_point:
            problems.append(
                f"{stored[key].name} holds {str(stored[key].dtype).removeprefix('torch.')}, not floating-point numbers"
            )
    return problems + [f"missing {key}" for key in sorted(wanted.keys() - stored.keys())]


def shorten(problems: list[str], limit: int = 12) -> str:
    """A list of problems as one line."""
    return "; ".join(problems[:limit]) + (f"; and {len(problems) - limit} more" if len(problems) > limit else "")


def fill(
    module: nn.Module,
    stored: Mapping[str, TensorHeader],
    device: str | torch.device,
    dtype_of: Callable[[str], torch.dtype],
    filled: Callable[[str], None] = lambda key: None,
) -> None:
    """Give every parameter and persistent buffer its stored values, one file at a time, one tensor in memory at a time.

    Args:
        stored: the module's own state-dict key -> where that tensor lies; it fits (see ``compare``).
        dtype_of: the precision a key gets.
        filled: called with each key once its values are in place.

    Raises:
        CheckpointError: a file cannot be read, or holds values that are not finite; the message names the tensors.
    """
    by_file: dict = defaultdict(dict)
    for key, header in stored.items():
        by_file[header.file][header.name] = key
    extremes: dict[str, Tensor] = {}
    for file, keys in by_file.items():
        for name, tensor in read_tensors(file, keys):
            key = keys[name]
            values = tensor.to(device, dtype_of(key), copy=True, memory_format=torch.contiguous_format)
            extremes[name] = torch.stack(values.aminmax())  # keeps NaN; one pass, nothing allocated
            _put(module, key, values)
            filled(key)
    _refuse_non_finite(extremes, ", ".join(sorted({str(file) for file in by_file})))


def stage_dtype(key: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype a key gets in a model of ``dtype``: it, but for two parts of SAM.

    The position code stays float32 everywhere; so does the encoder's neck in float16, where it overflows.
    """
    exact = "positional_encoding_gaussian_matrix" in key or (dtype == torch.float16 and "image_encoder.neck." in key)
    return torch.float32 if exact else dtype


def restore_buffers(module: nn.Module, device: str | torch.device) -> None:
    """Recompute the buffers that no checkpoint holds, after a module was built on the meta device."""
    for part in module.modules():
        for name, buffer in list(part._buffers.items()):
            if buffer is not None and buffer.is_meta:
                part._buffers[name] = part.fresh_buffer(name).to(device)


def _put(module: nn.Module, key: str, values: Tensor) -> None:
    owner, _, leaf = key.rpartition(".")
    part = module.get_submodule(owner)
    if leaf in part._parameters:
        part._parameters[leaf] = nn.Parameter(values, requires_grad=False)
    else:
        part._buffers[leaf] = values


def _refuse_non_finite(extremes: dict[str, Tensor], files: str) -> None:
    """The flags of all tensors are read off the device at once: one wait instead of one a tensor."""
    by_dtype: dict[torch.dtype, list[str]] = defaultdict(list)
    for name, pair in extremes.items():
        by_dtype[pair.dtype].append(name)
    bad = []
    for names in by_dtype.values():
        finite = torch.stack([extremes[name] for name in names]).isfinite().all(1).tolist()
        bad += [name for name, fine in zip(names, finite) if not fine]
    if bad:
        half = torch.float16 in by_dtype
        raise CheckpointError(
            f"{files}: NaN or infinite values in {shorten(sorted(bad))}"
            + (
                "; float16 may be too narrow for them, try bfloat16 or float32; else"
                if half
                else "; the file is damaged,"
            )
            + " download or convert it again"
        )
