"""Seconds of the language model's training pass over many questions about a few pictures, three ways that give the same states.

    python benchmarks/reading.py [--pictures 4] [--questions 8] [--steps 5] [--precision bf16] [--json FILE]

A pass is forward and backward, LoRA on q, k, v and o, sizes of SmolLM2-135M with random weights: none of this depends on what they are.
The first step of each way is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lisa_ros.model.config import LanguageConfig
from lisa_ros.model.llama import Llama
from lisa_ros.training.mini.reader import Reader
from lisa_ros.training.trainable import LANGUAGE_ADAPTER

SIZES = LanguageConfig(
    vocab_size=8, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=1024
)
PREFIX = 201
SHORTEST, LONGEST = 18, 42
"""Tokens that a picture takes with what stands around it, and tokens of a question with its answer, as lisa-mini's scenes have them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--questions", type=int, default=8, help="about each picture")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=("bf16", "no"), default="bf16")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    torch.manual_seed(0)
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    llama = Llama(SIZES).to(dtype)
    llama.requires_grad_(False)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    inject_adapter_in_model(lora, llama, adapter_name=LANGUAGE_ADAPTER)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (args.pictures, args.questions))
    pictures = torch.randn(args.pictures, PREFIX, SIZES.hidden_size, dtype=dtype).requires_grad_()
    text = torch.randn(int(lengths.sum()), SIZES.hidden_size, dtype=dtype).requires_grad_()
    slots = torch.full((*lengths.shape, int(lengths.max())), -1)
    used = torch.arange(slots.shape[2]) < lengths[..., None]
    slots[used] = torch.arange(len(text))
    reader = Reader(llama, dtype)
    ways: dict[str, Callable[[], Tensor]] = {
        "a row a question": lambda: alone(llama, pictures, text, slots),
        "a row a picture": lambda: packed(llama, pictures, text, slots),
        "one list": lambda: reader(pictures, text, slots)[0],
    }
    figures = {name: seconds(read, dtype, args.steps) for name, read in ways.items()}
    for name, found in figures.items():
        print(f"{name:18} {found:6.2f} s a step  {args.pictures / found:5.2f} pictures/s  {figures['a row a picture'] / found:5.2f} x")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def seconds(read: Callable[[], Tensor], dtype: torch.dtype, steps: int) -> float:
    """Mean seconds of a forward and a backward pass."""
    for step in range(steps + 1):
        if step == 1:
            begin = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            states = read()
        states.float().square().sum().backward()
    return (time.perf_counter() - begin) / steps


def alone(llama: Llama, pictures: Tensor, text: Tensor, slots: Tensor) -> Tensor:
    """Each question in a row of its own behind its picture."""
    used = slots.flatten(0, 1) >= 0
    rows = torch.cat([pictures.repeat_interleave(slots.shape[1], 0), text[slots.flatten(0, 1).clamp(min=0)]], 1)
    return llama(rows)[:, pictures.shape[1] :][used]


def packed(llama: Llama, pictures: Tensor, text: Tensor, slots: Tensor) -> Tensor:
    """All questions about a picture in one row, hidden from each other by a mask."""
    count, begin = len(pictures), pictures.shape[1]
    used = slots >= 0
    width = int(used.flatten(1).sum(1).max())
    total = begin + width
    positions = torch.arange(total).repeat(count, 1)
    places = torch.zeros(count, width, dtype=torch.long)
    number = torch.full((count, total), -1)
    kept = torch.zeros(count, total, dtype=torch.bool)
    for row in range(count):
        own = slots[row][used[row]]
        places[row, : len(own)] = own
        kept[row, begin : begin + len(own)] = True
        positions[row, begin : begin + len(own)] = begin + used[row].nonzero()[:, 1]
        number[row, begin : begin + len(own)] = used[row].nonzero()[:, 0]
    same = number[:, :, None] == number[:, None, :]
    allowed = torch.ones(total, total, dtype=torch.bool).tril() & (same | (torch.arange(total) < begin)) | torch.eye(total, dtype=torch.bool)
    mask = torch.zeros(count, 1, total, total, dtype=pictures.dtype).masked_fill_(~allowed[:, None], float("-inf"))
    return llama(torch.cat([pictures, text[places]], 1), None, positions, mask)[kept]


if __name__ == "__main__":
    sys.exit(main())
