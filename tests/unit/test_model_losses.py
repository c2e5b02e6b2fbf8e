"""Mask losses and their gradients against the reference's."""

import pytest
import torch
from golden import GOLDEN

from lisa_ros.model.losses import bce_loss, dice_loss

RECORDED = torch.load(GOLDEN / "losses.pt", weights_only=True)


@pytest.mark.parametrize("index", range(len(RECORDED)))
def test_recorded_losses_and_gradients(index):
    record = RECORDED[index]
    for name, loss in (("dice", dice_loss), ("bce", bce_loss)):
        logits = record["inputs"].clone().requires_grad_()
        value = loss(logits, record["targets"], record["num_masks"])
        value.backward()
        assert value.item() == pytest.approx(record[name], abs=1e-5)
        torch.testing.assert_close(logits.grad, record[f"{name}_grad"], rtol=1e-4, atol=1e-8)


def test_no_mask_no_loss():
    assert dice_loss(torch.zeros(0, 4, 4), torch.zeros(0, 4, 4)).item() == 0
    assert bce_loss(torch.zeros(0, 4, 4), torch.zeros(0, 4, 4)).item() == 0
