"""Host data to the model's device without waiting for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def upload(data: Any, device: torch.device) -> Tensor:
    """A tensor, an array or (nested) lists of integers as a tensor on ``device``.

    A plain copy to CUDA waits until everything the GPU was given before is done; one from pinned memory does not.
    """
    tensor = data if isinstance(data, Tensor) else torch.as_tensor(data)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
