"""Reading all questions of all pictures in one list gives the states, and the gradients, of reading each question alone."""

import pytest
import torch
from torch import nn

from lisa_ros.model.config import LanguageConfig
from lisa_ros.model.llama import Llama
from lisa_ros.training.mini.reader import Reader
from lisa_ros.training.trainable import LANGUAGE_ADAPTER

CONFIG = LanguageConfig(
    vocab_size=50, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=64
)
PREFIX = 7
LENGTHS = [[4, 6, 1], [5, 3]]  # tokens of each question about each of two pictures


def adapted(targets="q_proj|v_proj", dropout=0.0):
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    llama = Llama(CONFIG).requires_grad_(False)
    for layer in llama.layers:  # weights of norms that are not one
        nn.init.uniform_(layer.input_layernorm.weight, 0.5, 1.5)
        nn.init.uniform_(layer.post_attention_layernorm.weight, 0.5, 1.5)
    lora = LoraConfig(r=4, lora_alpha=6, lora_dropout=dropout, target_modules=rf"layers\.\d+\.(self_attn|mlp)\.({targets})", bias="none")
    inject_adapter_in_model(lora, llama, adapter_name=LANGUAGE_ADAPTER)
    for name, parameter in llama.named_parameters():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=0.2)
    return llama


def inputs():
    rng = torch.Generator().manual_seed(1)
    pictures = torch.randn(len(LENGTHS), PREFIX, 24, generator=rng, requires_grad=True)
    text = torch.randn(sum(map(sum, LENGTHS)), 24, generator=rng, requires_grad=True)
    slots = torch.full((2, 3, 6), -1)
    begin = 0
    for row, lengths in enumerate(LENGTHS):
        for number, length in enumerate(lengths):
            slots[row, number, :length] = torch.arange(begin, begin + length)
            begin += length
    return pictures, text, slots


def one_by_one(llama, pictures, text):
    states, begin = [], 0
    for row, lengths in enumerate(LENGTHS):
        for length in lengths:
            alone = torch.cat([pictures[row], text[begin : begin + length]])[None]
            states.append(llama(alone)[0, PREFIX:])
            begin += length
    return torch.cat(states)


@pytest.mark.parametrize("targets", ["q_proj|v_proj", "q_proj|k_proj|v_proj|o_proj|up_proj|down_proj"])
def test_states_and_gradients_are_those_of_each_question_alone(targets):
    llama = adapted(targets)
    found = []
    for read in (lambda p, t, s: one_by_one(llama, p, t), lambda *given: Reader(llama, torch.float32)(*given)[0]):
        pictures, text, slots = inputs()
        llama.zero_grad()
        states = read(pictures, text, slots)
        (states * torch.sin(torch.arange(states.numel()).view_as(states))).sum().backward()
        trained = {name: p.grad for name, p in llama.named_parameters() if p.requires_grad}
        found.append((states, pictures.grad, text.grad, trained))
    (states, *rest, trained), (other_states, *other_rest, other_trained) = found
    torch.testing.assert_close(other_states, states, rtol=1e-4, atol=1e-5)
    for gradient, other in zip(rest, other_rest):
        torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-5)
    assert trained and any(gradient.abs().max() > 0 for gradient in trained.values())
    for name, gradient in trained.items():
        torch.testing.assert_close(other_trained[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_weights_that_are_trained_themselves_have_their_gradients():
    torch.manual_seed(0)
    llama = Llama(CONFIG)
    pictures, text, slots = inputs()
    one_by_one(llama, pictures, text).square().sum().backward()
    wanted = {name: p.grad.clone() for name, p in llama.layers.named_parameters()}
    llama.zero_grad()
    Reader(llama, torch.float32)(pictures, text, slots)[0].square().sum().backward()
    for name, parameter in llama.layers.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-3, atol=1e-4, msg=name)


def test_bfloat16_is_near_float32():
    llama = adapted()
    exact, _ = Reader(llama, torch.float32)(*inputs())
    rough = Reader(llama, torch.bfloat16)(*inputs())[0].float()
    assert (rough - exact).norm() < 0.03 * exact.norm()


@torch.no_grad()
def test_the_attention_that_is_asked_for_is_that_of_the_state():
    llama = adapted()
    pictures, text, slots = inputs()
    asking = torch.tensor([[0, 1, 5], [1, 0, 2]])
    reader = Reader(llama, torch.float32, watched=[(0, 4), (2, 1)])
    _, (look, later) = reader(pictures, text, slots, asking)
    assert reader(pictures, text, slots)[1] == [] and later.shape == look.shape
    for found, (row, number, place) in zip(look, asking.tolist()):
        alone = torch.cat([pictures[row], text[slots[row, number, : place + 1]]])[None]
        layer, cos, sin = llama.layers[0], llama.rotary_cos[: alone.shape[1]], llama.rotary_sin[: alone.shape[1]]
        x = layer.input_layernorm(alone)
        q, k = (project(x).unflatten(-1, (-1, 4)).transpose(1, 2) for project in (layer.self_attn.q_proj, layer.self_attn.k_proj))
        q, k = (y * cos + torch.cat([-y[..., 2:], y[..., :2]], -1) * sin for y in (q, k))
        weights = (q[0, 4, -1] @ k[0, 1].T / 2).softmax(-1)[:PREFIX]  # three heads share a key
        torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-6)


def test_an_adapter_with_dropout_is_refused():
    with pytest.raises(ValueError, match="dropout"):
        Reader(adapted(dropout=0.1), torch.float32)


def test_a_head_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="head 6 of layer 0.*3 layers of 6 heads"):
        Reader(adapted(), torch.float32, watched=[(0, 6)])
