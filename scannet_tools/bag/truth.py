"""Ground truth of a frame for the bag: ScanNet's own pictures, or rendered from the annotated mesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scannet_tools.scene import Scene

if TYPE_CHECKING:
    from scannet_tools.sens import SensFile

TRUTHS = ("pictures", "rendered")


class Truth(Protocol):
    """Answers for one frame after the other, never for two at once."""

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(object ids, the label map's ids), uint16 [H,W] each, 0 = none, of frame `number` at the colour's size.

        Raises:
            OSError, ValueError: a file cannot be read or has nothing about this frame; names it.
        """


def open_truth(kind: str, scene: Scene, sens: SensFile) -> Truth:
    """kind: "pictures" (`<scene>_2d-instance-filt.zip` and `..label-filt.zip`) or "rendered".

    Raises:
        OSError, ValueError, ImportError: what it takes is not there; says which file.
    """
    return _Pictures(scene, sens) if kind == "pictures" else _Rendered(scene, sens)


class _Pictures:
    def __init__(self, scene: Scene, sens: SensFile) -> None:
        self._scene, self._size = scene, sens.color_size

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        instances = self._scene.instance_image(number, self._size)
        labels = self._scene.label_image(number, self._size)
        for kind, picture in (("instance", instances), ("label", labels)):
            if picture is None:
                raise ValueError(
                    f"{self._scene.folder}: no {kind} picture of frame {number} "
                    f"({self._scene.name}_2d-{kind}-filt.zip); add it, or take the rendered truth"
                )
        return instances, labels


class _Rendered:
    def __init__(self, scene: Scene, sens: SensFile) -> None:
        from scannet_tools.label_map import LabelMap, find_label_map
        from scannet_tools.truth import VertexRenderer

        tsv = find_label_map(scene.folder)
        if tsv is None:
            raise ValueError(
                f"{scene.folder}: no scannetv2-labels.combined.tsv in the folders above it; labels need its ids"
            )
        mesh = scene.mesh()
        annotation = scene.annotation(len(mesh))
        self._renderer = VertexRenderer(mesh, annotation)
        self._label_of_object = annotation.object_classes(LabelMap.read(Path(tsv)).tsv_id).astype(np.uint16)
        self._sens = sens

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        frame = self._sens.frame(number)
        instances = self._renderer.instances(self._sens.color_camera, frame.camera_to_world, frame.depth())
        return instances, self._label_of_object[instances]
