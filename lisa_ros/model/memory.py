"""Does a LISA fit? What a checkpoint needs on a device, what is free there, and the sentence when that is too little.

    require_memory(lisa_on_meta, "cuda:0", torch.bfloat16, "none", "xinlai/LISA-13B-llama2-v1")
    with out_of_memory_as_checkpoint_error(lisa_on_meta, "cuda:0", torch.bfloat16, "none", "xinlai/LISA-13B-llama2-v1"):
        ...  # fill it

Needed are the weights, to the byte, and room to work in (``working_bytes``). Without the check a GPU fails after
minutes of reading, and on a CPU the kernel ends the process without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from lisa_ros.model.config import CheckpointError, LisaConfig
from lisa_ros.model.filling import stage_dtype
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.quantization import QUANTIZED_LINEARS, quantized_bytes

SMALL = ("8bit", "4bit")  # quantizations
FRAME_PROMPT, QUESTION, ANSWER = 36, 128, 512  # positions: around the picture, of a query, of a chat answer
FULL_SIZE_MASKS = 64 * 2**20  # masks of one query on their way to the size of a 2 megapixel picture
CUDA_LIBRARIES = 256 * 2**20  # workspaces of cuBLAS and cuDNN, gaps between the allocator's blocks


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes on a device."""

    weights: int
    working: int

    @property
    def total(self) -> int:
        return self.weights + self.working


def memory_need(lisa: Lisa, dtype: torch.dtype, quantization: str = "none", device: str | torch.device = "cpu") -> Need:
    """What loading and asking ``lisa`` takes.

    Args:
        lisa: the module; on the meta device it costs nothing. Not quantised itself.
        dtype: the precision it is loaded in.
        quantization: "none", "8bit" or "4bit".
    """
    return Need(weight_bytes(lisa, dtype, quantization), working_bytes(lisa.config, dtype, quantization, device))


def weight_bytes(lisa: Lisa, dtype: torch.dtype, quantization: str = "none") -> int:
    """Bytes of all parameters and buffers once loaded."""
    small = {f"{name}.weight" for name in QUANTIZED_LINEARS} if quantization != "none" else set()
    total = 0
    for name, parameter in lisa.named_parameters():
        layer, _, inside = name.removeprefix("model.layers.").partition(".")
        if layer.isdigit() and inside in small:
            out_features, in_features = parameter.shape
            total += quantized_bytes(in_features, out_features, bits=int(quantization[0]))
        else:
            total += parameter.numel() * stage_dtype(name, dtype).itemsize
    persistent = lisa.state_dict().keys()
    for name, buffer in lisa.named_buffers():  # stored ones are cast like parameters, computed ones are not
        size = stage_dtype(name, dtype).itemsize if name in persistent else buffer.element_size()
        total += buffer.numel() * size
    return total


def working_bytes(
    config: LisaConfig, dtype: torch.dtype, quantization: str = "none", device: str | torch.device = "cpu"
) -> int:
    """Room to work in for one frame and one query at a time: an estimate, on the careful side. With s bytes a number,
    it is the sum of

    - keys and values: 2 x layers x key/value heads x head size x s for each position of the frame's prefix (once kept,
      once at the beginning of the query's own text), a question of 128 and an answer of 512 positions;
    - SAM's encoder: the largest block's attention bias, windows x heads x cells^2 x s (global attention over 64 x 64
      cells: 16 heads x 4096^2), and its activations, cells x width x 12 x s;
    - language model's activations: prefix x (2 x intermediate + 6 x hidden size) x s;
    - quantised: the largest matrix x s, put back to be multiplied with;
    - masks at the picture's size, 64 MiB; on CUDA 256 MiB for the libraries.

    While a quantised model is loaded, one layer is there unquantised, at a time when nothing of this is: counted
    instead should it be more.
    """
    language, sam, size = config.language, config.sam, dtype.itemsize
    prefix = config.vision.patches + FRAME_PROMPT
    positions = min(2 * prefix, 2 * language.max_position_embeddings) + QUESTION + ANSWER
    width = language.num_attention_heads * language.head_dim
    key_width = language.num_key_value_heads * language.head_dim
    cells = sam.grid
    windows = math.ceil(cells / sam.window_size) ** 2 * sam.window_size**4 if sam.window_size else 0
    bias = sam.heads * (cells**4 if sam.global_attention else windows) * size
    total = 2 * language.num_hidden_layers * key_width * size * positions
    total += bias + cells**2 * sam.width * 12 * size
    total += prefix * (2 * language.intermediate_size + 6 * language.hidden_size) * size
    total += FULL_SIZE_MASKS + (CUDA_LIBRARIES if torch.device(device).type == "cuda" else 0)
    if quantization != "none":
        total += language.hidden_size * max(width, language.intermediate_size) * size
        layer = language.hidden_size * (2 * width + 2 * key_width + 3 * language.intermediate_size) * size
        total = max(total, layer)
    return total


def require_memory(lisa: Lisa, device: str | torch.device, dtype: torch.dtype, quantization: str, where: str) -> None:
    """Refuse a model that does not fit, before it is loaded.

    Args:
        lisa: on the meta device.
        where: what to call it in the message: the checkpoint's directory or name.

    Raises:
        CheckpointError: too little memory is free; it says how much would do, and which settings would fit. Where
            nothing is known about the device's memory, nothing is refused.
    """
    free = free_memory(device)
    if free is not None and memory_need(lisa, dtype, quantization, device).total > free:
        raise CheckpointError(_too_large(lisa, device, dtype, quantization, where, free))


@contextmanager
def out_of_memory_as_checkpoint_error(
    lisa: Lisa, device: str | torch.device, dtype: torch.dtype, quantization: str, where: str
) -> Iterator[None]:
    """Turn running out of memory inside the block into a CheckpointError that says what would fit.

    It still happens after ``require_memory``: somebody else took the memory meanwhile, or the device does not tell what
    is free. ``lisa`` may be filled inside the block: what it needs is worked out before.
    """
    free = free_memory(device)  # before: afterwards the half-loaded model is in the way
    sentence = _too_large(lisa, device, dtype, quantization, where, free)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise CheckpointError(f"out of memory while loading: {sentence}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out. Torch has a type for it on CUDA only; elsewhere its words tell."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("DefaultCPUAllocator", "not enough memory", "out of memory")
    )


def _too_large(
    lisa: Lisa, device: str | torch.device, dtype: torch.dtype, quantization: str, where: str, free: int | None
) -> str:
    need = memory_need(lisa, dtype, quantization, device).total
    kind = _spoken(dtype) + (f" with {quantization} weights" if quantization != "none" else "")
    sentence = f"{where} needs about {_gigabytes(need)} in {kind} on {torch.device(device)}"
    if free is not None:
        sentence += f", {_gigabytes(free)} are free"

    def fitting(smaller: torch.dtype, names: tuple[str, ...]) -> dict[str, str]:
        needs = {name: memory_need(lisa, smaller, name, device).total for name in names}
        return {
            name: _gigabytes(size) for name, size in needs.items() if size < need and (free is None or size <= free)
        }

    offers = []
    if dtype == torch.float32:
        offers += [f"bfloat16 needs {size} (--dtype)" for size in fitting(torch.bfloat16, (quantization,)).values()]
    small = fitting(dtype, SMALL)
    if small:
        offers.append(", ".join(f"{name} needs {size}" for name, size in small.items()) + " (--quantization)")
    elif dtype == torch.float32 and not offers:
        offers += [
            f"bfloat16 with {name} needs {size} (--dtype, --quantization)"
            for name, size in fitting(torch.bfloat16, SMALL).items()
        ]
    if offers:
        return f"{sentence}; {', '.join(offers)}; or choose another device (--device)"
    return f"{sentence}; no smaller setting would fit: choose another device (--device) or a smaller checkpoint"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e9:.3f} GB"


def _spoken(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def free_memory(device: str | torch.device) -> int | None:
    """Bytes that can still be had on a device; None where nothing tells."""
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.is_available():
        if torch.cuda.get_device_properties(device).is_integrated:
            return free_host_memory()  # Jetson: one memory for all, and the driver counts file caches as taken
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps" and torch.backends.mps.is_available():
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return free_host_memory() if device.type == "cpu" else None


def free_host_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes the host can still give this process: what is available, or less where control groups (containers) say so.

    Args:
        proc, cgroups: where Linux shows them.
    """
    limits = [_available(proc / "meminfo"), *_left_in_groups(proc / "self" / "cgroup", cgroups)]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _available(meminfo: Path) -> int | None:
    for line in _read(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left_in_groups(membership: Path, cgroups: Path) -> Iterator[int]:
    """What every control group around this process leaves, version 2 and version 1.

    A limit holds for all groups below it. Inside a container the path in ``membership`` may be the host's and not exist
    here; the container's own limit then stands at the mount's root.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        files = ("memory.max", "memory.current", "")
        if controllers:  # version 1
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        group = root / path.lstrip("/")
        while True:
            left = _left_in_group(group, *files)
            if left is not None:
                yield left
            if group == root or root not in group.parents:
                break
            group = group.parent


def _left_in_group(group: Path, limit_file: str, usage_file: str, prefix: str) -> int | None:
    limit, usage = _read(group / limit_file).strip(), _read(group / usage_file).strip()
    if not limit.isdigit() or not usage.isdigit():  # "max": no limit
        return None
    counts = dict(line.split()[:2] for line in _read(group / "memory.stat").splitlines() if " " in line)
    # file caches are given up when memory is short; among them are the checkpoint's own pages
    caches = sum(int(counts.get(prefix + name, 0)) for name in ("inactive_file", "active_file"))
    return max(0, int(limit) - max(0, int(usage) - caches))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
