"""One ScanNet scan: a folder of files called after it, each read when asked for.

`scans/scene0000_00/` holds `scene0000_00.sens`, `.txt`, meshes, annotation and pictures; scans of the test set
(`scans_test/`) have only the first two and the meshes.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from scannet_tools.annotation import Annotation, read_annotation
from scannet_tools.label_map import LabelMap, find_label_map
from scannet_tools.mesh import Mesh, read_mesh
from scannet_tools.truth_pictures import TruthPictures

if TYPE_CHECKING:
    from scannet_tools.sens import SensFile

_MESH = "_vh_clean_2.ply"
_LABELS = "_vh_clean_2.labels.ply"
_SEGS = "_vh_clean_2.0.010000.segs.json"
_AGGREGATION = ".aggregation.json"
_OWN_FILES = (".sens", ".txt", _MESH)
"""A folder that holds one of these, called after it, is a scene's."""

_WRONG_LABELS = {("scene0270_00", 50): 39, ("scene0270_02", 50): 39, ("scene0384_00", 149): 39}
"""Labels files with ids of another table in them: (scene, what stands there) -> nyu40 id. ScanNet's issue 86."""

_SAMPLED_PICTURES = 12
_AGREEING_SHARE = 0.5
"""Of the pixels with an object, so many must carry its label in the label picture. Filtering both pictures apart makes
them differ by a few percent along edges; ids that count another file's objects agree by chance only."""

_ASPECT_TOLERANCE = 0.02


class Scene:
    """folder: the scene's; name: its last part, e.g. "scene0000_00". Nothing is read yet."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = Path(os.path.abspath(self.folder)).name

    def __repr__(self) -> str:
        return f"Scene({str(self.folder)!r})"

    @property
    def sens_path(self) -> Path:
        """The recording; it need not be there."""
        return self._path(".sens")

    def open_sens(self) -> SensFile:
        """The recording. See `SensFile` for what it raises."""
        from scannet_tools.sens import SensFile

        return SensFile(self.sens_path)

    @cached_property
    def text(self) -> dict[str, str]:
        """The lines `key = value` of `<scene>.txt` as they stand; empty without the file.

        The cameras in it are the device's own, of before it was calibrated: those of the `.sens` are right.
        """
        try:
            lines = self._path(".txt").read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.partition("=") for line in lines)
        return {key.strip(): value.strip() for key, equals, value in pairs if equals}

    @property
    def axis_alignment(self) -> np.ndarray | None:
        """float64 [4,4], from the mesh's frame to one with the walls along x and y; None for scans of the test set.

        For showing only: everything else here, and every score, is in the mesh's own frame.

        Raises:
            ValueError: the line is damaged; names the file.
        """
        value = self.text.get("axisAlignment")
        if value is None:
            return None
        try:
            matrix = np.array([float(number) for number in value.split()]).reshape(4, 4)
        except ValueError:
            matrix = None
        if matrix is None or not np.isfinite(matrix).all():
            raise ValueError(
                f"{self._path('.txt')}: axisAlignment must be 16 numbers, row by row; it is '{value[:60]}'"
            )
        return matrix

    @property
    def scene_type(self) -> str:
        """Such as "Bedroom / Hotel"; "" for scans of the test set."""
        return self.text.get("sceneType", "")

    @property
    def annotated(self) -> bool:
        """Whether objects are annotated; scans of the test set are not."""
        return self._path(_AGGREGATION).is_file() and self._path(_SEGS).is_file()

    def mesh(self) -> Mesh:
        """The mesh of the benchmarks, `_vh_clean_2.ply`, with the labels of `_vh_clean_2.labels.ply` if there is one.

        Raises:
            FileNotFoundError, OSError: it cannot be read.
            ValueError: a file is damaged, or the two do not belong together; names the file.
        """
        mesh = read_mesh(self._path(_MESH))
        path = self._path(_LABELS)
        if not path.is_file():
            return mesh
        labelled = read_mesh(path)
        if labelled.labels is None:
            raise ValueError(f"{path}: its vertices have no property 'label'")
        if len(labelled) != len(mesh):
            raise ValueError(
                f"{path}: {len(labelled)} vertices, and {self._path(_MESH).name} has {len(mesh)}: not of the same mesh"
            )
        labels = labelled.labels
        for (scene, wrong), right in _WRONG_LABELS.items():
            if scene == self.name:
                labels = np.where(labels == wrong, np.uint16(right), labels)
        return Mesh(mesh.vertices, mesh.colors, mesh.faces, labels)

    def annotation(self, vertex_count: int | None = None) -> Annotation:
        """The objects of the mesh that `mesh()` reads. vertex_count: of that mesh, checked where given.

        Raises:
            FileNotFoundError, OSError: a file is missing (a scan of the test set?) or cannot be read.
            ValueError: a file is damaged or belongs to another mesh; names the file.
        """
        for ending in (_AGGREGATION, _SEGS):
            if not self._path(ending).is_file():
                raise FileNotFoundError(f"{self._path(ending)}: no such file. {self._why_not_annotated()}")
        return read_annotation(self._path(_AGGREGATION), self._path(_SEGS), vertex_count)

    def label_image(self, number: int, size: tuple[int, int] | None = None) -> np.ndarray | None:
        """uint16 [H,W]: the label map's id at each pixel of frame `number`, 0 = none; None: no picture of that frame.

        size: (width, height) that it is wanted in, e.g. the colour picture's; without it, it comes as it is stored.

        Raises:
            OSError, ValueError: it cannot be read, or has other proportions than `size`; names the file.
        """
        return self._sized(self._labels, number, size)

    def instance_image(self, number: int, size: tuple[int, int] | None = None) -> np.ndarray | None:
        """uint16 [H,W]: the object's id at each pixel of frame `number`, 0 = none; None: no picture of that frame.

        The ids are those of `annotation()`. size: as of `label_image`. Where a label map is found beside the scene, a
        dozen pictures of both kinds are compared first: which of the two aggregation files they count is disputed.

        Raises:
            OSError, ValueError: as `label_image`; the annotation cannot be read; or the pictures do not fit to it.
        """
        picture = self._sized(self._instances, number, size)
        return None if picture is None else self._object_of_value[picture]

    def pictures_agree(self, label_map: LabelMap) -> float:
        """Share of the pixels with an object that have its label in the label picture; NaN without such pixels.

        Looks at a dozen frames.

        Raises:
            OSError, ValueError: a file cannot be read.
        """
        annotation = self.annotation()
        label_of_object, object_of_value = annotation.object_classes(label_map.tsv_id), _object_of_value(annotation)
        both = sorted(set(self._labels.numbers()) & set(self._instances.numbers()))
        chosen = (
            sorted({both[int(place)] for place in np.linspace(0, len(both) - 1, _SAMPLED_PICTURES)}) if both else []
        )
        agreeing = compared = 0
        for number in chosen:
            labels, values = self._labels.read(number), self._instances.read(number)
            if labels.shape != values.shape:
                raise ValueError(
                    f"{self.folder}: the label and the instance picture of frame {number} have different sizes"
                )
            objects = object_of_value[values]
            compared += int(np.count_nonzero(values))
            agreeing += int(np.count_nonzero((objects > 0) & (label_of_object[objects] == labels)))
        return agreeing / compared if compared else float("nan")

    @cached_property
    def _labels(self) -> TruthPictures:
        return TruthPictures(self.folder, self.name, "label")

    @cached_property
    def _instances(self) -> TruthPictures:
        return TruthPictures(self.folder, self.name, "instance")

    @cached_property
    def _object_of_value(self) -> np.ndarray:
        """uint16 [65536]: value in an instance picture -> object id, once it is known that the two belong together."""
        tsv = find_label_map(self.folder)
        if tsv is not None:
            share = self.pictures_agree(LabelMap.read(tsv))
            if share < _AGREEING_SHARE:
                raise ValueError(
                    f"{self._instances.archive}: only {share:.0%} of its pixels carry the label of the object that "
                    f"they name, so they count the objects of another file than {self._path(_AGGREGATION).name}; "
                    "render the truth from the mesh instead"
                )
        return _object_of_value(self.annotation())

    def _sized(self, pictures: TruthPictures, number: int, size: tuple[int, int] | None) -> np.ndarray | None:
        picture = pictures.read(number)
        if picture is None or size is None or picture.shape == (size[1], size[0]):
            return picture
        height, width = picture.shape
        if abs(width * size[1] / (height * size[0]) - 1) > _ASPECT_TOLERANCE:
            raise ValueError(
                f"{pictures.archive}: the picture of frame {number} has {width}x{height} pixels, which are other "
                f"proportions than {size[0]}x{size[1]}"
            )
        return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST_EXACT)

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.name}{ending}"

    def _why_not_annotated(self) -> str:
        if self._path("_vh_clean.aggregation.json").is_file() or self._path("_vh_clean.segs.json").is_file():
            return (
                f"{self.name}_vh_clean.aggregation.json and {self.name}_vh_clean.segs.json are for the mesh of full "
                "resolution; download the others too"
            )
        return "A scan of the test set has no annotation; take one of the folder scans"


def _object_of_value(annotation: Annotation) -> np.ndarray:
    objects = np.zeros(1 << 16, np.uint16)
    for value, number in annotation.picture_objects.items():
        if 0 <= value < len(objects):
            objects[value] = number
    return objects


def find_scenes(path: str | Path) -> list[Scene]:
    """The scenes of a folder, by name: the folder itself, those in it, or those in its `scans` and `scans_test`.

    Raises:
        FileNotFoundError: there is no such folder, or no scene in it.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; give a scene's folder or one that holds scenes")
    if _is_scene(path):
        return [Scene(path)]
    for places in ((path,), (path / "scans", path / "scans_test")):
        folders = (folder for place in places if place.is_dir() for folder in place.iterdir() if folder.is_dir())
        scenes = sorted((Scene(folder) for folder in folders if _is_scene(folder)), key=lambda scene: scene.name)
        if scenes:
            return scenes
    raise FileNotFoundError(
        f"{path}: no scene in it: a scene is a folder whose files are called after it, such as "
        "scene0000_00/scene0000_00.sens"
    )


def _is_scene(folder: Path) -> bool:
    name = Path(os.path.abspath(folder)).name
    return any((folder / f"{name}{ending}").is_file() for ending in _OWN_FILES)
