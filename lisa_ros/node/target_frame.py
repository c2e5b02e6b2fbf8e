"""The frame that a request wants its 3D values in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from std_msgs.msg import Header

from lisa_ros.geometry import Frame
from lisa_ros.node.transform_buffer import NoTransform
from lisa_ros.node.transforms import Transforms
from lisa_ros.perception import PerceivedInstance, Perception, Status


class TargetFrame:
    """Looked up at the stamp of the image: at construction, and once more, for as long as `timeout`, when an answer is
    placed and the transform was not there yet.

    name: frame of the placed values; the optical frame as long as nothing was transformed.
    """

    def __init__(
        self,
        wanted: str,
        frame: Frame,
        transforms: Transforms | None,
        *,
        timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        self.name = frame.frame_id
        self._wanted, self._frame = wanted, frame
        self._transforms, self._timeout, self._should_stop = transforms, timeout, should_stop
        self._transform = None
        if self.moves():
            try:
                self._transform = self._look_up(0.0)
            except NoTransform:
                pass  # it may come while the model is at work

    def moves(self) -> bool:
        """Whether the frame is another one than the optical frame."""
        return self._wanted not in ("", self._frame.frame_id)

    def place(self, perception: Perception) -> None:
        """Move an answer's points and boxes into the frame; without a transform they go, and status and message say so."""
        lifted = [instance for instance in perception.instances if instance.cloud is not None]
        if not lifted:
            return
        try:
            transform = self._transform or self._look_up(self._timeout)
        except NoTransform as error:
            perception.status, perception.message = Status.NO_TRANSFORM, f"{error}; the mask is published"
            perception.instances = [_unlifted(instance) for instance in perception.instances]
            return
        self.name = self._wanted
        for instance in lifted:
            instance.cloud = transform.cloud(instance.cloud)
            if instance.box is not None:
                instance.box = transform.box(instance.box)
                instance.centroid = transform.points(instance.centroid[None])[0]

    def header(self, header: Header) -> Header:
        """A header for the placed values: the stamp of the image, this frame."""
        return Header(stamp=header.stamp, frame_id=self.name)

    def _look_up(self, timeout: float):
        if self._transforms is None:
            raise NoTransform(f'no transform from "{self._frame.frame_id}" to "{self._wanted}": the node is not active')
        return self._transforms.lookup(
            self._wanted, self._frame.frame_id, self._frame.stamp_ns, timeout=timeout, should_stop=self._should_stop
        )


def _unlifted(instance: PerceivedInstance) -> PerceivedInstance:
    return replace(instance, cloud=None, centroid=None, box=None, status_3d="NO_DEPTH")
