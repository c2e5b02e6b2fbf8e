"""From the arguments of `scannet_tools evaluate` to what is to be done: scenes, questions, frames, and who answers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lisa_ros.cli import model
from lisa_ros.cli.checkpoint import digest, locate
from lisa_ros.cli.errors import CommandError
from lisa_ros.cli.local_device import local_device
from scannet_tools.evaluation.engine_answers import EngineAnswers
from scannet_tools.evaluation.part import Part
from scannet_tools.evaluation.run import Run
from scannet_tools.evaluation.scene import bag_frames, scan_frames
from scannet_tools.evaluation.settings import Settings
from scannet_tools.label_map import LabelMap, find_label_map
from scannet_tools.questions import SceneQuestion, make_questions, read_questions
from scannet_tools.scene import Scene, find_scenes

Given = dict[str, list[SceneQuestion]] | None
"""{scene: its questions} of --questions; None without."""


def plan(options: argparse.Namespace, part: Part) -> Run:
    """The `Run` of these options, in this process.

    Raises:
        OSError, ValueError: there is no scene to ask about, or the questions or the model cannot be read.
    """
    from lisa_ros.engine.engine import choose_device  # brings torch

    given = _read_questions(options)
    scenes = _scenes(options, given)
    options.device = local_device(options.device, part.local_rank)
    try:
        checkpoint = digest(locate(options.model))
    except CommandError as error:
        raise ValueError(f"--model {error}") from error
    settings = Settings(
        model=str(options.model),
        engine_digest=" ".join(
            [checkpoint, *(f"{name}={value}" for name, value in model.load_options(options).items())]
        ),
        device=choose_device(options.device).type,
        dtype=options.dtype,
        **_frame_settings(options),
    )

    def open_answers() -> EngineAnswers:
        try:
            return EngineAnswers(model.load_engine(options), options.mode)
        except CommandError as error:
            raise ValueError(str(error)) from error

    def frames_of(scene: Scene) -> Iterator[Any]:
        return scan_frames(scene, settings, _bar(scene, part.rank))

    questions_of = partial(_questions_of, given=given, tsv=options.labels)
    return Run(options.out, scenes, settings, questions_of, frames_of, digest, open_answers)


@contextmanager
def node_plan(options: argparse.Namespace) -> Iterator[Run]:
    """The `Run` that asks a running node about a bag of one scene.

    Raises:
        OSError, ValueError: as `plan`; ROS is not there, no node answers, or the scene is not one.
    """
    given = _read_questions(options)
    scenes = _scenes(options, given)
    if len(scenes) != 1:
        raise ValueError(f"--bag is of one scene, and {options.path} has {len(scenes)}; name it with --scenes")
    # a node may have another model by the next call: its rows are never gone on from
    settings = Settings(f"node {options.node}", str(time.time_ns()), "", "", **_frame_settings(options))
    questions_of = partial(_questions_of, given=given, tsv=options.labels)

    def frames_of(scene: Scene) -> Iterator[Any]:
        return bag_frames(options.bag, scene, settings, _bar(scene, 0))

    with _node_answers(options) as answers:
        yield Run(options.out, scenes, settings, questions_of, frames_of, digest, lambda: answers)


def _node_answers(options: argparse.Namespace) -> Any:
    try:
        from lisa_ros.cli.node_answers import NodeAnswers
    except ImportError as error:
        raise ValueError(
            f"--bag asks a node, and ROS 2 or the built lisa_ros interfaces are not there ({error}); source your "
            "workspace's install/setup.bash, or leave --bag out to ask the model in this process"
        ) from error
    return NodeAnswers(options.node, options.mode)


def _frame_settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "mode": options.mode,
        "every": options.every,
        "max_frames": options.max,
        "truth": options.truth,
        "min_share": options.in_view / 100,
    }


def _bar(scene: Scene, position: int) -> Callable[..., Any]:
    """Wraps frames in a progress bar, one line per process."""
    return partial(tqdm, desc=scene.name, unit="frame", position=position, leave=False, disable=None)


def _scenes(options: argparse.Namespace, given: Given) -> list[Scene]:
    """The annotated scenes to ask about; says how many are left out."""
    scenes = find_scenes(options.path)
    if missing := sorted(set(options.scenes) - {scene.name for scene in scenes}):
        raise ValueError(f"{options.path}: no scene {', '.join(missing)}; see --scenes")
    if options.scenes:
        scenes = [scene for scene in scenes if scene.name in options.scenes]
    if given is not None:
        scenes = [scene for scene in scenes if scene.name in given]
    known = [scene for scene in scenes if scene.annotated]
    if len(known) < len(scenes):
        print(f"{len(scenes) - len(known)} scenes without annotation (test scans) are left out: there is no truth")
    if not known:
        raise ValueError(
            f"{options.path}: no annotated scene to ask about"
            + (f" in {options.questions}" if given is not None else "")
        )
    return known


def _read_questions(options: argparse.Namespace) -> Given:
    """{scene: its questions} of --questions; None without."""
    if options.questions is None:
        return None
    by_scene: dict[str, list[SceneQuestion]] = {}
    for question in read_questions(options.questions):
        by_scene.setdefault(question.scene, []).append(question)
    return by_scene


def _questions_of(scene: Scene, *, given: Given, tsv: Path | None) -> Sequence[SceneQuestion]:
    """Given ones, the scene's own, or made ones."""
    if given is not None:
        return given[scene.name]
    own = scene.folder / "questions.jsonl"
    if own.is_file():
        return [question for question in read_questions(own) if question.scene == scene.name]
    tsv = tsv or find_label_map(scene.folder)
    if tsv is None:
        raise ValueError(
            f"{scene.folder}: scannetv2-labels.combined.tsv lies nowhere beside it; give it with --labels, or give "
            "--questions"
        )
    return make_questions(scene.name, scene.mesh(), scene.annotation(), LabelMap.read(tsv), seed=0)
