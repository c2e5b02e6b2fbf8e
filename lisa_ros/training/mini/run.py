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
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from lisa_ros.engine import resolve_model
from lisa_ros.engine.embedded import NAMES
from lisa_ros.model.checkpoint import replaced_directory, save_checkpoint
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.inventory import stored_name
from lisa_ros.model.lisa import Lisa
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.training import reader_process
from lisa_ros.training.adapter import ADAPTER, is_lora, peft_name, save_adapter
from lisa_ros.training.mini.batch import Batch, collate
from lisa_ros.training.mini.head import fit_head
from lisa_ros.training.mini.objective import Objective, WarmUp
from lisa_ros.training.mini.optimizer import Optimizer
from lisa_ros.training.mini.recipe import Recipe, RecipeError, Stage, read_recipe
from lisa_ros.training.mini.samples import SyntheticSamples
from lisa_ros.training.mini.vocabulary import write_tokenizer
from lisa_ros.training.start import Start, start_model
from lisa_ros.training.trainable import Lora, Trainable, make_trainable, trained_parameters
from scannet_tools.synthetic.kinds import KIND_NAMES
from scannet_tools.synthetic.palette import COLORS

BACKGROUND_WORD = "wall"
HEAD_TARGETS = 2400
"""Targets that a head is fitted to."""

UNUSED = ("point_embeddings", "not_a_point_embed", "mask_downscaling", "iou_prediction_head", "post_layernorm")
# parts of the published layout that LISA's objective gives no gradient


class Trainer:
    """A recipe on its way.

    Args:
        out: directory of state, checkpoint, tokeniser and log. An unfinished run in it is continued.
    """

    def __init__(self, recipe: Recipe, data: Path, out: Path, save_every: int) -> None:
        self.recipe, self.data, self.out, self.save_every = recipe, Path(data), Path(out), save_every
        self.accelerator = Accelerator(mixed_precision=recipe.precision, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
        torch.manual_seed(recipe.seed)
        self.dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
        self.tokenizer_directory = self.out / "tokenizer"
        start = recipe.start or {}
        self.speaks = "language" in start
        if self.speaks:
            self._begin_with_language(start["language"], start["towers"], start.get("conversation"))
            if "shipped" in start:
                self._take_shipped(Path(start["shipped"]))
        else:
            self._begin_with_nothing()
            if "towers" in start:
                self._go_on_with(resolve_model(start["towers"]))
        if recipe.compile:
            self.lisa.vision_tower.compile()
            self.lisa.sam.image_encoder.compile()
        self.config = self.lisa.config
        self.objective = Objective(self.lisa, self.warmup, self.dtype, recipe.looking)
        self.frozen = {name for name, p in self.objective.named_parameters() if not p.requires_grad} if self.speaks else set()
        self.optimizer = Optimizer(recipe.optimizer, self.objective, recipe.weight_decay)
        self.stage_index, self.update = 0, 0
        self._restore()

    def _begin_with_nothing(self) -> None:
        """Towers and mask decoder of the recipe's sizes, with new weights."""
        if self.accelerator.is_main_process and not (self.tokenizer_directory / "tokenizer_config.json").is_file():
            write_tokenizer(self.tokenizer_directory, self.recipe.vocabulary)
        self.accelerator.wait_for_everyone()
        self.tokenizer = LisaTokenizer.from_directory(self.tokenizer_directory)
        config = self.recipe.config(self.tokenizer.vocab_size)
        self.lisa = Lisa(config)
        torch.nn.init.trunc_normal_(self.lisa.sam.image_encoder.pos_embed, std=0.02)
        for name, parameter in self.lisa.named_parameters():
            parameter.requires_grad_(not any(part in name for part in UNUSED))
        self.warmup = warm_up_for(config)

    def _go_on_with(self, towers: Path) -> None:
        """Take the weights of the towers, the projector, the decoder and the names of an earlier run."""
        stored = load_file(towers / "model.safetensors")
        eyes = ("vision_tower.", "model.visual_model.", "model.mm_projector.")
        ours = (name for name in self.lisa.state_dict() if name.startswith(eyes))
        try:
            self.lisa.load_state_dict({name: stored[stored_name(name)].float() for name in ours}, strict=False)
            self._take_names(towers)
        except (KeyError, RuntimeError) as error:
            raise RecipeError(f"start.towers {towers}: not towers of these sizes ({str(error).splitlines()[0]})") from error

    def _take_names(self, towers: Path) -> None:
        """What the warm-up learned with these towers, as far as it has the same shape here."""
        own = self.warmup.state_dict()
        found = {name: value.float() for name, value in load_file(towers / NAMES).items() if value.shape == own[name].shape}
        self.warmup.load_state_dict(found, strict=False)

    def _begin_with_language(self, language: str, towers: str, conversation: str | None) -> None:
        """A pretrained language model, and the towers, decoder and names of an earlier run."""
        self.begun = Start(language=language, sam=towers, vision_tower=towers, conversation=conversation)
        if not self.accelerator.is_main_process:
            self.tokenizer_directory = self.out / f".tokenizer-{self.accelerator.process_index}"
        started = start_model(self.begun, self.tokenizer_directory, dtype=self.dtype, seed=self.recipe.seed)
        self.lisa, self.tokenizer = started.lisa, started.tokenizer
        lora = {"dropout": 0.0, **self.recipe.lora, "targets": tuple(self.recipe.lora["targets"])}
        self.trainable = Trainable(lora=Lora(**lora), embeddings="new", lm_head="new", projector=True, vision_tower=True)
        make_trainable(self.lisa, self.trainable, new_tokens=self.tokenizer.own_ids)
        config = self.lisa.config
        self.warmup = warm_up_for(config)
        self._take_names(resolve_model(towers))
        self.warmup.begin_with_words(*kind_and_color_words(self.lisa, self.tokenizer))
        thing = self.warmup.kind_word[1:].mean(0)  # [SEG] begins as a noun that means no thing in particular
        for table in (self.lisa.model.embed_tokens, self.lisa.lm_head):
            table.rows.data[self.tokenizer.own_ids.index(self.tokenizer.seg_id)] = thing * (self.warmup.kind_word.norm(dim=1).mean() / thing.norm())

    def _take_shipped(self, folder: Path) -> None:
        """Go on with what ``lisa_ros.training.mini.ship`` wrote of an earlier run. Layers that only this recipe adapts begin as they were."""
        try:
            stored, adapters = load_file(folder / "model.safetensors"), load_file(folder / ADAPTER)
            for name, parameter in trained_parameters(self.lisa).items():
                if not is_lora(name):
                    parameter.data.copy_(stored[stored_name(name)])
                elif peft_name(name) in adapters:
                    parameter.data.copy_(adapters.pop(peft_name(name)))
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise RecipeError(f"start.shipped {folder}: not what a run of these sizes shipped ({str(error).splitlines()[0]})") from error
        if adapters:
            raise RecipeError(f"start.shipped {folder}: adapts {sorted(adapters)[0]}, which lora.targets leaves out")

    def run(self) -> None:
        """Train what is left of the recipe."""
        wrapped = self.accelerator.prepare(self.objective)
        try:
            _ = self.objective.reader  # what it refuses, it refuses before anything is trained
        except ValueError as error:
            raise RecipeError(f"recipe {self.recipe.name}: {error}") from error
        while self.stage_index < len(self.recipe.stages):
            stage = self.recipe.stages[self.stage_index]
            if stage.fit_head and self.update == 0:
                self._fit_head(stage)
            self._run_stage(stage, wrapped)
            self.stage_index, self.update = self.stage_index + 1, 0
            self._save()

    def _fit_head(self, stage: Stage) -> None:
        """Let the head begin where a straight line leads; every process reads the same samples."""
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        bar = tqdm(total=HEAD_TARGETS, desc="head", unit="target", disable=None if self.accelerator.is_main_process else True)
        loader = self._batches(stage, stage.batch, 0, 1)
        while sum(len(states) for states, _ in found) < HEAD_TARGETS:
            with self.accelerator.autocast():
                found.append(self.objective.states_and_goals(next(loader).to(self.accelerator.device), stage))
            bar.update(len(found[-1][0]))
        bar.close()
        explained = fit_head(self.lisa.model.text_hidden_fcs[0], *(torch.cat(parts) for parts in zip(*found)))
        self.accelerator.print(f"head: begins with {100 * explained:.0f} % of the names' variance explained")

    def _batches(self, stage: Stage, share: int, rank: int, world: int, done: int = 0) -> Iterator[Batch]:
        """A process' batches of ``share`` pictures, ``done`` of them left out."""
        samples = SyntheticSamples(
            self.data, self.config, self.tokenizer, stage, seed=self.recipe.seed + self.stage_index, rank=rank, world=world, skip=done * share
        )
        together = partial(collate, seg_id=self.tokenizer.seg_id)
        return iter(
            DataLoader(
                samples,
                batch_size=share,
                num_workers=1,  # one, so that the order of samples, and with it a resumed run, stays the same
                prefetch_factor=4,
                collate_fn=together,
                multiprocessing_context="fork",
                worker_init_fn=reader_process.begin,
            )
        )

    def _run_stage(self, stage: Stage, wrapped: torch.nn.Module) -> None:
        world = self.accelerator.num_processes
        loader = self._batches(stage, stage.batch // world, self.accelerator.process_index, world, self.update)
        wrapped.train()
        bar = tqdm(total=stage.updates, initial=self.update, desc=stage.name, disable=None if self.accelerator.is_main_process else True)
        means: dict[str, float] = {}
        started, first = time.time(), self.update
        while self.update < stage.updates:
            losses = wrapped(next(loader).to(self.accelerator.device), stage)
            if not torch.isfinite(losses["loss"]):
                raise FloatingPointError(f"the loss of update {self.update} of stage {stage.name} is not finite; {self.out} holds the last good state")
            self.accelerator.backward(losses["loss"])
            self.accelerator.clip_grad_norm_(self.objective.parameters(), self.recipe.clip)
            self.optimizer.step(stage.rate(self.update))
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
            "objective": {name: value for name, value in self.objective.state_dict().items() if name not in self.frozen},
            "optimizer": self.optimizer.state_dict(),
            "stage_index": self.stage_index,
            "update": self.update,
        }
        torch.save(state, self.out / "state.pt.part")
        os.replace(self.out / "state.pt.part", self.out / "state.pt")
        if self.speaks:
            about = {"start": asdict(self.begun), "trainable": asdict(self.trainable), "seed": self.recipe.seed}
            with replaced_directory(self.out / "last") as building:
                save_adapter(building, self.lisa, self.tokenizer_directory, about)
        else:
            save_checkpoint(self.lisa, self.tokenizer_directory, self.out / "last", torch.float16)
            save_file(self.warmup.state_dict(), self.out / "last" / NAMES)

    def _restore(self) -> None:
        path = self.out / "state.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, unexpected = self.objective.load_state_dict(state["objective"], strict=False)
        if set(missing) - self.frozen or unexpected:
            raise RecipeError(f"{path}: the state of another recipe")
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise RecipeError(f"{path}: {error}") from error
        self.stage_index, self.update = state["stage_index"], state["update"]


def warm_up_for(config: LisaConfig) -> WarmUp:
    """New heads and names for all kinds and colours, of the widths of a model."""
    return WarmUp(config.language.hidden_size, config.sam.prompt_dim, len(KIND_NAMES), len(COLORS) + 1)


def kind_and_color_words(lisa: Lisa, tokenizer: LisaTokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """The language model's embeddings [K,d] of the kinds, the first that of the background, and [C-1,d] of the colours: the mean of each word's tokens."""
    table = lisa.model.embed_tokens.weight.float()
    kinds, colors = (torch.stack([table[tokenizer.encode_word(name)].mean(0) for name in names]) for names in ((BACKGROUND_WORD, *KIND_NAMES[1:]), COLORS))
    return kinds, colors


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
