"""For test_training_sharded.py, in each of two processes: a step of a LISA cut over both, of which one draws no mask.

    python -m torch.distributed.run --nproc_per_node 2 sharded_step.py OUT
"""

from __future__ import annotations

import datetime
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from golden import CHECKPOINT, VISION_TOWER
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from lisa_ros.datasets.example import Example
from lisa_ros.model.checkpoint import load_checkpoint
from lisa_ros.model.llama import DecoderLayer
from lisa_ros.training.adapter import fingerprint, write_adapter
from lisa_ros.training.collation import collate
from lisa_ros.training.losses import Objective
from lisa_ros.training.start import Start
from lisa_ros.training.trainable import Lora, Trainable, make_trainable, trained_parameters

TRAINABLE = Trainable(lora=Lora(dropout=0.0))
START = Start(lisa=str(CHECKPOINT), vision_tower=str(VISION_TOWER))
TURNS = ((("Can you segment the cup in this image?", "It is [SEG]."),), (("What is this?", "A table."),))


def model_and_examples():
    lisa, tokenizer = load_checkpoint(CHECKPOINT, vision_tower=VISION_TOWER)
    torch.manual_seed(0)
    make_trainable(lisa, TRAINABLE)
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    examples = [
        Example(f"picture {number}", image, None, (turns,), np.ones((1 - number, 60, 80), bool))
        for number, turns in enumerate(TURNS)
    ]
    return lisa, tokenizer, examples


def main(out: Path) -> None:
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=120))
    rank = dist.get_rank()
    lisa, tokenizer, examples = model_and_examples()
    base = fingerprint(lisa)
    mesh = init_device_mesh("cpu", (2,))
    for layer in lisa.modules():
        if isinstance(layer, DecoderLayer):
            fully_shard(layer, mesh=mesh)
    objective = Objective(lisa)
    fully_shard(objective, mesh=mesh)
    objective(collate([examples[rank]], lisa.config, tokenizer))["loss"].backward()
    trained = trained_parameters(lisa)
    gradients = {name: p.grad.full_tensor() for name, p in trained.items() if p.grad is not None}
    values = {name: p.detach().full_tensor().contiguous() for name, p in trained.items()}
    if rank == 0:
        torch.save(gradients, out / "gradients.pt")
        (out / "adapter").mkdir()
        about = {"start": asdict(START), "trainable": asdict(TRAINABLE), "base": base}
        write_adapter(out / "adapter", lisa, values, CHECKPOINT, about)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
