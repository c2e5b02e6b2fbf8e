"""`lisa train`: run a recipe, from the beginning or from where an earlier call stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lisa_ros.cli.errors import CommandError, UsageError


def main(argv: Sequence[str]) -> int:
    """Train."""
    parser = argparse.ArgumentParser(
        prog="lisa train",
        description="Train LISA by a recipe of config/train. The same command goes on where an earlier call stopped.",
        epilog="Several GPUs: accelerate launch --config_file config/accelerate/ddp.yaml -m lisa_ros.cli train RECIPE ... "
        "config/train/mini-towers.yaml, mini-masks.yaml and mini.yaml train lisa-mini and have arguments of their own: lisa train config/train/mini.yaml --help",
    )
    parser.add_argument("recipe", type=Path, help="e.g. config/train/lisa-7b.yaml")
    parser.add_argument(
        "--data", type=Path, metavar="ROOT", help="folder of the data sets (default: the recipe's data.root)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/<name of the recipe>)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, such as optimization.micro_batch=4",
    )
    parser.add_argument(
        "--force", action="store_true", help="go on although the run in --out began with another recipe"
    )
    parser.add_argument(
        "--skip-damaged",
        type=int,
        default=0,
        metavar="N",
        help="replace up to N damaged examples by others (default 0: stop)",
    )
    parser.add_argument("--check", action="store_true", help="open the data and count what is trained, then end")
    argv = list(argv)
    if _is_of_lisa_mini(argv):
        from lisa_ros.training.mini.run import main as train_mini

        return train_mini(argv)
    args = parser.parse_args(argv)
    if args.skip_damaged < 0:
        raise UsageError(f"--skip-damaged {args.skip_damaged}: a number of examples")
    return _train(args)


def _is_of_lisa_mini(argv: Sequence[str]) -> bool:
    """Whether the recipe is one in stages, as lisa-mini's."""
    import yaml

    for path in (Path(word) for word in argv if word.endswith((".yaml", ".yml"))):
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return False  # the recipe's reader says what is wrong
        return isinstance(data, dict) and "stages" in data
    return False


def _train(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from lisa_ros.datasets.example import DatasetError
    from lisa_ros.datasets.miniature import write_miniature
    from lisa_ros.model.config import CheckpointError
    from lisa_ros.training.recipe import RecipeError, read_recipe
    from lisa_ros.training.trainer import Stopped, Trainer, TrainingError

    try:
        recipe = read_recipe(args.recipe, args.set)
        out = args.out or Path("runs") / recipe.name
        out.mkdir(parents=True, exist_ok=True)
        root = args.data or Path(recipe.data.root)
        if recipe.data.miniature:
            root = args.data or out / "data"
            write_miniature(root, frames=recipe.data.miniature, seed=recipe.seed)
        trainer = Trainer(
            recipe, out, root=root, force=args.force, skip_damaged=args.skip_damaged, say=lambda text: tqdm.write(text)
        )
        if args.check:
            return 0
        progress = trainer.run()
    except Stopped:
        tqdm.write(f"lisa train: stopped; the same command goes on after update {trainer.progress.update}")
        return 130
    except (RecipeError, DatasetError, CheckpointError, TrainingError, ValueError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename or args.out}: {error.strerror or error}") from error
    if trainer.accelerator.is_main_process:
        best = ""
        if progress.best_giou is not None:
            best = f", best gIoU {progress.best_giou:.4f} at update {progress.best_update}"
        print(f"{out}: {progress.update} updates{best}")
        print(f"make a checkpoint of it: lisa merge {out / 'best'} --out {recipe.name}")
    return 0
