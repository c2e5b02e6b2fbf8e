"""One mask, several objects: things side by side come apart, what an occluder divides stays one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from analytic_scene import BOX, POLE, SPHERE, make_scene, sensor

from lisa_ros.geometry import Camera, clusters, resample

CAMERA = Camera(500.0, 500.0, 159.5, 119.5, 320, 240)


def mugs(gap: float, *, wall: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(depth, left mask, right mask): two mugs, 10 cm high, 8 cm wide, so many metres apart, 1 m away, with noise."""
    true, masks = np.full((240, 320), wall, np.float32), np.zeros((2, 240, 320), bool)
    columns = (np.arange(320) - 159.5) / 500.0
    for mask, center in zip(masks, (-0.04 - gap / 2, 0.04 + gap / 2)):
        across = (columns - center) / 0.04
        body = np.abs(across) < 1
        mask[95:145, body] = True
        true[95:145, body] = 1.0 - 0.04 * np.sqrt(1 - across[body] ** 2)
    return sensor(true, np.random.default_rng(7)), masks[0], masks[1]


def grown(mask: np.ndarray, pixels: int = 3) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1))).astype(bool)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_two_mugs_ten_centimetres_apart_are_two():
    depth, left, right = mugs(0.10)
    parts = clusters(left | right, depth, CAMERA)
    assert len(parts) == 2
    assert {max(overlap(part, left), overlap(part, right)) for part in parts} == {1.0}


def test_a_mask_that_bleeds_over_the_outlines_gives_the_same_two():
    depth, left, right = mugs(0.10)
    parts = clusters(grown(left) | grown(right), depth, CAMERA)
    assert len(parts) == 2
    assert {max(overlap(part, grown(left)), overlap(part, grown(right))) for part in parts} == {1.0}


def test_one_behind_the_other_in_the_same_pixels_are_two():
    """No gap in the image: only depth tells them apart."""
    depth, left, right = mugs(0.0)
    depth[right] += 0.4
    parts = clusters(left | right, depth, CAMERA)
    assert [overlap(part, mug) > 0.95 for part, mug in zip(parts, (left, right))] == [True, True]


@pytest.mark.parametrize("pixels", [0, 3])
@pytest.mark.parametrize("distance", [0.8, 1.3, 2.0])
def test_what_a_pole_divides_stays_one_and_apart_from_its_neighbour(distance, pixels):
    view = make_scene(1, distance=distance, pole=True)
    truth = [view.label == BOX, view.label == SPHERE]
    assert cv2.connectedComponents(truth[1].astype(np.uint8))[0] == 3  # it is in two halves
    box, sphere = (grown(mask) if pixels else mask for mask in truth)
    (whole,) = clusters(sphere, view.depth, view.camera)  # all of it; what the mask has of the pole may go
    assert not (whole & ~sphere).any() and (whole & truth[1]).sum() > 0.99 * truth[1].sum()
    parts = clusters(sphere | box, view.depth, view.camera)
    assert len(parts) == 2  # the larger first
    for part, mask in zip(parts, truth):
        assert (part & mask).sum() > 0.99 * mask.sum()


def test_the_parts_are_the_mask_without_its_crumbs():
    depth, left, right = mugs(0.10)
    crumb = np.zeros_like(left)
    crumb[10:17, 10:17] = True
    whole = left | right | crumb
    parts = clusters(whole, depth, CAMERA)
    assert len(parts) == 2 and not (parts[0] & parts[1]).any()
    assert ((parts[0] | parts[1]) == (left | right) | (crumb & (depth == 0))).all()


def test_pixels_without_depth_belong_to_the_nearest_part():
    depth, left, right = mugs(0.10)
    depth[95:120][left[95:120]] = 0.0  # the upper half of the left mug: glass
    between = np.zeros_like(left)
    between[118:122, 100:220] = True  # and a strip without depth from one to the other
    depth[between & ~left & ~right] = 0.0
    parts = clusters(left | right | between, depth, CAMERA)
    assert len(parts) == 2
    assert ((parts[0] | parts[1]) == left | right | between).all()
    for mug in (left, right):
        assert max((part & mug).sum() for part in parts) == mug.sum()
    one, other = (np.nonzero(part & between)[1] for part in parts)
    assert one.max() < other.min() or other.max() < one.min()


def test_thin_things_are_not_crumbs_among_themselves():
    depth, mask = np.full((240, 320), 2.0, np.float32), np.zeros((240, 320), bool)
    for column in (60, 200):
        depth[40:200, column : column + 5] = 1.0
        mask[40:200, column : column + 5] = True
    assert [part.sum() for part in clusters(mask, depth, CAMERA)] == [800, 800]


@pytest.mark.parametrize("nothing", [0.0, np.nan, 50.0])
def test_a_mask_without_depth_stays_whole(nothing):
    mask = np.zeros((240, 320), bool)
    mask[50:60, 50:60] = mask[150:190, 50:90] = True
    (whole,) = clusters(mask, np.full((240, 320), nothing, np.float32), CAMERA)
    assert (whole == mask).all()
    (empty,) = clusters(np.zeros_like(mask), np.ones((240, 320), np.float32), CAMERA)
    assert not empty.any()


def test_depth_of_another_size():
    fine = make_scene(1, width=1296, height=968, pole=True)
    mask = np.isin(fine.label, (SPHERE, BOX))
    parts = clusters(mask, resample(fine.depth, 480, 640), fine.camera)
    assert len(parts) == 2 and all(part.shape == mask.shape for part in parts)
    assert overlap(parts[0], fine.label == BOX) > 0.99 and overlap(parts[1], fine.label == SPHERE) > 0.99


def test_the_pole_itself_is_one_and_input_stays_as_it_was():
    view = make_scene(0, pole=True)
    depth, mask = view.depth.copy(), view.label == POLE
    assert len(clusters(mask, view.depth, view.camera)) == 1
    assert (depth == view.depth).all() and (mask == (view.label == POLE)).all()


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match=r"\[20, 40\].*\[240, 320\]"):
        clusters(np.ones((20, 40), bool), np.ones((240, 320), np.float32), CAMERA)
