"""Writes scenes of our own as complete ScanNet scene folders.

OUT/scannetv2-labels.combined.tsv, and per scene in OUT/scans/scene9000_00/ (or, without annotation, in
OUT/scans_test/scene9500_00/): the recording, its text, the mesh, and of annotated scenes also labels, segments,
objects, both zips of pictures and questions.

take.py renders the walk; scan_mesh.py makes the mesh; label_rows.py names the classes; scene_questions.py asks.
Formats: ScanNet's, see docs/scannet.md.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import cv2
import numpy as np

from lisa_ros.geometry.camera import Camera
from scannet_tools.mesh import Mesh, write_mesh
from scannet_tools.questions import SceneQuestion, write_questions
from scannet_tools.sens import SensHeader, SensWriter
from scannet_tools.synthetic.imu import imu_readings
from scannet_tools.synthetic.label_rows import LABEL_ROWS, write_label_table
from scannet_tools.synthetic.scan_mesh import ScanMesh, Sightings, fine_mesh, segments
from scannet_tools.synthetic.scene_questions import ask_about_scene
from scannet_tools.synthetic.take import DEPTH_SHIFT, FRAMES_PER_SECOND, Take, TakenFrame, TakeSettings

SEEDS = 500
"""Scenes of each sort: seeds 0 to 499. ScanNet's own numbers end below 1000."""

_ANNOTATED, _UNANNOTATED = ("scans", 9000), ("scans_test", 9500)
_SETTINGS = "synthesis.json"
_LOOKS = 60  # frames that the mesh is made from; a scan's neighbouring frames show nearly the same
_CHUNK = 4  # frames that a process renders before it hands them over
_START_US = 1_000_000
_RAW_FOCAL = 0.989  # what the text file calls the cameras' focal lengths are the device's, of before the calibration


def scene_folder(out: str | Path, seed: int, annotated: bool = True) -> Path:
    """Where the scene of a seed goes. Raises ValueError for a seed that there is no name for."""
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed {seed}: scenes have seeds 0 to {SEEDS - 1}")
    place, first = _ANNOTATED if annotated else _UNANNOTATED
    return Path(out) / place / f"scene{first + seed:04d}_00"


def write_scene(
    out: str | Path,
    seed: int,
    *,
    frames: int = 300,
    width: int = 640,
    height: int = 480,
    depth_width: int | None = None,
    depth_height: int | None = None,
    lost: int = 0,
    annotated: bool = True,
    pool: Executor | None = None,
    jobs: int = 1,
    on_frames: Callable[[int], object] = lambda count: None,
) -> Path:
    """Write the scene of a seed and the label table beside it; equal arguments give equal files.

    A scene that is there already is kept. A new one appears whole or not at all.

    Args:
        out: folder of scenes. width, height: of colour; depth is half of that unless given.
        lost: frames without a pose. annotated: False gives what test scans have.
        pool, jobs: processes that render, and how many; without a pool it happens here.
        on_frames: told how many frames more are done.

    Returns:
        The scene's folder.

    Raises:
        ValueError: arguments out of range, or the folder has this scene with other settings.
        OSError: it cannot be written (disk full).
    """
    depth_size = (depth_width or max(width // 2, 16), depth_height or max(height // 2, 16))
    settings = TakeSettings(seed, frames, (width, height), depth_size, lost)
    folder = scene_folder(out, seed, annotated)
    if folder.exists():
        _check_same(folder, settings)
        on_frames(frames)
        return folder
    part = folder.with_name(f".{folder.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if annotated:
            write_label_table(out)
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        part.mkdir()
        frames = _rendered(settings, pool, jobs)
        _Writer(part, folder.name, Take(settings), annotated).write(frames, on_frames)
        part.rename(folder)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:
            reason = f"{os.strerror(error.errno)}; make room or choose another place"
            raise OSError(error.errno, f"{folder}: cannot be written: {reason}") from error
        raise
    return folder


def _check_same(folder: Path, settings: TakeSettings) -> None:
    path = folder / f"{folder.name}.{_SETTINGS}"
    try:
        there = json.loads(path.read_text())
    except (OSError, ValueError):
        there = None
    if there != json.loads(json.dumps(asdict(settings))):
        raise ValueError(f"{folder}: this scene is here with other settings; delete it or choose another place")


@lru_cache(maxsize=1)
def _take(settings: TakeSettings) -> Take:
    return Take(settings)


def _render(settings: TakeSettings, first: int, end: int) -> list[TakenFrame]:
    take = _take(settings)
    return [take.frame(index) for index in range(first, end)]


def _rendered(settings: TakeSettings, pool: Executor | None, jobs: int) -> Iterator[TakenFrame]:
    """All frames in order. The pool starts at once and is a few chunks ahead: never are all frames in memory."""
    chunks = [(first, min(first + _CHUNK, settings.frames)) for first in range(0, settings.frames, _CHUNK)]
    if pool is None:
        return chain.from_iterable(_render(settings, *chunk) for chunk in chunks)
    ahead = 2 * jobs
    under_way = deque(pool.submit(_render, settings, *chunk) for chunk in chunks[:ahead])
    return _collected(pool, settings, under_way, chunks[ahead:])


def _collected(
    pool: Executor, settings: TakeSettings, under_way: deque[Future[list[TakenFrame]]], waiting: list[tuple[int, int]]
) -> Iterator[TakenFrame]:
    try:
        for chunk in waiting:
            under_way.append(pool.submit(_render, settings, *chunk))
            yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


class _Writer:
    """Writes one scene's files into a folder that is not the scene's yet."""

    def __init__(self, folder: Path, name: str, take: Take, annotated: bool) -> None:
        self.folder, self.name, self.take, self.annotated = folder, name, take, annotated
        self.readings = imu_readings(take.walk, take.settings.frames / FRAMES_PER_SECOND, _START_US)

    def write(self, frames: Iterator[TakenFrame], on_frames: Callable[[int], object]) -> None:
        sightings = Sightings(fine_mesh(self.take.world), self.take.world, self.take.color_camera)
        pixels = self._recording(frames, sightings, on_frames)
        self._text()
        mesh, colors = sightings.mesh(np.flatnonzero(pixels))
        turn, shift = self.take.scan_from_layout[:3, :3], self.take.scan_from_layout[:3, 3]
        vertices = (mesh.vertices @ turn.T + shift).astype(np.float32)
        write_mesh(self._path("_vh_clean_2.ply"), Mesh(vertices, colors, mesh.faces))
        if self.annotated:
            self._annotation(mesh, vertices)
            self._questions(pixels)
        self._json(f".{_SETTINGS}", asdict(self.take.settings))

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.name}{ending}"

    def _json(self, ending: str, content: object) -> None:
        self._path(ending).write_text(json.dumps(content), encoding="utf-8")

    def _recording(
        self, frames: Iterator[TakenFrame], sightings: Sightings, on_frames: Callable[[int], object]
    ) -> np.ndarray:
        """The .sens and the pictures. Returns int64 [objects + 1]: of each object id, the pixels in its best frame."""
        take = self.take
        header = SensHeader(
            color_size=take.settings.color_size,
            depth_size=take.settings.depth_size,
            intrinsic_color=_matrix(take.color_camera),
            intrinsic_depth=_matrix(take.depth_camera),
            sensor_name="StructureSensor (calibrated)",
            depth_shift=DEPTH_SHIFT,
        )
        best = np.zeros(len(take.objects) + 1, np.int64)
        every = max(1, take.settings.frames // _LOOKS)
        with ExitStack() as stack:
            sens = stack.enter_context(SensWriter(self._path(".sens"), header))
            if self.annotated:
                labels, instances = (
                    stack.enter_context(ZipFile(self._path(f"_2d-{what}-filt.zip"), "w"))
                    for what in ("label", "instance")
                )
            for index, frame in enumerate(frames):
                stamp = _START_US + round(index * 1e6 / FRAMES_PER_SECOND)
                sens.add(frame.jpeg, frame.depth, take.camera_to_world(index), stamp, stamp)
                if self.annotated:  # ZipInfo of a name alone has a fixed date: equal scenes are equal files
                    labels.writestr(ZipInfo(f"label-filt/{index}.png"), frame.label_png)
                    instances.writestr(ZipInfo(f"instance-filt/{index}.png"), frame.instance_png)
                if index % every == 0 and take.has_pose[index]:
                    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
                    sightings.add(take.layout_pose(index), picture)
                best = np.maximum(best, frame.pixels)
                on_frames(1)
            sens.add_imu(self.readings)
        return best

    def _text(self) -> None:
        """The facts file. Its focal lengths and extrinsics are the raw device's: nobody may use them."""
        take = self.take
        raw = np.eye(4)
        raw[:3, 3] = 0.037, 0.002, -0.004
        facts: dict[str, object] = {"colorToDepthExtrinsics": _row(raw)}
        for what, camera in (("color", take.color_camera), ("depth", take.depth_camera)):
            facts[f"{what}Height"], facts[f"{what}Width"] = camera.height, camera.width
            facts[f"fx_{what}"], facts[f"fy_{what}"] = (f"{_RAW_FOCAL * f:.6f}" for f in (camera.fx, camera.fy))
            facts[f"mx_{what}"], facts[f"my_{what}"] = (f"{c:.6f}" for c in (camera.cx, camera.cy))
        facts["numColorFrames"] = facts["numDepthFrames"] = take.settings.frames
        facts["numIMUmeasurements"] = len(self.readings)
        if self.annotated:
            facts["axisAlignment"] = _row(np.linalg.inv(take.scan_from_layout))
            facts["sceneType"] = self._scene_type()
        lines = (f"{key} = {facts[key]}\n" for key in sorted(facts))
        self._path(".txt").write_text("".join(lines), encoding="ascii")

    def _scene_type(self) -> str:
        if self.take.layout.scene != "room":
            return "Misc."
        return "Bedroom / Hotel" if any(item.label == "bed" for item in self.take.objects) else "Living room / Lounge"

    def _annotation(self, mesh: ScanMesh, vertices: np.ndarray) -> None:
        pieces = segments(mesh)
        segs_name = f"{self.name}_vh_clean_2.0.010000.segs.json"
        params = {
            "kThresh": "0.0001",
            "segMinVerts": "20",
            "minPoints": "750",
            "maxPoints": "30000",
            "thinThresh": "0.05",
        }
        scene_id = f"scannet.{self.name}"
        self._json(
            "_vh_clean_2.0.010000.segs.json", {"params": params, "sceneId": scene_id, "segIndices": pieces.tolist()}
        )
        groups = [
            {"id": item.id - 1, "objectId": item.id - 1, "segments": own.tolist(), "label": item.label}
            for item in self.take.objects
            if len(own := np.unique(pieces[mesh.objects == item.id]))
        ]
        listed = {
            "sceneId": scene_id,
            "appId": "Aggregator.v2",
            "segGroups": groups,
            "segmentsFile": f"scannet.{segs_name}",
        }
        self._json(".aggregation.json", listed)
        classes = np.array([0, *(LABEL_ROWS[item.label].nyu40 for item in self.take.objects)], np.uint16)
        labels = classes[mesh.objects]
        write_mesh(self._path("_vh_clean_2.labels.ply"), Mesh(vertices, _class_colors()[labels], mesh.faces, labels))

    def _questions(self, pixels: np.ndarray) -> None:
        take = self.take
        rng = np.random.default_rng([take.settings.seed, len(take.objects)])
        size = take.color_camera.height, take.color_camera.width
        asked = ask_about_scene(take.objects, pixels, take.layout.scene, size, rng)
        questions = [SceneQuestion(self.name, q.text, q.targets, q.kind) for q in asked]
        write_questions(self.folder / "questions.jsonl", questions)


def _matrix(camera: Camera) -> np.ndarray:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = camera.matrix
    return matrix


def _row(matrix: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in matrix.ravel())


@lru_cache(maxsize=1)
def _class_colors() -> np.ndarray:
    """uint8 [41,3]: a colour for each nyu40 id, black for 0; hues a golden angle apart, so that neighbours differ."""
    hues = (np.arange(41) * 137.508 % 360 / 2).astype(np.uint8)
    hsv = np.stack([hues, np.full(41, 140, np.uint8), np.full(41, 225, np.uint8)], -1)[None]
    colors = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    colors[0] = 0
    return colors
