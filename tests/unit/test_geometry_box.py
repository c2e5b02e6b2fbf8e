"""Oriented boxes and PLY files."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_scene import BOX, make_scene
from scipy.spatial.transform import Rotation

from lisa_ros.geometry import Cloud, lift, oriented_box, read_ply, write_ply


def full_box(rng, size, rotation, center, count=20000):
    points = rng.uniform(-0.5, 0.5, (count, 3))
    face = rng.integers(0, 3, count)
    points[np.arange(count), face] = np.sign(points[np.arange(count), face]) / 2
    return (points * size) @ rotation.T + center


@pytest.mark.parametrize("seed", range(4))
def test_box_of_a_turned_box(seed):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    size, center = np.array([0.5, 0.3, 0.12]), np.array([0.3, -0.2, 1.5])
    box = oriented_box(full_box(rng, size, rotation, center) + rng.normal(0, 0.002, (20000, 3)))
    assert np.allclose(box.size, size, atol=0.012)
    assert np.allclose(box.center, center, atol=0.005)
    assert (np.abs((rotation * box.rotation).sum(axis=0)) > np.cos(np.deg2rad(2))).all()


def test_box_is_right_handed_ordered_and_repeatable():
    points = full_box(np.random.default_rng(0), [0.2, 0.4, 0.3], np.eye(3), [0, 0, 1])
    box, again = oriented_box(points), oriented_box(points.astype(np.float32).astype(np.float64).copy())
    assert np.isclose(np.linalg.det(box.rotation), 1.0)
    assert np.allclose(box.rotation.T @ box.rotation, np.eye(3))
    assert box.size[0] >= box.size[1] >= box.size[2]
    assert np.allclose(box.rotation, again.rotation, atol=1e-4)
    for axis in box.rotation.T[:2]:
        assert axis[np.argmax(np.abs(axis))] > 0


def test_corners_and_quaternion_say_the_same_box():
    rotation = Rotation.random(random_state=1).as_matrix()
    box = oriented_box(full_box(np.random.default_rng(1), [0.4, 0.3, 0.1], rotation, [0, 0, 1]))
    turned = Rotation.from_quat(box.quaternion())
    assert np.allclose(turned.as_matrix(), box.rotation) and box.quaternion()[3] >= 0
    corners = box.corners()
    assert np.allclose(corners.mean(axis=0), box.center)
    assert np.allclose(corners[1] - corners[0], box.rotation[:, 0] * box.size[0])
    assert np.allclose(corners[4] - corners[0], box.rotation[:, 2] * box.size[2])


def test_a_few_wrong_points_do_not_move_the_box():
    rng = np.random.default_rng(2)
    points = full_box(rng, [0.4, 0.3, 0.1], np.eye(3), [0, 0, 1])
    wild = np.concatenate([points, rng.uniform(-2, 2, (40, 3)) + [0, 0, 2]])
    rng.shuffle(wild)
    assert np.allclose(oriented_box(wild).size, [0.4, 0.3, 0.1], atol=0.03)


def test_box_of_a_lifted_view():
    scene = make_scene(1, distance=1.3)
    box = oriented_box(lift(scene.label == BOX, scene.depth, scene.camera).points)
    order = np.argsort(-scene.box_size)
    assert np.allclose(box.size, scene.box_size[order], atol=0.02)
    assert np.allclose(box.center, scene.box_center, atol=0.02)


@pytest.mark.parametrize(
    "points, size",
    [
        ([[1, 2, 3]], [0, 0, 0]),
        ([[0, 0, 1], [0, 2, 1]], [2, 0, 0]),
        ([[0, 0, 1], [0, 2, 1], [1, 0, 1], [1, 2, 1]], [2, 1, 0]),
        ([[x, y, 1] for x in range(5) for y in range(3)], [4, 2, 0]),
    ],
)
def test_boxes_of_points_lines_and_sheets(points, size):
    box = oriented_box(np.array(points, np.float32))
    assert np.allclose(box.size, size, atol=0.03) and np.isclose(np.linalg.det(box.rotation), 1.0)


def test_no_points_no_box():
    with pytest.raises(ValueError, match="N >= 1"):
        oriented_box(np.zeros((0, 3)))


def test_ply_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    cloud = Cloud(rng.normal(size=(100, 3)).astype(np.float32), rng.integers(0, 256, (100, 3)).astype(np.uint8))
    write_ply(tmp_path / "a.ply", cloud)
    again = read_ply(tmp_path / "a.ply")
    assert (again.points == cloud.points).all() and (again.colors == cloud.colors).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]
    write_ply(tmp_path / "empty.ply", Cloud.empty())
    assert len(read_ply(tmp_path / "empty.ply")) == 0


def test_ply_is_readable_by_open3d(tmp_path):
    o3d = pytest.importorskip("open3d")
    cloud = Cloud(np.array([[0, 1, 2], [3, 4, 5]], np.float32), np.array([[255, 0, 0], [0, 51, 255]], np.uint8))
    write_ply(tmp_path / "a.ply", cloud)
    read = o3d.io.read_point_cloud(str(tmp_path / "a.ply"))
    assert np.allclose(np.asarray(read.points), cloud.points)
    assert np.allclose(np.asarray(read.colors) * 255, cloud.colors)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ply"
    write_ply(path, Cloud(np.ones((2, 3), np.float32), np.ones((2, 3), np.uint8)))
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_ply(path, Cloud.empty())
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_cut_ply_is_refused(tmp_path):
    path = tmp_path / "a.ply"
    write_ply(path, Cloud(np.ones((5, 3), np.float32), np.ones((5, 3), np.uint8)))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut short"):
        read_ply(path)


def test_cloud_refuses_unequal_lengths():
    with pytest.raises(ValueError):
        Cloud(np.zeros((3, 3), np.float32), np.zeros((2, 3), np.uint8))
