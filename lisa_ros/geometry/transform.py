"""Where one frame lies in another: a rotation and a shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from lisa_ros.geometry.box import OrientedBox, signed
from lisa_ros.geometry.cloud import Cloud

UNIT_TOLERANCE = 0.01
"""By how much the square of a quaternion's length may differ from 1, as in tf2."""

_ORTHOGONAL_TOLERANCE = 1e-6


def is_unit(quaternion: Sequence[float]) -> bool:
    """Whether four numbers are a rotation: of length 1 within UNIT_TOLERANCE (so neither NaN nor inf nor all zero)."""
    x, y, z, w = quaternion
    return abs(x * x + y * y + z * z + w * w - 1.0) < UNIT_TOLERANCE


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """rotation: float64 [3,3]. translation: float64 [3], metres. Neither can be changed.

    A variable that holds one is called target_from_source: it takes a point's coordinates in the source frame to those
    in the target frame, p_target = rotation @ p_source + translation. So translation is where the source's origin lies
    in the target frame, and a_from_b @ b_from_c is a_from_c. Raises `ValueError` for what is no rotation (not
    orthogonal, mirrored) and for numbers that are not finite.
    """

    rotation: np.ndarray
    translation: np.ndarray

    def __post_init__(self) -> None:
        for name, shape in (("rotation", (3, 3)), ("translation", (3,))):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != shape:
                raise ValueError(f"a transform's {name} must be {list(shape)}, got {list(value.shape)}")
            if not np.isfinite(value).all():
                raise ValueError(f"a transform's {name} must be finite, got {value.tolist()}")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        off = np.abs(self.rotation @ self.rotation.T - np.eye(3)).max()
        if off > _ORTHOGONAL_TOLERANCE or np.linalg.det(self.rotation) < 0.0:
            raise ValueError(f"not a rotation matrix: {self.rotation.tolist()}")

    @classmethod
    def identity(cls) -> RigidTransform:
        """From a frame to itself."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, quaternion: Sequence[float], translation: Sequence[float]) -> RigidTransform:
        """From x, y, z, w (the order of ROS messages) and metres.

        A length that is a little off 1 is corrected; one that is farther off than UNIT_TOLERANCE, or NaN, raises
        `ValueError`: such a message was filled in wrongly.
        """
        if not is_unit(quaternion):
            raise ValueError(f"not a unit quaternion (x, y, z, w): {[float(value) for value in quaternion]}")
        return cls(Rotation.from_quat(quaternion).as_matrix(), np.asarray(translation, np.float64))

    def quaternion(self) -> np.ndarray:
        """The rotation as x, y, z, w with w >= 0, float64 [4]."""
        return Rotation.from_matrix(self.rotation).as_quat(canonical=True)

    def __matmul__(self, other: RigidTransform) -> RigidTransform:
        """a_from_b @ b_from_c: a_from_c."""
        return RigidTransform(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def inverse(self) -> RigidTransform:
        """source_from_target."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation)

    def interpolated(self, other: RigidTransform, share: float) -> RigidTransform:
        """On the way from this transform (share 0) to another one (share 1): position along the straight line, rotation
        at constant speed about one axis, the shorter way round (slerp).
        """
        turn = Rotation.from_matrix(self.rotation.T @ other.rotation).as_rotvec()
        rotation = self.rotation @ Rotation.from_rotvec(share * turn).as_matrix()
        return RigidTransform(rotation, (1.0 - share) * self.translation + share * other.translation)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points [N,3] of the source frame in the target frame, float32 [N,3]. NaN stays NaN."""
        return (points.astype(np.float64) @ self.rotation.T + self.translation).astype(np.float32)

    def cloud(self, cloud: Cloud) -> Cloud:
        """A cloud of the source frame in the target frame; the colours are shared."""
        return Cloud(self.points(cloud.points), cloud.colors)

    def box(self, box: OrientedBox) -> OrientedBox:
        """A box of the source frame in the target frame: the same box, its axes pointing as OrientedBox promises."""
        return OrientedBox(
            center=self.rotation @ box.center + self.translation,
            rotation=signed(self.rotation @ box.rotation),
            size=box.size.copy(),
        )
