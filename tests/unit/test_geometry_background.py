"""A whole frame as points: without the target for octomaps, labelled for grasp nets; on scenes of known answer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from analytic_scene import BOX, FLOOR, POLE, SPHERE, WALL, make_scene
from scipy.spatial import cKDTree

from lisa_ros.geometry import Camera, background, lift, resample, scene

FLAT = Camera(500.0, 500.0, 79.5, 59.5, 160, 120)


def card(near: float = 1.0, far: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """(depth, mask) of a card of 40 x 40 pixels in front of a wall, seen by FLAT without noise."""
    depth, mask = np.full((120, 160), far, np.float32), np.zeros((120, 160), bool)
    mask[40:80, 60:100] = True
    depth[mask] = near
    return depth, mask


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask larger (or, with negative pixels, smaller) by so many pixels."""
    cell = np.ones((2 * abs(pixels) + 1, 2 * abs(pixels) + 1))
    change = cv2.dilate if pixels > 0 else cv2.erode
    return change(mask.astype(np.uint8), cell).astype(bool)


def seen_at(cloud, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the camera's pixels that the points lie at."""
    columns, rows = np.rint(camera.project(cloud.points)).astype(int).T
    return rows, columns


@pytest.mark.parametrize("pixels", [-2, 0, 3])
@pytest.mark.parametrize("label", [SPHERE, BOX])
def test_nothing_near_the_target_is_left_and_everything_else_is(label, pixels):
    view = make_scene(3, distance=1.0)
    mask = view.label == label
    cloud = background([grown(mask, pixels) if pixels else mask], view.depth, view.camera)
    true = view.camera.back_project(view.depth_true)
    target, rest = true[mask], true[~mask & (view.depth_true > 0)]
    # the margin holds from the surface as it was measured, which its noise of 2 mm moves
    assert cKDTree(target).query(cloud.points)[0].min() > 0.03 - 0.01
    distance = cKDTree(target).query(rest)[0]
    left = cKDTree(cloud.points).query(rest[distance > 0.07])[0]
    assert np.percentile(left, 99.5) < 0.03 + 0.005  # a voxel's diagonal, and noise
    labels = view.label[seen_at(cloud, view.camera)]
    assert (labels == WALL).sum() > 500 and (labels == FLOOR).sum() > 500


def test_no_flying_pixels_are_left_around_the_target():
    """Between the target's outline and the wall behind it a sensor invents points."""
    view = make_scene(5, distance=1.0)
    mask = view.label == SPHERE
    real = cKDTree(view.camera.back_project(view.depth_true)[view.depth_true > 0])

    def invented(cloud) -> int:
        around = grown(mask, 15)[seen_at(cloud, view.camera)]
        return int((real.query(cloud.points[around])[0] > 0.05).sum())

    everything = background([], view.depth, view.camera)
    # even when the mask stops short of the outline
    for asked in (mask, grown(mask, -2)):
        cloud = background([asked], view.depth, view.camera)
        assert invented(everything) > 20 and invented(cloud) <= 0.03 * invented(everything)


def test_the_wall_is_left_right_beside_the_target():
    depth, mask = card()
    cloud = background([mask], depth, FLAT, voxel=0)
    rows, columns = seen_at(cloud, FLAT)
    assert (cloud.points[:, 2] == 2.0).all()
    # the margin would be 15 pixels at the card's depth; the wall, a metre behind, keeps all but the edge's own pixels
    columns = columns[rows == 60]
    assert columns[columns < 80].max() == 59 - 3 and columns[columns > 80].min() == 100 + 3
    assert len(cloud) == 120 * 160 - 46 * 46


def test_flying_pixels_go_and_the_wall_stays_where_the_mask_stops_short_of_the_outline():
    depth, mask = card()
    depth[40:80, 100] = 1.5  # the column between front and back
    cloud = background([grown(mask, -6)], depth, FLAT, voxel=0)
    assert (cloud.points[:, 2] == 2.0).all()
    rows, columns = seen_at(cloud, FLAT)
    columns = columns[rows == 60]  # the first pixel behind an edge goes
    assert columns[columns < 80].max() == 58 and columns[columns > 80].min() == 102


def test_the_margin_is_measured_in_space():
    depth, mask = card(far=1.0)  # in one plane with what is around it
    for margin in (0.0, 0.02, 0.05):
        cloud = background([mask], depth, FLAT, margin=margin, voxel=0)
        distance = cKDTree(FLAT.back_project(depth)[mask]).query(cloud.points)[0]
        pixel = 1.0 / 500.0
        assert margin < distance.min() <= 1.25 * margin + 2 * pixel


def test_an_obstacle_in_front_is_left():
    """A pole before the sphere stays whole, in all its width: the planner must go round it."""
    view = make_scene(5, distance=1.0, pole=True)
    pole = view.label == POLE
    cloud = background([view.label == SPHERE], view.depth, view.camera, voxel=0)
    left = np.zeros(pole.shape, bool)
    left[seen_at(cloud, view.camera)] = True
    valid = pole & (np.abs(view.depth - view.depth_true) < 0.02)
    assert (left & valid).sum() > 0.95 * valid.sum()


def test_a_target_without_depth_takes_a_rim_of_the_image_along():
    depth, mask = card(near=0.0)
    cloud = background([mask], depth, FLAT, voxel=0)
    assert len(cloud) == 120 * 160 - 100 * 100  # 3 cm at half a metre are 30 pixels
    assert len(background([mask], depth, FLAT, margin=0.0, voxel=0)) == 120 * 160 - 40 * 40


def test_several_targets_and_none():
    view = make_scene(1)
    sphere, box = view.label == SPHERE, view.label == BOX
    both = background([sphere, box], view.depth, view.camera)
    labels = view.label[seen_at(both, view.camera)]
    assert not np.isin(labels, (SPHERE, BOX)).any()
    whole = background([], view.depth, view.camera, voxel=0)
    nothing = background([np.zeros_like(box)], view.depth, view.camera, voxel=0)
    assert len(whole) == (view.depth > 0).sum() == len(nothing)


@pytest.mark.parametrize("voxel", [0.01, 0.02, 0.1])
def test_thinning_leaves_one_measured_point_in_every_voxel(voxel):
    view = make_scene(2)
    points = background([], view.depth, view.camera, voxel=0).points
    cloud = background([], view.depth, view.camera, view.color, voxel=voxel)
    cells, thinned = (np.floor(p * np.float32(1 / voxel)).astype(int) for p in (points, cloud.points))
    assert len(np.unique(thinned, axis=0)) == len(thinned) == len(np.unique(cells, axis=0))
    assert {*map(bytes, cloud.points)} <= {*map(bytes, points)}
    rows, columns = seen_at(cloud, view.camera)
    assert (cloud.colors == view.color[rows, columns]).all()
    again = background([], view.depth, view.camera, view.color, voxel=voxel)
    assert (again.points == cloud.points).all() and (again.colors == cloud.colors).all()


def test_a_voxel_that_the_target_shares_keeps_a_point_of_what_is_left():
    depth, mask = np.ones((120, 160), np.float32), np.zeros((120, 160), bool)
    mask[:57] = True  # a voxel reaches from row 50 to row 59
    points, thinned = (background([mask], depth, FLAT, margin=0.0, voxel=voxel).points for voxel in (0.0, 0.02))
    assert points[:, 1].min() < 0.0
    wanted, found = ({tuple(cell) for cell in np.floor(p * np.float32(50)).astype(int)} for p in (points, thinned))
    assert found == wanted


@pytest.mark.parametrize("nothing", [0.0, np.nan, np.inf, -1.0, 20.0, 0.05])
def test_pixels_without_usable_depth_give_no_points(nothing):
    depth, mask = card()
    depth[:20] = nothing
    for cloud in (background([mask], depth, FLAT, voxel=0), scene([mask], depth, FLAT)[0]):
        assert np.isfinite(cloud.points).all() and set(np.unique(cloud.points[:, 2])) <= {1.0, 2.0}
    depth[:] = nothing
    assert len(background([mask], depth, FLAT)) == 0
    cloud, labels = scene([mask], depth, FLAT)
    assert len(cloud) == len(labels) == 0


def test_labels_are_parallel_to_the_points_and_theirs_are_the_target():
    view = make_scene(4)
    masks = [view.label == SPHERE, view.label == BOX]
    cloud, labels = scene(masks, view.depth, view.camera, view.color)
    assert labels.dtype == np.uint32 and len(labels) == len(cloud) == (view.depth > 0).sum()
    for number, mask in enumerate(masks, start=1):
        target = lift(mask, view.depth, view.camera, view.color)
        assert (cloud.points[labels == number] == target.points).all()
        assert (cloud.colors[labels == number] == target.colors).all()
    rows, columns = seen_at(cloud, view.camera)
    assert ((view.label[rows, columns] == BOX) >= (labels == 2)).all()
    thinned, fewer = scene(masks, view.depth, view.camera, view.color, voxel=0.02)
    assert len(thinned) == len(fewer) < len(cloud) / 5 and set(fewer) == {0, 1, 2}


def test_of_masks_that_overlap_the_later_one_is_seen():
    depth, mask = card(far=1.0)
    other = np.roll(mask, 10, axis=1)
    _, labels = scene([mask, other], depth, FLAT)
    labels = labels.reshape(depth.shape)
    assert (labels[other] == 2).all() and (labels[mask & ~other] == 1).all() and not labels[~mask & ~other].any()


def test_depth_of_another_size_gives_the_same_scene():
    fine = make_scene(2, width=1296, height=968)
    coarse, mask = resample(fine.depth, 480, 640), fine.label == BOX
    cloud, labels = scene([mask], coarse, fine.camera, fine.color)
    rows, columns = seen_at(cloud, fine.camera)
    assert len(cloud) == (coarse > 0).sum() and (fine.label[rows, columns][labels == 1] == BOX).mean() > 0.99
    true = fine.camera.back_project(fine.depth_true)[mask]
    left = background([mask], coarse, fine.camera, fine.color)
    assert cKDTree(true[::7]).query(left.points)[0].min() > 0.02


def test_input_stays_as_it_was():
    view = make_scene(0)
    depth, mask = view.depth.copy(), view.label == BOX
    background([mask], depth, view.camera, view.color)
    scene([mask], depth, view.camera, view.color)
    assert (depth == view.depth).all() and (mask == (view.label == BOX)).all()


def test_what_does_not_belong_together_is_refused():
    depth, mask = card()
    for build in (background, scene):
        with pytest.raises(ValueError, match=r"\[20, 40\].*\[120, 160\]"):
            build([mask, np.ones((20, 40), bool)], depth, FLAT)
        with pytest.raises(ValueError, match="min_depth"):
            build([mask], depth, FLAT, min_depth=3.0, max_depth=2.0)
        with pytest.raises(ValueError, match=r"color.*\[2, 2, 3\]"):
            build([mask], depth, FLAT, np.zeros((2, 2, 3), np.uint8))
