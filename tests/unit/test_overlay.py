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
