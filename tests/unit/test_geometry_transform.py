"""Rigid transforms: known ones by hand, many random ones against products of 4x4 matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from lisa_ros.geometry import Cloud, OrientedBox, RigidTransform, oriented_box

HALF = math.sqrt(0.5)
QUARTER_TURN_Z = (0.0, 0.0, HALF, HALF)  # x goes to y, y to -x
OPTICAL_IN_BODY = (-0.5, 0.5, -0.5, 0.5)  # REP-103: z forward, x right, y down in x forward, y left, z up


def random_transform(rng: np.random.Generator) -> RigidTransform:
    return RigidTransform.from_quaternion(Rotation.random(random_state=rng).as_quat(), rng.normal(size=3) * 5.0)


def matrix(transform: RigidTransform) -> np.ndarray:
    full = np.eye(4)
    full[:3, :3], full[:3, 3] = transform.rotation, transform.translation
    return full


def same(a: RigidTransform, b: RigidTransform) -> bool:
    return np.allclose(matrix(a), matrix(b), atol=1e-12)


# ---- known ones ----
def test_a_quarter_turn_and_a_shift():
    target_from_source = RigidTransform.from_quaternion(QUARTER_TURN_Z, [10.0, 0.0, 1.0])
    moved = target_from_source.points(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32))
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, [[10, 1, 1], [9, 0, 1], [10, 0, 2]], atol=1e-6)


def test_the_optical_frame_in_the_body_frame():
    """What lies 2 m ahead, 1 m to the right and 0.5 m below the camera."""
    body_from_optical = RigidTransform.from_quaternion(OPTICAL_IN_BODY, [0.0, 0.0, 0.0])
    np.testing.assert_allclose(body_from_optical.points(np.array([[1.0, 0.5, 2.0]])), [[2.0, -1.0, -0.5]], atol=1e-6)


def test_half_way():
    start = RigidTransform.identity()
    end = RigidTransform.from_quaternion(QUARTER_TURN_Z, [2.0, 4.0, 0.0])
    half = start.interpolated(end, 0.5)
    np.testing.assert_allclose(half.quaternion(), [0, 0, math.sin(math.pi / 8), math.cos(math.pi / 8)], atol=1e-12)
    np.testing.assert_allclose(half.translation, [1.0, 2.0, 0.0])
    assert same(start.interpolated(end, 0.0), start) and same(start.interpolated(end, 1.0), end)


def test_interpolation_takes_the_shorter_way():
    """350 degrees and 10 degrees: 0 degrees lies between, not 180, whatever the signs of the quaternions."""
    def turn(degrees):
        return RigidTransform(Rotation.from_euler("z", degrees, degrees=True).as_matrix(), [0, 0, 0])

    assert same(turn(350).interpolated(turn(10), 0.5), turn(0))
    q = np.array(QUARTER_TURN_Z)
    assert same(RigidTransform.from_quaternion(q, [0, 0, 0]), RigidTransform.from_quaternion(-q, [0, 0, 0]))


# ---- random ones ----
@pytest.mark.parametrize("seed", range(20))
def test_against_matrices(seed):
    rng = np.random.default_rng(seed)
    a, b = random_transform(rng), random_transform(rng)
    np.testing.assert_allclose(matrix(a @ b), matrix(a) @ matrix(b), atol=1e-12)
    np.testing.assert_allclose(matrix(a.inverse()), np.linalg.inv(matrix(a)), atol=1e-12)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    expected = (matrix(a) @ np.c_[points, np.ones(50)].T).T[:, :3]
    np.testing.assert_allclose(a.points(points), expected, atol=1e-5)
    assert same(RigidTransform.from_quaternion(a.quaternion(), a.translation), a) and a.quaternion()[3] >= 0.0
    share = rng.uniform()
    between = Slerp([0, 1], Rotation.from_matrix([a.rotation, b.rotation]))(share).as_matrix()
    np.testing.assert_allclose(a.interpolated(b, share).rotation, between, atol=1e-9)


# ---- clouds and boxes ----
def test_a_cloud_keeps_its_colours():
    cloud = Cloud(np.array([[1, 2, 3]], np.float32), np.array([[9, 8, 7]], np.uint8))
    moved = RigidTransform(np.eye(3), [1, 1, 1]).cloud(cloud)
    np.testing.assert_array_equal(moved.points, [[2, 3, 4]])
    np.testing.assert_array_equal(moved.colors, [[9, 8, 7]])
    np.testing.assert_array_equal(cloud.points, [[1, 2, 3]])
    assert len(RigidTransform.identity().cloud(Cloud.empty())) == 0


@pytest.mark.parametrize("seed", range(10))
def test_a_box_stays_around_its_points(seed):
    rng = np.random.default_rng(seed)
    points = (rng.uniform(-1, 1, size=(400, 3)) * [0.3, 0.2, 0.1]).astype(np.float32)
    box, transform = oriented_box(points), random_transform(rng)
    moved = transform.box(box)
    expected = transform.points(box.corners())
    for corner in moved.corners():
        assert np.linalg.norm(expected - corner, axis=1).min() < 1e-5
    np.testing.assert_array_equal(moved.size, box.size)
    assert np.linalg.det(moved.rotation) > 0.0
    for axis in moved.rotation.T[:2]:
        assert axis[np.argmax(np.abs(axis))] > 0.0, "equal clouds would give boxes of other signs"


def test_a_box_is_not_changed_in_place():
    box = OrientedBox(np.zeros(3), np.eye(3), np.array([3.0, 2.0, 1.0]))
    RigidTransform.from_quaternion(QUARTER_TURN_Z, [1, 1, 1]).box(box).size[0] = 9.0
    np.testing.assert_array_equal(box.size, [3, 2, 1])
    np.testing.assert_array_equal(box.center, [0, 0, 0])


# ---- what is refused ----
@pytest.mark.parametrize(
    "quaternion", [(0, 0, 0, 0), (0, 0, 0, 2), (math.nan, 0, 0, 1), (math.inf, 0, 0, 1), (0.5, 0.5, 0.5, 0.4)]
)
def test_what_is_no_unit_quaternion(quaternion):
    with pytest.raises(ValueError, match="not a unit quaternion"):
        RigidTransform.from_quaternion(quaternion, [0, 0, 0])


def test_a_small_deviation_is_corrected():
    """A float32 publisher, or one that rounds to three digits."""
    transform = RigidTransform.from_quaternion((0.0, 0.0, 0.709, 0.709), [0, 0, 0])
    np.testing.assert_allclose(transform.quaternion(), QUARTER_TURN_Z, atol=1e-12)


@pytest.mark.parametrize("translation", [(math.nan, 0, 0), (0, math.inf, 0)])
def test_a_translation_is_finite(translation):
    with pytest.raises(ValueError, match="translation must be finite"):
        RigidTransform.from_quaternion((0, 0, 0, 1), translation)


@pytest.mark.parametrize("rotation", [np.diag([1.0, 1.0, -1.0]), np.eye(3) * 2.0, np.zeros((3, 3))])
def test_what_is_no_rotation(rotation):
    with pytest.raises(ValueError, match="not a rotation matrix"):
        RigidTransform(rotation, [0, 0, 0])


def test_shapes():
    with pytest.raises(ValueError, match=r"rotation must be \[3, 3\], got \[2, 2\]"):
        RigidTransform(np.eye(2), [0, 0, 0])
    with pytest.raises(ValueError, match=r"translation must be \[3\], got \[4\]"):
        RigidTransform(np.eye(3), [0, 0, 0, 1])


def test_it_cannot_be_changed():
    rotation = np.eye(3)
    transform = RigidTransform(rotation, [0, 0, 0])
    rotation[0, 0] = 5.0
    assert transform.rotation[0, 0] == 1.0
    with pytest.raises(ValueError):
        transform.translation[0] = 1.0
