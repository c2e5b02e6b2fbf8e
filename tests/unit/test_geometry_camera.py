"""Camera and Frame: projection, scaling, files, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lisa_ros.geometry import Camera, Frame

SCANNET = Camera(1170.0, 1171.0, 640.0, 480.0, 1296, 968)


def test_project_inverts_back_project():
    camera = Camera(500.0, 510.0, 31.2, 23.9, 64, 48)
    depth = np.random.default_rng(0).uniform(0.5, 3.0, (48, 64)).astype(np.float32)
    pixels = camera.project(camera.back_project(depth)).reshape(48, 64, 2)
    u, v = np.meshgrid(np.arange(64), np.arange(48))
    assert np.allclose(pixels[..., 0], u, atol=1e-3) and np.allclose(pixels[..., 1], v, atol=1e-3)


def test_project_marks_points_behind_the_camera():
    assert np.isnan(SCANNET.project(np.array([[0.1, 0.1, -1.0]]))).all()


def test_scaling_keeps_the_view():
    small = SCANNET.scaled_to(640, 480)
    points = np.array([[0.3, -0.2, 1.5], [-0.4, 0.3, 2.0]])
    in_color, in_depth = SCANNET.project(points), small.project(points)
    # pixel centres at integers: the picture begins half a pixel before the first centre
    assert np.allclose((in_color + 0.5) * [640 / 1296, 480 / 968], in_depth + 0.5)
    back = small.scaled_to(1296, 968)
    assert np.allclose([back.fx, back.fy, back.cx, back.cy], [1170.0, 1171.0, 640.0, 480.0])


def test_json_round_trip_and_default_scale(tmp_path):
    path = tmp_path / "camera.json"
    SCANNET.to_json(path, depth_scale_m=0.0002)
    assert Camera.from_json(path) == (SCANNET, 0.0002)
    values = json.loads(path.read_text())
    del values["depth_scale_m"]
    path.write_text(json.dumps(values))
    assert Camera.from_json(path)[1] == 0.001


def test_open3d_form_is_column_by_column(tmp_path):
    path = tmp_path / "camera.json"
    path.write_text('{"width": 640, "height": 480, "intrinsic_matrix": [525, 0, 0, 0, 526, 0, 319.5, 239.5, 1]}')
    assert Camera.from_json(path)[0] == Camera(525.0, 526.0, 319.5, 239.5, 640, 480)


@pytest.mark.parametrize(
    "text, says",
    [
        ("{", "not JSON"),
        ("[1, 2]", "JSON object"),
        ('{"fx": 500, "fy": 500}', "cx, cy, width, height missing"),
        ('{"fx": 0, "fy": 0, "cx": 0, "cy": 0, "width": 640, "height": 480}', "fx is 0"),
        ('{"fx": 500, "fy": 500, "cx": 3, "cy": 4, "width": 640.5, "height": 480}', "width is 640.5"),
        ('{"fx": "wide", "fy": 500, "cx": 3, "cy": 4, "width": 640, "height": 480}', "not a number"),
        ('{"fx": 5, "fy": 5, "cx": 3, "cy": 4, "width": 6, "height": 4, "depth_scale_m": -1}', "depth_scale_m is -1"),
    ],
)
def test_unusable_files_are_named(tmp_path, text, says):
    path = tmp_path / "camera.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        Camera.from_json(path)
    assert says in str(error.value) and "camera.json" in str(error.value)


def test_missing_file_says_what_to_write(tmp_path):
    with pytest.raises(FileNotFoundError, match="depth_scale_m"):
        Camera.from_json(tmp_path / "none.json")


def test_frame_scales_its_camera_to_the_depth():
    frame = Frame(np.zeros((968, 1296, 3), np.uint8), SCANNET, np.ones((480, 640), np.float32))
    assert frame.depth_camera == SCANNET.scaled_to(640, 480)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"color": np.zeros((48, 64), np.uint8)}, "color must be"),
        ({"camera": SCANNET}, "64x48 pixels, its camera says 1296x968"),
        ({"depth": np.zeros((48, 64), np.uint16)}, "float32"),
        ({"depth": np.zeros((48, 90), np.float32)}, "90x48 pixels and colour 64x48"),
        ({"camera_to_world": np.eye(3)}, "4x4"),
    ],
)
def test_frame_refuses_what_does_not_fit(change, says):
    values = {"color": np.zeros((48, 64, 3), np.uint8), "camera": Camera(60, 60, 31.5, 23.5, 64, 48)} | change
    with pytest.raises(ValueError, match=says):
        Frame(**values)
