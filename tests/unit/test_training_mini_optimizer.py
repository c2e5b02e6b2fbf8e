"""Muon where matrices lie inside the network, AdamW elsewhere."""

import pytest
import torch
from torch import nn

from lisa_ros.training.mini.optimizer import Optimizer


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lisa = nn.ModuleDict({"inner": nn.Linear(6, 4), "frozen": nn.Linear(4, 4), "lm_head": nn.Linear(4, 9)})
        self.warmup = nn.Sequential(nn.Linear(4, 3))
        self.lisa["frozen"].requires_grad_(False)


@pytest.fixture
def network():
    return Network()


def test_every_weight_that_learns_is_in_one_of_them_and_inner_matrices_in_muon(network):
    muon, adam = Optimizer("muon", network, 0.01).parts
    assert [p is network.lisa["inner"].weight for group in muon.param_groups for p in group["params"]] == [True]
    rest = [p for group in adam.param_groups for p in group["params"]]
    assert len(rest) == len([p for p in network.parameters() if p.requires_grad]) - 1
    (alone,) = Optimizer("adamw", network, 0.01).parts
    assert isinstance(alone, torch.optim.AdamW)


def test_muons_step_has_no_small_direction(network):
    """A gradient that one direction rules moves the matrix along all of them."""
    optimizer, weight = Optimizer("muon", network, 0.0), network.lisa["inner"].weight
    before = weight.detach().clone()
    left, right = (torch.linalg.qr(torch.randn(size, 4)).Q for size in weight.shape)
    weight.grad = left @ torch.diag(torch.tensor([1.0, 0.3, 0.1, 0.1])) @ right.T
    optimizer.step(1e-3)
    moved = torch.linalg.svdvals(weight.detach() - before)
    assert moved[-1] / moved[0] > 0.4
    # as large as AdamW's: the root mean square of an entry is about a fifth of the rate
    assert 0.1e-3 < (weight.detach() - before).square().mean().sqrt() < 0.4e-3
    assert weight.grad is None


def test_the_state_of_another_optimizer_is_refused(network):
    with pytest.raises(ValueError, match="another optimizer"):
        Optimizer("muon", network, 0.01).load_state_dict(Optimizer("adamw", network, 0.01).state_dict())
