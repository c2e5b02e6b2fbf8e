"""How much memory a piece of work takes: CUDA's own count on a GPU, the process's resident memory elsewhere (Linux)."""

from __future__ import annotations

from typing import Any

STATUS, CLEAR = "/proc/self/status", "/proc/self/clear_refs"


class PeakMemory:
    """Highest memory in use on a device (a `torch.device`) over what was in use when this was made."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._base = self._read("VmRSS")

    def restart(self) -> None:
        """Forget peaks so far. Where the system cannot (no /proc), later figures hold the earlier ones too."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
            return
        try:
            with open(CLEAR, "w", encoding="ascii") as file:
                file.write("5")
        except OSError:
            pass

    def bytes(self) -> int | None:
        """The peak since the last restart, in bytes; None where it is not known."""
        peak = self._read("VmHWM")
        return None if peak is None or self._base is None else peak - self._base

    def _read(self, field: str) -> int | None:
        if self._device.type == "cuda":
            import torch

            count = torch.cuda.memory_allocated if field == "VmRSS" else torch.cuda.max_memory_allocated
            return count(self._device)
        try:
            with open(STATUS, encoding="ascii") as lines:
                return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))
        except (OSError, StopIteration):
            return None
