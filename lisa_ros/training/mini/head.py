"""The head between language model and mask decoder begins where a straight line leads.

The states that [SEG] takes its mask from are nearly all alike: their mean is many times their spread, and a head that begins at random learns
little but their mean for hundreds of updates. Here its first layer begins by centring and scaling them, and its second as the ridge regression of
the targets' names on what the first makes of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RIDGE = 0.3


@torch.no_grad()
def fit_head(head: nn.Sequential, states: Tensor, goals: Tensor) -> float:
    """Set the weights of ``text_hidden_fcs[0]`` (Linear, ReLU, Linear).

    Args:
        states [n,d]: before [SEG]. goals [n,prompt_dim]: mask prompts they should give. RIDGE is the penalty's share of n.

    Returns:
        Share of the goals' variance that is explained.
    """
    first, second = head[0], head[2]
    mean, spread = states.mean(0), states.std(0).clamp(min=1e-4)
    nn.init.normal_(first.weight, std=first.in_features**-0.5)
    first.weight /= spread
    first.bias.copy_(-first.weight @ mean)
    features = torch.relu(first(states))
    center, middle = features.mean(0), goals.mean(0)
    x, y = features - center, goals - middle
    penalty = RIDGE * len(x) * x.var(0).mean() * torch.eye(x.shape[1], device=x.device)
    second.weight.copy_(torch.linalg.solve(x.T @ x + penalty, x.T @ y).T)
    second.bias.copy_(middle - second.weight @ center)
    return float(1 - (second(features) - goals).square().sum() / y.square().sum())
