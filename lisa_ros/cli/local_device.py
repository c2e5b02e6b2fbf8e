"""Which device a process takes that is one of several on this machine."""

from __future__ import annotations


def local_device(device: str, number: int) -> str:
    """--device for process `number` of this machine, counted from 0: "auto" and "cuda" become the GPU of that number.

    With fewer GPUs than processes they are shared; without one, and for a device named in full, it is `device` itself.
    """
    import torch  # takes seconds

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{number % count}" if count and device in ("auto", "cuda") else device
