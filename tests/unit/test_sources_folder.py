"""Frames from folders: both layouts, sizes, orientation, and errors that name the file."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from lisa_ros.geometry import Camera, lift
from lisa_ros.sources.folder import FIRST_STAMP_NS, read_folder

CAMERA = Camera(60.0, 61.0, 31.5, 23.5, 64, 48)


def color_image(seed=0, width=64, height=48):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def depth_image(value=1500, width=64, height=48):
    depth = np.full((height, width), value, np.uint16)
    depth[0, 0] = 0
    return depth


def save(path, array):
    Image.fromarray(array).save(path)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "color.png", color_image())
    save(tmp_path / "depth.png", depth_image())
    CAMERA.to_json(tmp_path / "camera.json", depth_scale_m=0.0002)
    return tmp_path


def test_simple_folder(folder):
    (frame,) = read_folder(folder)
    assert (frame.color == color_image()).all() and frame.camera == CAMERA
    assert frame.depth.dtype == np.float32 and frame.depth[0, 0] == 0 and np.isclose(frame.depth[5, 5], 0.3)
    assert frame.stamp_ns == FIRST_STAMP_NS
    assert len(lift(np.ones((48, 64), bool), frame.depth, frame.camera, frame.color)) == 64 * 48 - 1


def test_names_pair_colour_and_depth(tmp_path):
    CAMERA.to_json(tmp_path / "camera.json")
    for name in ("0002-{}.png", "{}_b.png", "scene{}.png"):
        if name != "scene{}.png":
            save(tmp_path / name.format("depth"), depth_image())
            save(tmp_path / name.format("color"), color_image())
    frames = read_folder(tmp_path)
    assert len(frames) == 2 and all(frame.depth is not None for frame in frames)
    assert frames[1].stamp_ns > frames[0].stamp_ns


def test_depth_and_camera_of_another_size_of_the_same_view(folder):
    save(folder / "depth.png", depth_image(width=32, height=24))
    CAMERA.scaled_to(128, 96).to_json(folder / "camera.json")
    (frame,) = read_folder(folder)
    assert frame.depth.shape == (24, 32) and (frame.camera.width, frame.camera.height) == (64, 48)
    assert np.isclose(frame.camera.fx, 60.0) and np.isclose(frame.camera.cx, 31.5)


def test_pictures_alone_have_no_depth(tmp_path):
    save(tmp_path / "holiday.png", color_image())
    (frame,) = read_folder(tmp_path)
    assert frame.depth is None and frame.camera is None


def jpeg_lying_on_its_side(path, width=64, height=48):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(color_image(width=width, height=height)).save(path, exif=exif)


def test_orientation_is_applied_without_depth_and_left_with_it(tmp_path):
    jpeg_lying_on_its_side(tmp_path / "color.jpg")
    (frame,) = read_folder(tmp_path)
    assert frame.color.shape == (64, 48, 3)
    save(tmp_path / "depth.png", depth_image())
    CAMERA.to_json(tmp_path / "camera.json")
    (frame,) = read_folder(tmp_path)
    assert frame.color.shape == (48, 64, 3)


def test_listed_folder(tmp_path):
    save(tmp_path / "a.png", color_image(1))
    save(tmp_path / "b.png", color_image(2))
    save(tmp_path / "a16.png", depth_image())
    save(tmp_path / "b16.png", depth_image(3000))
    (tmp_path / "trajectory.log").write_text(
        "0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n1 1 2\n0 -1 0 .5\n1 0 0 0\n0 0 1 2\n0 0 0 1\n"
    )
    meta = json.loads(CAMERA.to_json()) | {
        "frames": [
            {"color": "a.png", "depth": "a16.png", "pose_index": 1, "stamp_ns": 7},
            {"color": "b.png", "depth": "b16.png", "fx": 70.0},
        ]
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    first, second = read_folder(tmp_path)
    assert (first.color == color_image(1)).all() and np.isclose(first.depth[9, 9], 1.5) and first.stamp_ns == 7
    assert first.camera.fx == 60.0 and second.camera.fx == 70.0
    assert first.camera_to_world[0, 3] == 0.5 and second.camera_to_world is None


def truncated(array):
    data = io.BytesIO()
    Image.fromarray(array).save(data, "PNG")
    return data.getvalue()[: len(data.getvalue()) // 2]


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda f: (f / "camera.json").unlink(), ["no camera.json", "fx"]),
        (lambda f: [(f / "camera.json").rename(f / "camera_a.json"), CAMERA.to_json(f / "camera_b.json")], ["which"]),
        (lambda f: save(f / "depth.png", depth_image().astype(np.uint8)), ["depth.png", "8 bits", "16 bits"]),
        (lambda f: save(f / "depth.png", color_image()), ["depth.png", "3 channels"]),
        (lambda f: save(f / "depth.png", depth_image(width=90)), ["depth.png", "90x48", "64x48"]),
        (lambda f: save(f / "color.png", color_image(width=90)), ["color.png", "90x48", "64x48"]),
        (
            lambda f: [save(f / "color.png", depth_image()), save(f / "depth.png", color_image())],
            ["depth.png", "3 channels", "16 bits"],
        ),
        (lambda f: (f / "depth.png").write_bytes(truncated(depth_image())), ["depth.png", "cut short"]),
        (lambda f: (f / "color.png").write_bytes(truncated(color_image())), ["color.png", "cut short"]),
        (lambda f: (f / "color.png").write_bytes(b"no picture"), ["color.png", "not a picture"]),
        (lambda f: save(f / "color_2.png", color_image()), ["color_2.png", "depth_2.png"]),
        (lambda f: (f / "color.png").unlink(), ["no colour picture"]),
        (lambda f: (f / "meta.json").write_text("{"), ["meta.json", "not JSON"]),
        (lambda f: (f / "meta.json").write_text("{}"), ["meta.json", "frames"]),
        (lambda f: (f / "meta.json").write_text('{"frames": []}'), ["meta.json", "empty"]),
        (lambda f: (f / "meta.json").write_text('{"frames": [{"color": "color.png", "depth": "depth.png"}]}'), ["fx"]),
        (lambda f: (f / "meta.json").write_text('{"frames": [{"depth": "depth.png"}]}'), ["frame 0", "color"]),
    ],
)
def test_errors_name_the_file_and_what_to_do(folder, spoil, says):
    spoil(folder)
    with pytest.raises(ValueError) as error:
        read_folder(folder)
    assert all(word in str(error.value) for word in says), str(error.value)


def test_missing_things_are_named(folder):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_folder(folder / "elsewhere")
    meta = json.loads(CAMERA.to_json()) | {"frames": [{"color": "gone.png", "depth": "depth.png"}]}
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(FileNotFoundError, match="gone.png"):
        read_folder(folder)
