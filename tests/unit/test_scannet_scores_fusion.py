"""Votes of frames on vertices, in a room whose pictures are worked out by hand.

A wall at z = 2 m with a board in front of it at 1.5 m; the cameras look along z. Vertices lie on a grid, 2 cm apart.
"""

from __future__ import annotations

import numpy as np
import pytest

from lisa_ros.geometry import Camera
from scannet_tools.scores.fusion import ShownVertices, VertexVotes, to_world

CAMERA = Camera(400.0, 400.0, 159.5, 119.5, 320, 240)
WALL_Z, BOARD_Z = 2.0, 1.5


def grid(left, right, top, bottom, z):
    x, y = np.meshgrid(np.arange(left, right, 0.02), np.arange(top, bottom, 0.02))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1).astype(np.float32)


WALL, BOARD = grid(-1, 1, -0.8, 0.8, WALL_Z), grid(-0.2, 0.2, -0.2, 0.2, BOARD_Z)
VERTICES = np.concatenate([WALL, BOARD])
ON_BOARD = np.arange(len(VERTICES)) >= len(WALL)


def pose(x=0.0, y=0.0):
    matrix = np.eye(4)
    matrix[:2, 3] = x, y
    return matrix


def render(camera, camera_to_world):
    """(depth, mask of the board) of a camera that looks along z."""
    rays = camera.back_project(np.ones((camera.height, camera.width), np.float32))
    at_board = rays[..., :2] * BOARD_Z + camera_to_world[:2, 3]
    board = ((at_board >= -0.205) & (at_board <= 0.185)).all(axis=2)
    return np.where(board, BOARD_Z, WALL_Z).astype(np.float32), board


def shown(camera_to_world, depth=None, camera=CAMERA):
    return ShownVertices(
        VERTICES, camera, camera_to_world, render(camera, camera_to_world)[0] if depth is None else depth
    )


def cloud(mask, depth, camera_to_world):
    """What lifting a mask without any cleaning gives, in the scan's frame."""
    return to_world(CAMERA.back_project(depth)[mask], camera_to_world)


def by_projection(camera_to_world):
    """Worked out another way, bool [n] each: in view and not behind the board; and not within a pixel of the edges."""
    rays = (VERTICES[:, :2] - camera_to_world[:2, 3]) / VERTICES[:, 2:]
    at_board = rays * BOARD_Z + camera_to_world[:2, 3]
    in_view = (np.abs(rays * 400) - [160, 120]).max(axis=1)  # pixels, negative inside
    over_board = (np.abs(at_board + 0.01) - 0.195).max(axis=1)  # metres, negative inside
    return (in_view < 0) & (ON_BOARD | (over_board > 0)), (np.abs(in_view) > 1) & (np.abs(over_board) > 0.004)


@pytest.mark.parametrize("place", [(0, 0), (0.3, -0.1), (-0.5, 0.4)])
def test_a_frame_shows_what_is_in_view_and_not_hidden(place):
    expected, sure = by_projection(pose(*place))
    np.testing.assert_array_equal(shown(pose(*place)).shown[sure], expected[sure])
    assert expected[sure].sum() > 3000 and (~expected[sure]).sum() > 300


def test_behind_the_camera_and_beside_the_picture_is_not_shown():
    back = np.diag([1.0, -1, -1, 1])  # looks along -z
    assert not shown(back, np.full((240, 320), 1.5, np.float32)).shown.any()
    away = pose(x=50)
    assert not shown(away, np.full((240, 320), 2, np.float32)).shown.any()


def test_what_was_not_measured_or_has_moved_is_not_shown():
    for depth in (0.0, np.nan, 1.0, 3.0):  # nothing; nothing; something in front; the wall is gone
        assert not shown(pose(), np.full((240, 320), depth, np.float32)).shown.any()
    depth, _ = render(CAMERA, pose())
    depth[:, :160] = 0
    assert not shown(pose(), depth).shown[VERTICES[:, 0] < -0.01].any()


def test_depth_of_another_size_is_of_the_same_view():
    small = CAMERA.scaled_to(160, 120)
    one, other = shown(pose()), shown(pose(), render(small, pose())[0])
    assert (one.shown != other.shown).sum() <= 150
    _, mask = render(CAMERA, pose())
    assert (other.in_mask(mask) != one.in_mask(mask)).sum() <= 60


def test_mask_and_cloud_hit_the_board():
    frame = shown(pose(0.1))
    depth, mask = render(CAMERA, pose(0.1))
    for hit in (frame.in_mask(mask), frame.in_cloud(cloud(mask, depth, pose(0.1)))):
        assert not hit[~ON_BOARD].any()
        assert hit[ON_BOARD].mean() > 0.95
    assert not frame.in_mask(np.zeros_like(mask)).any() and not frame.in_cloud(np.zeros((0, 3), np.float32)).any()


def test_a_mask_that_runs_over_the_edge_hits_the_wall_too():
    frame = shown(pose())
    mask = render(CAMERA, pose())[1]
    mask = np.roll(mask, 20, axis=1)
    hit = frame.in_mask(mask)
    assert hit[~ON_BOARD].sum() > 50 and hit[ON_BOARD].mean() < 0.9


def test_a_cloud_at_another_place_hits_nothing():
    frame = shown(pose())
    depth, mask = render(CAMERA, pose())
    points = cloud(mask, depth, pose())
    np.testing.assert_array_equal(frame.in_cloud(points * np.float32(1.02)), frame.in_cloud(points))  # 3 cm: noise
    assert not frame.in_cloud(points + np.float32([0, 0, 0.2])).any()
    assert not frame.in_cloud(points + np.float32([0, 0, -0.2])).any()
    assert not frame.in_cloud(points + np.float32([0, 30, 0])).any()
    points[:] = np.nan
    assert not frame.in_cloud(points).any()


def test_to_world_turns_and_shifts():
    turned = np.array([[0, 0, 1, 5], [-1, 0, 0, 6], [0, -1, 0, 7], [0, 0, 0, 1]], np.float32)
    np.testing.assert_allclose(to_world(np.float32([[1, 2, 3]]), turned), [[3 + 5, -1 + 6, -2 + 7]])
    assert to_world(np.zeros((0, 3), np.float32), turned).shape == (0, 3)


def test_votes_are_counted_by_hand():
    """Three frames of the same place: the board twice, then the board's left half."""
    votes, frame = VertexVotes(len(VERTICES)), shown(pose())
    mask = render(CAMERA, pose())[1]
    left = mask & (np.arange(320) < 160)
    for one in (mask, mask, left):
        votes.add(frame, mask=one)
    right_of_board = frame.shown & ON_BOARD & (VERTICES[:, 0] > 0.02)
    left_of_board = frame.shown & ON_BOARD & (VERTICES[:, 0] < -0.02)
    assert (votes.shown[frame.shown] == 3).all() and not votes.shown[~frame.shown].any()
    assert (votes.hits[left_of_board] == 3).mean() > 0.95 and (votes.hits[right_of_board] == 2).mean() > 0.95
    two_thirds, all_three = votes.vertices(2 / 3), votes.vertices(0.99)
    assert two_thirds[right_of_board].mean() > 0.95 and not all_three[right_of_board].any()
    assert all_three[left_of_board].mean() > 0.95
    assert not votes.vertices(0.0)[~ON_BOARD].any()  # without a hit nothing is the target, whatever the share


def test_one_frame_that_runs_over_the_edge_is_outvoted():
    votes = VertexVotes(len(VERTICES))
    for x in (0.0, 0.2, 0.4):
        mask = render(CAMERA, pose(x))[1]
        votes.add(shown(pose(x)), mask=np.roll(mask, 20, axis=1) if x == 0.0 else mask)
    fused = votes.vertices()
    assert fused[ON_BOARD].mean() > 0.95 and not fused[~ON_BOARD].any()


def test_frames_that_do_not_show_a_vertex_have_no_say():
    """The board is in view of the first frame only; nine others see the wall beside it and refuse."""
    votes = VertexVotes(len(VERTICES))
    votes.add(shown(pose()), mask=render(CAMERA, pose())[1])
    for _ in range(9):
        votes.add(shown(pose(1.2)), mask=np.zeros((240, 320), bool))
    assert votes.vertices()[ON_BOARD].mean() > 0.95


def test_points_that_were_cleaned_away_are_not_votes_against():
    """The mask covers the board, the cloud its left half only: no vote on the rest, and the other frame decides."""
    frame = shown(pose())
    depth, mask = render(CAMERA, pose())
    points = cloud(mask, depth, pose())
    half = points[points[:, 0] < 0]
    right_of_board = frame.shown & ON_BOARD & (VERTICES[:, 0] > 0.02)
    alone, with_mask = VertexVotes(len(VERTICES)), VertexVotes(len(VERTICES))
    for _ in range(3):
        alone.add(frame, points=half)
        with_mask.add(frame, points=half, mask=mask)
    assert not with_mask.hits[right_of_board].any()
    assert (with_mask.shown[right_of_board] == 0).mean() > 0.95 and (alone.shown[right_of_board] == 3).all()
    for votes in (alone, with_mask):
        votes.add(frame, points=points, mask=mask)
    assert with_mask.vertices()[right_of_board].mean() > 0.95
    assert not alone.vertices()[right_of_board].any()
    assert not with_mask.vertices()[~ON_BOARD].any()


def test_no_answer_and_no_vertices():
    votes = VertexVotes(len(VERTICES))
    votes.add(shown(pose()), points=np.zeros((0, 3), np.float32), mask=np.zeros((240, 320), bool))
    assert not votes.vertices().any() and votes.shown.any()
    assert not VertexVotes(5).vertices().any()
    nobody = ShownVertices(np.zeros((0, 3), np.float32), CAMERA, pose(), render(CAMERA, pose())[0])
    assert nobody.shown.shape == (0,) and nobody.in_mask(np.ones((240, 320), bool)).shape == (0,)
    with pytest.raises(ValueError, match="needs points or a mask"):
        votes.add(shown(pose()))


def test_a_frame_without_a_pose_is_refused():
    depth = render(CAMERA, pose())[0]
    for bad in (np.full((4, 4), -np.inf), np.eye(3), np.full((4, 4), np.nan)):
        with pytest.raises(ValueError, match="without a valid pose"):
            ShownVertices(VERTICES, CAMERA, bad, depth)
