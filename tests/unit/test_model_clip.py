"""CLIP's attention is the same while training as while answering."""

import pytest
import torch

from lisa_ros.model.clip import attend


def test_training_attends_as_answering_does():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 7, 8, requires_grad=True) for _ in range(3))
    with torch.no_grad():
        answered = attend(q, k, v)
    trained = attend(q, k, v)
    torch.testing.assert_close(trained, answered)
    wanted = torch.autograd.grad(torch.nn.functional.scaled_dot_product_attention(q, k, v).square().sum(), (q, k, v))
    for found, expected in zip(torch.autograd.grad(trained.square().sum(), (q, k, v)), wanted):
        assert found.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_keeps_the_dtype(dtype):
    q = torch.randn(1, 2, 5, 8, dtype=dtype)
    assert attend(q, q, q).dtype == dtype
