"""The refusal threshold."""

import json

import numpy as np
import pytest

from lisa_ros.training.mini.calibrate import best_threshold, write_threshold


def test_separable_probabilities_are_separated():
    threshold, refused, kept = best_threshold(np.array([0.7, 0.9]), np.array([0.1, 0.4]))
    assert 0.4 < threshold < 0.7 and refused == kept == 1.0


def test_overlap_takes_the_best_compromise():
    threshold, refused, kept = best_threshold(np.array([0.2, 0.6, 0.7, 0.8, 0.9]), np.array([0.1, 0.1, 0.3, 0.95]))
    assert 0.3 < threshold < 0.6 and refused == 0.75 and kept == 0.8


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="both"):
        best_threshold(np.array([0.5]), np.array([]))


def test_the_threshold_is_written_beside_the_rest(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 3, "lisa_ros": {"name": "x"}}))
    write_threshold(tmp_path, 0.123456)
    data = json.loads((tmp_path / "config.json").read_text())
    assert data == {"vocab_size": 3, "lisa_ros": {"name": "x", "min_target_probability": 0.1235}}
