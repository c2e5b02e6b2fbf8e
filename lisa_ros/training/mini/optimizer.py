"""What changes the weights: AdamW for all, or Muon for the matrices and AdamW for the rest.

Muon (Jordan et al. 2024, ``torch.optim.Muon``) makes each matrix' step orthogonal, so that directions which rare things need are not lost beside
those of tables and walls. Its steps are scaled to AdamW's ("match_rms_adamw", Liu et al. 2025): one learning rate fits both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

BETAS = (0.9, 0.95)
OPTIMIZERS = ("adamw", "muon")


class Optimizer:
    """One or two of torch's optimizers behind the calls of one.

    Args:
        name: of ``OPTIMIZERS``. Only parameters that require gradients now are ever changed.
    """

    def __init__(self, name: str, model: nn.Module, weight_decay: float) -> None:
        inner = set(inner_matrices(model)) if name == "muon" else set()
        learning = [p for p in model.parameters() if p.requires_grad]
        matrices, rest = [p for p in learning if p in inner], [p for p in learning if p not in inner]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
        self.parts.append(torch.optim.AdamW(rest, betas=BETAS, weight_decay=weight_decay))

    def step(self, rate: float) -> None:
        """Change the weights at a learning rate, and forget the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Raises ValueError for the state of another optimizer."""
        if not isinstance(state, list) or len(state) != len(self.parts):
            raise ValueError("the state of another optimizer")
        for part, stored in zip(self.parts, state):
            part.load_state_dict(stored)


def inner_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Weights of linear layers inside a network: what reads classes off (``warmup``, ``lm_head``) is not among them, nor are tables of embeddings."""
    outer = ("warmup.", "lisa.lm_head")
    return [m.weight for name, m in model.named_modules() if isinstance(m, nn.Linear) and not name.startswith(outer)]
