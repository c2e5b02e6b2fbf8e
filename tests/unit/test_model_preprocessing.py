"""Pictures to tensors, bit for bit as the reference makes them (recorded in tests/golden/image_*.npz)."""

import numpy as np
import pytest
import torch
from golden import GOLDEN
from PIL import Image

from lisa_ros.model.preprocessing import patches_read, preprocess
from lisa_ros.model.sam import Sam, SamConfig

PICTURES = ("bin", "bin_large", "bin_square", "bin_strip", "bin_tall")


@pytest.fixture(params=PICTURES)
def recorded(request):
    picture = np.asarray(Image.open(GOLDEN / f"{request.param}.png").convert("RGB"))
    with np.load(GOLDEN / f"image_{request.param}.npz") as arrays:
        return picture, dict(arrays)


def test_both_towers_get_the_reference_s_pixels(recorded):
    picture, arrays = recorded
    made = preprocess(picture, 224, 1024)
    np.testing.assert_array_equal(made.clip, arrays["clip_pixel_values"])
    np.testing.assert_array_equal(made.sam, arrays["sam_resized_u8"])
    assert made.resized == tuple(arrays["resize"]) and made.original == tuple(arrays["original_size"])


def test_sams_square_is_normalised_first_and_padded_with_zeros_after(recorded):
    _, arrays = recorded
    pixels = arrays["sam_resized_u8"]
    with torch.device("meta"):
        sam = Sam(SamConfig(depth=1, width=16, heads=1, global_attention=(0,)))
    sam.pixel_mean, sam.pixel_std = sam.fresh_buffer("pixel_mean"), sam.fresh_buffer("pixel_std")
    square = sam.normalise(torch.from_numpy(pixels)[None])[0].numpy()
    rows, columns = pixels.shape[:2]
    mean, std = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
    expected = ((pixels.astype(np.float32) - mean) / std).transpose(2, 0, 1)
    np.testing.assert_array_equal(square[:, :rows, :columns], expected)
    assert square.shape == (3, 1024, 1024)
    assert not square[:, rows:].any() and not square[:, :, columns:].any()


def test_pad_shows_the_whole_picture_and_crop_its_middle():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :20] = 255  # a white stripe at the left edge: outside of the middle square
    crop, pad = (preprocess(picture, 224, 1024, fit).clip for fit in ("crop", "pad"))
    assert crop.shape == pad.shape == (3, 224, 224)
    assert crop.max() == crop.min(axis=(1, 2)).max()
    assert pad[:, 112, 2].min() > 1.9  # white, normalised
    assert not pad[:, :56].any() and not pad[:, 168:].any()  # bars of CLIP's mean colour


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (7, 640), (100, 640), (50, 50), (1, 100_000), (968, 1296)])
def test_patches_inside_the_padding_are_all_that_show_some_of_the_picture(size):
    picture = np.full((*size, 3), 255, np.uint8)
    pad, unpad = (preprocess(picture, 240, 1024, fit).clip for fit in ("pad", "unpad"))
    np.testing.assert_array_equal(pad, unpad)
    shows = pad.any(0).reshape(10, 24, 10, 24).any((1, 3))
    expected = np.zeros((10, 10), bool)
    expected[patches_read(*size, 240, 24, "unpad")] = True
    np.testing.assert_array_equal(shows, expected)
    assert all(patches_read(*size, 240, 24, fit) == (slice(0, 10), slice(0, 10)) for fit in ("crop", "pad"))


@pytest.mark.parametrize("size", [(1, 1), (1, 100_000), (2000, 1), (3, 2), (500, 499)])
def test_extreme_shapes(size):
    made = preprocess(np.full((*size, 3), 200, np.uint8), 224, 1024)
    assert made.clip.shape == (3, 224, 224) and max(made.sam.shape[:2]) == 1024 and min(made.sam.shape) >= 1


def test_an_unknown_fit_is_refused():
    with pytest.raises(ValueError, match="clip_fit"):
        preprocess(np.zeros((4, 4, 3), np.uint8), 224, 1024, "stretch")
