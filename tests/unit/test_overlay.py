"""The overlay marks what the mask says and nothing else."""
from __future__ import annotations

import numpy as np

from lisa_ros.overlay import draw_overlay, instance_color


def test_instances_are_tinted_in_their_own_colours_and_the_rest_stays():
    color = np.full((60, 80, 3), 100, np.uint8)
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:30, 10:30] = True
    masks[1, 35:55, 40:70] = True
    drawn = draw_overlay(color, masks)
    assert np.allclose(drawn[20, 20], (100 + np.array(instance_color(0))) / 2, atol=1)
    assert np.allclose(drawn[45, 55], (100 + np.array(instance_color(1))) / 2, atol=1)
    assert drawn[5, 75].tolist() == [100, 100, 100]
    assert (color == 100).all()


def test_without_instances_and_title_the_picture_stays_as_it_is():
    color = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    assert np.array_equal(draw_overlay(color, np.zeros((0, 6, 7), bool)), color)


def test_a_title_that_is_too_long_keeps_its_end():
    """Where the node says what came of the query."""
    color = np.full((240, 320, 3), 100, np.uint8)
    found, lost = (draw_overlay(color, [], title="hand me the thing " * 9 + end) for end in (" FOUND", " NOT FOUND"))
    assert not np.array_equal(found, lost)
    text = (found[:20] > 120).all(2).any(0)
    assert text[:20].any() and text[-30:].any() and not text[-3:].any()


def test_a_picture_too_narrow_for_any_title():
    drawn = draw_overlay(np.full((30, 8, 3), 90, np.uint8), [], title="the red mug FOUND")
    assert drawn.shape == (30, 8, 3) and (drawn[-5:] == 90).all()
