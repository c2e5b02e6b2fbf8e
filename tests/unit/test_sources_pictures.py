"""Colour pictures of every kind: what their pixels become, and what is said of those that cannot be used."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lisa_ros.sources.image_files import read_color

RGB = np.random.default_rng(3).integers(0, 256, (6, 10, 3)).astype(np.uint8)
GREY_16 = np.linspace(0, 65535, 60).reshape(6, 10).astype(np.uint16)
ALPHA = np.linspace(0, 255, 60).reshape(6, 10).astype(np.uint8)


def saved(tmp_path, image: Image.Image, name="a.png", **options) -> str:
    image.save(tmp_path / name, **options)
    return str(tmp_path / name)


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def palette_picture() -> Image.Image:
    picture = Image.fromarray(RGB).quantize(16)
    picture.info["transparency"] = bytes([0, 128] + [255] * 14)  # one entry invisible, one half visible
    return picture


def palette_colors() -> np.ndarray:
    colors = np.reshape(palette_picture().getpalette(), (-1, 3))
    return colors[np.asarray(palette_picture())]


def test_one_pixel(tmp_path):
    assert read_color(saved(tmp_path, Image.new("RGB", (1, 1), (7, 8, 9))), upright=True).tolist() == [[[7, 8, 9]]]


@pytest.mark.parametrize(
    ("picture", "name", "expected"),
    [
        (Image.fromarray(RGB), "a.png", RGB),
        (Image.fromarray(ALPHA), "a.png", repeated(ALPHA)),
        (Image.fromarray(np.dstack([RGB[:, :, 0], ALPHA])), "a.png", repeated(RGB[:, :, 0])),
        (Image.fromarray(np.dstack([RGB, ALPHA])), "a.png", RGB),
        (Image.fromarray(np.dstack([RGB, ALPHA])), "a.tiff", RGB),
        (palette_picture(), "a.png", palette_colors()),
        (Image.fromarray(ALPHA > 99), "a.png", repeated(np.where(ALPHA > 99, 255, 0).astype(np.uint8))),
        (Image.fromarray(GREY_16), "a.png", repeated((GREY_16 >> 8).astype(np.uint8))),
        (Image.fromarray(GREY_16), "a.tiff", repeated((GREY_16 >> 8).astype(np.uint8))),
        (Image.fromarray(GREY_16), "a.pgm", repeated((GREY_16 >> 8).astype(np.uint8))),
        (Image.fromarray(RGB), "a.bmp", RGB),
        (Image.fromarray(RGB), "a.ppm", RGB),
    ],
    ids=["RGB", "L", "LA", "RGBA", "RGBA TIFF", "P", "1", "I;16", "I;16 TIFF", "I;16 PGM", "BMP", "PPM"],
)
def test_every_mode_becomes_rgb_of_8_bits(tmp_path, picture, name, expected):
    color = read_color(saved(tmp_path, picture, name), upright=True)
    assert color.dtype == np.uint8 and color.shape == (6, 10, 3)
    assert (color == expected).all()


@pytest.mark.parametrize("channels", [1, 3, 4], ids=["grey", "RGB", "RGBA"])
def test_16_bits_and_alpha_are_read_as_opencv_reads_them(tmp_path, channels):
    pixels = np.dstack([GREY_16, GREY_16[::-1], GREY_16[:, ::-1], GREY_16 // 3])[:, :, :channels]
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    expected = cv2.imread(str(tmp_path / "a.png"))[:, :, ::-1]
    assert len(np.unique(expected)) > 50  # neither all white nor all black
    assert (read_color(tmp_path / "a.png", upright=True) == expected).all()


def test_cmyk(tmp_path):
    flat = Image.new("RGB", (10, 6), (250, 20, 40))
    color = read_color(saved(tmp_path, flat.convert("CMYK"), "a.jpg", quality=100), upright=True)
    assert np.abs(color.astype(int) - (250, 20, 40)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_every_exif_orientation_is_turned_upright(tmp_path, orientation, name):
    """The stored pixels are those of which the EXIF turn makes the upright picture, whose quarters have known greys."""
    upright = np.kron(np.array([[10, 90], [170, 250]], np.uint8), np.ones((16, 24), np.uint8))
    stored = {  # what the camera's sensor saw, by the meaning of the tag (TIFF 6.0)
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), name, exif=exif)
    turned = read_color(path, upright=True)
    assert turned.shape == (32, 48, 3)
    assert np.abs(turned[:, :, 0].astype(int) - upright).max() <= 4
    assert read_color(path, upright=False).shape[:2] == stored.shape


def test_16_bits_are_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(GREY_16), exif=exif)
    assert (read_color(path, upright=True)[:, :, 0] == np.rot90(GREY_16 >> 8, -1)).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff"])
def test_broken_exif_turns_nothing(tmp_path, exif):
    assert read_color(saved(tmp_path, Image.fromarray(RGB), "a.jpg", exif=exif), upright=True).shape == (6, 10, 3)


@pytest.mark.parametrize("name", ["a.gif", "a.png"], ids=["GIF", "APNG"])
def test_an_animation_gives_its_first_frame(tmp_path, name):
    frames = [Image.new("RGB", (10, 6), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert (read_color(path, upright=True) == (255, 0, 0)).all()


def png_of_zeros(width: int, height: int) -> bytes:
    """A valid, small PNG file of many black pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def cut(tmp_path, name, *, left=None):
    data = open(saved(tmp_path, Image.fromarray(np.tile(RGB, (9, 9, 1))), name), "rb").read()
    (tmp_path / name).write_bytes(data[: left or len(data) * 2 // 3])


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (lambda f: cut(f, "a.png"), "a.png", "damaged or cut short"),
        (lambda f: cut(f, "a.jpg"), "a.jpg", "damaged or cut short"),
        (lambda f: cut(f, "a.jpg", left=40), "a.jpg", "damaged or cut short"),  # in its tables, before its size
        (lambda f: cut(f, "a.ppm", left=5), "a.ppm", "damaged or cut short"),
        (lambda f: (f / "a.png").write_text("not pixels"), "a.png", "not a picture that can be read"),
        (lambda f: (f / "a.png").write_bytes(b""), "a.png", "not a picture that can be read"),
        (
            lambda f: (f / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
            "a.eps",
            "not a picture",
        ),
        (lambda f: (f / "a.png").mkdir(), "a.png", "a folder; give a file"),
        (lambda f: (f / "a.png").write_bytes(png_of_zeros(20_000, 20_000)), "a.png", "too large for a picture"),
        (
            lambda f: Image.fromarray(np.ones((6, 10), np.float32)).save(f / "a.tiff"),
            "a.tiff",
            "one channel of 32 bits",
        ),
        (lambda f: Image.fromarray(np.ones((6, 10), np.int32)).save(f / "a.tiff"), "a.tiff", "one channel of 32 bits"),
    ],
    ids=[
        *("cut PNG", "cut JPEG", "cut JPEG tables", "cut PPM header"),
        *("text", "empty", "EPS", "folder", "enormous", "float", "int32"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, make, name, says):
    make(tmp_path)
    with pytest.raises(ValueError, match=says) as error:
        read_color(tmp_path / name, upright=True)
    assert str(tmp_path / name) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.png: no such file"):
        read_color(tmp_path / "gone.png", upright=True)


@pytest.mark.filterwarnings("error")
def test_a_large_picture_is_read_without_a_word(tmp_path, monkeypatch):
    """Between Pillow's warning and its refusal, which comes at twice as many pixels."""
    path = saved(tmp_path, Image.fromarray(RGB))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert (read_color(path, upright=True) == RGB).all()


@pytest.mark.filterwarnings("error")
def test_a_palette_loses_its_transparency_without_a_word(tmp_path):
    assert read_color(saved(tmp_path, palette_picture()), upright=True).shape == (6, 10, 3)
