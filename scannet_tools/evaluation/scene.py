"""Asks all questions about one scene, frame by frame, and measures the answers in the pictures and on the mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lisa_ros.evaluation.metrics import overlap
from lisa_ros.evaluation.packed_mask import pack_mask
from lisa_ros.geometry import Frame
from scannet_tools.bag.frames import read_frames, scene_of
from scannet_tools.evaluation.engine_answers import FrameReplies, FrameReply
from scannet_tools.evaluation.rows import FrameAnswer, KeptFrame, QuestionRow, SceneRow
from scannet_tools.evaluation.settings import Settings
from scannet_tools.evaluation.summary import in_view, iou
from scannet_tools.questions import SceneQuestion
from scannet_tools.scene import Scene
from scannet_tools.scores.fusion import ShownVertices, VertexVotes, to_world
from scannet_tools.scores.vertices import vertex_overlap


class Answers(Protocol):
    """Whoever answers: an engine here, or a node elsewhere."""

    def ask(self, frame: Frame, questions: Sequence[str]) -> FrameReplies:
        """One reply per question."""


def scan_frames(
    scene: Scene, settings: Settings, progress: Callable[[Iterable[int]], Iterable[int]] = iter
) -> Iterator[tuple[int, Frame]]:
    """(number, frame) of a scan's recording, those that the settings choose.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    with scene.open_sens() as sens:
        for number in progress(settings.frames(len(sens))):
            yield number, sens.geometry_frame(number)


def bag_frames(
    bag: Path, scene: Scene, settings: Settings, progress: Callable[[Iterable[Frame]], Iterable[Frame]] = iter
) -> Iterator[tuple[int, Frame]]:
    """(number in the scan's recording, frame) of a bag's frames, those that the settings choose.

    Raises:
        OSError, ValueError: the bag or the recording cannot be read, or the bag is of another scene.
    """
    with scene.open_sens() as sens:
        numbers = {int(stamp): number for number, stamp in enumerate(sens.stamps_ns())}
    if scene_of(bag) not in (scene.name, ""):
        raise ValueError(f"{bag} is a bag of {scene_of(bag)}, not of {scene.name}")
    end = settings.every * settings.max_frames or None
    for frame in progress(islice(read_frames(bag), 0, end, settings.every)):
        if frame.stamp_ns not in numbers:
            raise ValueError(
                f"{bag}: {scene.name} has no frame of {frame.stamp_ns} ns: it is a bag of another recording"
            )
        yield numbers[frame.stamp_ns], frame


def ask_scene(
    scene: Scene,
    questions: Sequence[SceneQuestion],
    frames: Iterable[tuple[int, Frame]],
    answers: Answers,
    settings: Settings,
    scene_digest: str,
) -> SceneRow:
    """The scene's row. Frames without a pose have no truth and are left out, as are those without a truth picture.

    Raises:
        OSError, ValueError: the scene cannot be read, or none of its frames can be asked about.
    """
    row = SceneRow(scene.name, settings.of_scene(scene_digest))
    mesh = scene.mesh()
    annotation = scene.annotation(len(mesh))
    truth = _truth(scene, mesh, annotation, settings.truth)
    measured = [_Measured(question, len(mesh), settings.min_share) for question in questions]
    for number, frame in frames:
        if frame.camera_to_world is None:
            row.without_pose += 1
            continue
        objects = truth(number, frame)
        if objects is None:
            row.without_truth += 1
            continue
        said = answers.ask(frame, [question.question for question in questions])
        shown = ShownVertices(mesh.vertices, frame.camera, frame.camera_to_world, frame.depth)
        for one, reply in zip(measured, said.replies, strict=True):
            one.add(number, frame, shown, objects, reply)
        for stage, seconds in said.seconds.items():
            row.seconds.setdefault(stage, []).extend(seconds)
        row.frames += 1
    if row.frames == 0:
        raise ValueError(
            f"{scene.folder}: no frame can be asked about: {row.without_pose} without a pose, "
            f"{row.without_truth} without a truth picture; try --truth mesh"
        )
    row.questions = [one.row(annotation) for one in measured]
    return row


def _truth(scene: Scene, mesh: Any, annotation: Any, kind: str) -> Callable[[int, Frame], np.ndarray | None]:
    """number, frame -> object ids [H,W] of the colour picture's size, 0 = none; None for a frame that has no truth."""
    if kind == "filt":
        return lambda number, frame: scene.instance_image(number, (frame.color.shape[1], frame.color.shape[0]))
    from scannet_tools.truth import VertexRenderer  # brings Open3D

    renderer = VertexRenderer(mesh, annotation)
    return lambda number, frame: renderer.instances(frame.camera, frame.camera_to_world, frame.depth)


class _Measured:
    """One question, measured frame by frame. vertices: how many the mesh has."""

    def __init__(self, question: SceneQuestion, vertices: int, min_share: float) -> None:
        self._question, self._min_share = question, min_share
        self._votes = VertexVotes(vertices)
        self._row = QuestionRow(question.question, question.kind, tuple(question.targets))

    def add(self, number: int, frame: Frame, shown: ShownVertices, objects: np.ndarray, reply: FrameReply) -> None:
        """Measure the reply to frame `number`; objects: ids [H,W] of what is where."""
        row = self._row
        target = np.isin(objects, row.targets)
        measured = overlap(reply.mask, target)
        row.picture_pixels = target.size
        answer = FrameAnswer(
            number,
            int(np.count_nonzero(target)),
            measured.intersection,
            measured.union,
            bool(reply.mask.any()),
            float(reply.probability),
        )
        row.answers.append(answer)
        self._votes.add(shown, points=to_world(reply.points, frame.camera_to_world), mask=reply.mask)
        if not row.targets:
            self._keep_alarm(answer, reply.mask, target)
        elif in_view([answer], self._min_share * target.size):
            self._keep(answer, reply.mask, target)

    def _keep(self, answer: FrameAnswer, mask: np.ndarray, target: np.ndarray) -> None:
        row, score = self._row, iou(answer)
        if row.best is None or score > row.best.iou:
            row.best = KeptFrame(answer.frame, score, pack_mask(mask), pack_mask(target))
        if row.worst is None or score < row.worst.iou:
            row.worst = KeptFrame(answer.frame, score, pack_mask(mask), pack_mask(target))

    def _keep_alarm(self, answer: FrameAnswer, mask: np.ndarray, target: np.ndarray) -> None:
        largest = max((earlier.union for earlier in self._row.answers[:-1]), default=0)
        if answer.union > largest:
            self._row.worst = KeptFrame(answer.frame, 0.0, pack_mask(mask), pack_mask(target))

    def row(self, annotation: Any) -> QuestionRow:
        """The whole row, with the answers of all frames fused on the mesh."""
        predicted, target = self._votes.vertices(), annotation.vertices_of(self._question.targets)
        self._row.vertices = vertex_overlap(predicted, target)
        self._row.vertices_answer = pack_mask(predicted[None])
        return self._row
