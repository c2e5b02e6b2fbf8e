"""What a model's "auto" precision is: the fastest that the device computes itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions that multiply bfloat16, as Linux names them."""


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """ "auto" or one of ``DTYPES``."""
    return DTYPES[usual_dtype(device) if dtype == "auto" else dtype]


def usual_dtype(device: torch.device) -> str:
    """ "bfloat16" on CUDA, and on a CPU that has instructions for it (half the memory, and less time: docs/performance.md); else "float32", since a
    CPU without them puts every number back first."""
    if device.type == "cuda" or (device.type == "cpu" and cpu_multiplies_bfloat16()):
        return "bfloat16"
    return "float32"


@cache
def cpu_multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether all processors of this machine do; False where Linux does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = [set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
    return bool(flags) and all(CPU_FLAGS & each for each in flags)
