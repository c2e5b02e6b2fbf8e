"""``lisa train``: run a recipe, resumable at any update.

One process, or several with ``accelerate launch`` (each takes its share of the shards, gradients are averaged). State is written atomically
to OUT/state.pt, the model of the last written update to OUT/last (a checkpoint directory that every other command loads).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch.utils.data import DataLoader
from tqdm import tqdm

from lisa_ros.model.checkpoint import save_checkpoint
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training.mini.batch import collate
from lisa_ros.training.mini.objective import Objective, WarmUp
from lisa_ros.training.mini.recipe import Recipe, RecipeError, Stage, read_recipe
from lisa_ros.training.mini.samples import SyntheticSamples
from lisa_ros.training.mini.vocabulary import write_tokenizer
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS

UNUSED = ("point_embeddings", "not_a_point_embed", "mask_downscaling", "iou_prediction_head", "post_layernorm")
# parts of the published layout that LISA's objective gives no gradient


class Trainer:
    """A recipe on its way.

    Args:
        out: directory of state, checkpoint, tokeniser and log. An unfinished run in it is continued.
    """

    def __init__(self, recipe: Recipe, data: Path, out: Path, save_every: int) -> None:
        self.recipe, self.data, self.out, self.save_every = recipe, Path(data), Path(out), save_every
        self.accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
        torch.manual_seed(recipe.seed)
        self.tokenizer_directory = self.out / "tokenizer"
        if self.accelerator.is_main_process and not (self.tokenizer_directory / "tokenizer_config.json").is_file():
            write_tokenizer(self.tokenizer_directory, recipe.vocabulary)
        self.accelerator.wait_for_everyone()
        self.tokenizer = LisaTokenizer.from_directory(self.tokenizer_directory)
        self.config = recipe.config(self.tokenizer.vocab_size)
        self.lisa = Lisa(self.config)
        torch.nn.init.trunc_normal_(self.lisa.sam.image_encoder.pos_embed, std=0.02)
        for name, parameter in self.lisa.named_parameters():
            parameter.requires_grad_(not any(part in name for part in UNUSED))
        warmup = WarmUp(self.config.language.hidden_size, self.config.sam.prompt_dim, len(KIND_NAMES), len(COLORS) + 1)
        self.objective = Objective(self.lisa, warmup)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.objective.parameters() if p.requires_grad], lr=1e-3, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
        )
        self.stage_index, self.update = 0, 0
        self._restore()

    def run(self) -> None:
        """Train what is left of the recipe."""
        wrapped = self.accelerator.prepare(self.objective)
        while self.stage_index < len(self.recipe.stages):
            self._run_stage(self.recipe.stages[self.stage_index], wrapped)
            self.stage_index, self.update = self.stage_index + 1, 0
            self._save()

    def _run_stage(self, stage: Stage, wrapped: torch.nn.Module) -> None:
        world = self.accelerator.num_processes
        share = stage.batch // world
        samples = SyntheticSamples(
            self.data, self.config, self.tokenizer, questions=stage.questions, names=stage.names, seed=self.recipe.seed + self.stage_index,
            rank=self.accelerator.process_index, world=world, skip=self.update * share,
        )  # fmt: skip
        seg = self.tokenizer.seg_id
        loader = iter(DataLoader(samples, batch_size=share, collate_fn=lambda rows: collate(rows, self.config.vision.patches, seg)))
        wrapped.train()
        bar = tqdm(total=stage.updates, initial=self.update, desc=stage.name, disable=None if self.accelerator.is_main_process else True)
        means: dict[str, float] = {}
        started, first = time.time(), self.update
        while self.update < stage.updates:
            for group in self.optimizer.param_groups:
                group["lr"] = stage.rate(self.update)
            losses = wrapped(next(loader).to(self.accelerator.device), stage)
            if not torch.isfinite(losses["loss"]):
                raise FloatingPointError(f"the loss of update {self.update} of stage {stage.name} is not finite; {self.out} holds the last good state")
            self.accelerator.backward(losses["loss"])
            self.accelerator.clip_grad_norm_(self.objective.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.update += 1
            bar.update()
            for name, value in losses.items():
                means[name] = 0.97 * means.get(name, value.item()) + 0.03 * value.item()
            if (self.update % 20 == 0 or self.update == stage.updates) and self.accelerator.is_main_process:
                rate = (self.update - first) * stage.batch / (time.time() - started)
                row = {"stage": stage.name, "update": self.update, **{k: round(v, 4) for k, v in means.items()}, "images_per_s": round(rate, 2)}
                with open(self.out / "log.jsonl", "a", encoding="utf-8") as log:
                    log.write(json.dumps(row) + "\n")
                bar.set_postfix({k: f"{v:.3f}" for k, v in means.items()})
            if self.update % self.save_every == 0:
                self._save()
        bar.close()

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        state = {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stage_index": self.stage_index,
            "update": self.update,
        }
        torch.save(state, self.out / "state.pt.part")
        os.replace(self.out / "state.pt.part", self.out / "state.pt")
        save_checkpoint(self.lisa, self.tokenizer_directory, self.out / "last", torch.float16)

    def _restore(self) -> None:
        path = self.out / "state.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stage_index, self.update = state["stage_index"], state["update"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="lisa train", description="Train a LISA from a recipe; run again to continue.")
    parser.add_argument("recipe", type=Path, help="e.g. config/train/mini.yaml")
    parser.add_argument("--data", type=Path, required=True, help="shards of python -m scannet_tools.synthetic.export")
    parser.add_argument("--out", type=Path, required=True, help="directory of the run")
    parser.add_argument("--save-every", type=int, default=100, help="updates between two saved states")
    options = parser.parse_args(argv)
    try:
        recipe = read_recipe(options.recipe)
        options.out.mkdir(parents=True, exist_ok=True)
        Trainer(recipe, options.data, options.out, options.save_every).run()
    except (RecipeError, FileNotFoundError, FloatingPointError) as error:
        print(f"lisa train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
