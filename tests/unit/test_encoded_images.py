"""JPEG, PNG and compressedDepth byte by byte: what drivers send is read, what lies about its size or breaks off is not."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from lisa_ros.sources.encoded_images import ConversionError, decode_color, decode_depth

RNG = np.random.default_rng(3)
LIMIT = 1_000_000
DEPTH = np.where(RNG.random((31, 47)) < 0.3, 0, RNG.integers(400, 9000, (31, 47))).astype(np.uint16)


def smooth(height=48, width=64):
    """A picture that JPEG keeps almost as it is."""
    ramp = np.linspace(20, 230, width).astype(np.uint8)
    return np.dstack([np.tile(ramp, (height, 1)), np.full((height, width), 90, np.uint8), np.tile(ramp[::-1], (height, 1))])


def encoded(ending, pixels):
    if pixels.ndim == 3:
        pixels = pixels[:, :, ::-1]
    return cv2.imencode(ending, pixels)[1].tobytes()


def header(a=0.0, b=0.0, kind=0):
    return struct.pack("<iff", kind, a, b)


def rvl(depth, a=0.0, b=0.0):
    """compressedDepth by RVL, as the paper describes it: nibbles of three bits, then packed into words."""
    nibbles = []

    def write(number):
        while True:
            number, bits = number >> 3, number & 7
            nibbles.append(bits | (8 if number else 0))
            if not number:
                return

    values, at, previous = depth.ravel().tolist(), 0, 0
    while at < len(values):
        begin = at
        while at < len(values) and values[at] == 0:
            at += 1
        write(at - begin)
        begin = at
        while at < len(values) and values[at] != 0:
            at += 1
        write(at - begin)
        for value in values[begin:at]:
            step, previous = value - previous, value
            write(2 * step if step >= 0 else -2 * step - 1)
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{n:x}" for n in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)]
    return header(a, b) + struct.pack("<II", depth.shape[1], depth.shape[0]) + struct.pack(f"<{len(words)}I", *words)


def png_claiming(width, height, bits=8, color_type=0):
    """A PNG whose header is right and says width x height; there is next to nothing behind it."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    size = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


# ---- colour ----
def test_jpeg_and_png_become_rgb():
    picture = smooth()
    assert np.array_equal(decode_color(encoded(".png", picture), "rgb8; png compressed bgr8", LIMIT), picture)
    jpeg = decode_color(encoded(".jpg", picture), "rgb8; jpeg compressed bgr8", LIMIT)
    assert np.abs(jpeg.astype(int) - picture).max() < 20
    grey = decode_color(encoded(".jpg", picture[:, :, 0]), "mono8; jpeg compressed ", LIMIT)
    assert grey.shape == picture.shape and (grey[:, :, 0] == grey[:, :, 2]).all()


def test_an_exif_orientation_does_not_turn_the_pixels_away_from_their_camera_info():
    picture, exif = Picture.fromarray(smooth()), Picture.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    assert decode_color(file.getvalue(), "jpeg", LIMIT).shape == (48, 64, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("part", [0.3, 0.8, 0.98])
def test_pictures_that_break_off_are_refused(ending, part):
    data = encoded(ending, smooth())
    with pytest.raises(ConversionError, match="truncated|not a readable"):
        decode_color(data[: int(len(data) * part)], ending, LIMIT)


def test_a_jpeg_with_filling_behind_its_end_is_read():
    data = encoded(".jpg", smooth())
    assert np.array_equal(decode_color(data + bytes(100), "jpeg", LIMIT), decode_color(data, "jpeg", LIMIT))


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8\xff junk", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60), b"hello" * 9])
def test_what_is_neither_jpeg_nor_png_is_refused(data):
    with pytest.raises(ConversionError, match="not a readable JPEG or PNG"):
        decode_color(data, "jpeg", LIMIT)


@pytest.mark.parametrize("width, height", [(60_000, 60_000), (1001, 1000), (12_000, 12_000), (400_000_000, 1)])
def test_a_small_file_that_claims_many_pixels_is_refused_before_it_is_decoded(monkeypatch, width, height):
    monkeypatch.setattr(cv2, "imdecode", None)  # would be a TypeError, not a ConversionError
    with pytest.raises(ConversionError, match="max_image_pixels is 1000000|too large"):
        decode_color(png_claiming(width, height), "png", LIMIT)
    with pytest.raises(ConversionError, match="max_image_pixels is 1000000|too large"):
        decode_depth(header() + png_claiming(width, height, 16), "16UC1; compressedDepth png", LIMIT)


def test_the_limit_counts_pixels():
    picture = smooth(48, 64)
    assert decode_color(encoded(".png", picture), "png", 48 * 64).shape == (48, 64, 3)
    with pytest.raises(ConversionError, match="64x48 pixels; max_image_pixels is 3071"):
        decode_color(encoded(".png", picture), "png", 48 * 64 - 1)


# ---- depth ----
@pytest.mark.parametrize(
    "format, data",
    [
        ("16UC1; compressedDepth", header() + encoded(".png", DEPTH)),
        ("16UC1; compressedDepth png", header() + encoded(".png", DEPTH)),
        ("mono16; compressedDepth png", header(kind=-1) + encoded(".png", DEPTH)),
        ("16UC1", header() + encoded(".png", DEPTH)),
        ("16UC1; compressedDepth rvl", rvl(DEPTH)),
        ("16UC1; compressedDepth", encoded(".png", DEPTH)),
        ("16UC1; png compressed ", encoded(".png", DEPTH)),
        ("png", encoded(".png", DEPTH)),
    ],
    ids=["ros1", "png", "mono16", "encoding only", "rvl", "no header", "of compressed", "driver's png"],
)
def test_16_bit_depth_comes_back_as_it_was(format, data):
    depth = decode_depth(data, format, LIMIT)
    assert depth.dtype == np.uint16 and np.array_equal(depth, DEPTH)


@pytest.mark.parametrize("coding", ["png", "rvl"])
def test_float_depth_is_unpacked_from_its_inverse(coding):
    """Quantised here as compressed_depth_image_transport documents it: steps of 1/depth, finest at depth_quantization."""
    metres = RNG.uniform(0.5, 9.5, (20, 30)).astype(np.float32)
    metres[3, 4] = np.nan
    quantization, farthest = 100.0, 10.0
    a = quantization * (quantization + 1)
    b = 1 - a / farthest
    steps = np.where(np.isnan(metres), 0, a / metres + b).astype(np.uint16)
    data = rvl(steps, a, b) if coding == "rvl" else header(a, b) + encoded(".png", steps)
    depth = decode_depth(data, f"32FC1; compressedDepth {coding}", LIMIT)
    assert depth.dtype == np.float32 and depth[3, 4] == 0
    valid = ~np.isnan(metres)
    assert np.all(np.abs(depth - metres)[valid] <= metres[valid] ** 2 / a * 1.01)


@pytest.mark.parametrize(
    "depth",
    [
        np.zeros((4, 5), np.uint16),
        np.full((4, 5), 65535, np.uint16),
        np.array([[0, 65535, 1, 0, 0, 65535, 0]], np.uint16),
        np.array([[7]], np.uint16),
        RNG.integers(0, 65536, (60, 80), dtype=np.uint16),
    ],
    ids=["zeros", "largest", "jumps", "one pixel", "noise"],
)
def test_rvl_of_any_depth(depth):
    assert np.array_equal(decode_depth(rvl(depth), "16UC1; compressedDepth rvl", LIMIT), depth)


GOOD = header() + encoded(".png", DEPTH)


@pytest.mark.parametrize(
    "format, data, says",
    [
        ("16UC1; compressedDepth", b"", "empty or truncated"),
        ("16UC1; compressedDepth", header(), "empty or truncated"),
        ("16UC1; compressedDepth", GOOD[: len(GOOD) // 2], "truncated"),
        ("16UC1; compressedDepth", header() + b"junk" * 20, "not a readable"),
        ("16UC1; compressedDepth zstd", GOOD, 'coded as "zstd"'),
        ("8UC1; compressedDepth", GOOD, 'must begin with "16UC1" or "32FC1"'),
        ("", header() + encoded(".png", DEPTH), 'must begin with "16UC1"'),
        ("jpeg", encoded(".jpg", smooth()), 'must begin with "16UC1"'),
        ("16UC1; compressedDepth", header() + encoded(".png", smooth()), "3 x 8 bit"),
        ("16UC1; compressedDepth", header() + encoded(".png", smooth()[:, :, 0]), "1 x 8 bit"),
        ("32FC1; compressedDepth png", GOOD, "unusable quantisation in its header: A = 0, B = 0"),
        ("32FC1; compressedDepth png", header(float("nan"), 1.0) + GOOD[12:], "unusable quantisation"),
        ("32FC1; compressedDepth png", GOOD[12:], "without the header"),
        ("16UC1; compressedDepth rvl", header() + struct.pack("<I", 5), "truncated"),
        ("16UC1; compressedDepth rvl", rvl(DEPTH)[:200], "truncated"),
        ("16UC1; compressedDepth rvl", header() + struct.pack("<II", 60_000, 60_000) + bytes(8), "max_image_pixels"),
        ("16UC1; compressedDepth rvl", header() + struct.pack("<II", 0, 5) + bytes(8), "0x5 pixels"),
        ("16UC1; compressedDepth rvl", header() + struct.pack("<II", 5, 5) + bytes(8), "do not add up"),
        ("16UC1; compressedDepth rvl", header() + struct.pack("<II", 5, 5) + b"\xff" * 8, "ends"),
        ("16UC1; compressedDepth rvl", header() + struct.pack("<II", 5, 5) + b"\xff" * 8 + bytes(4), "32 bits"),
    ],
)
def test_unusable_depth_is_refused_by_name(format, data, says):
    with pytest.raises(ConversionError, match=says):
        decode_depth(data, format, LIMIT)


@pytest.mark.parametrize("kind", ["jpg", "png", "depth png", "rvl"])
def test_damaged_bytes_end_in_pixels_or_a_sentence_and_in_nothing_else(kind):
    data = {"jpg": encoded(".jpg", smooth()), "png": encoded(".png", smooth()), "depth png": GOOD, "rvl": rvl(DEPTH)}[kind]
    read = {"jpg": decode_color, "png": decode_color}.get(kind, decode_depth)
    format = "16UC1; compressedDepth rvl" if kind == "rvl" else "16UC1; compressedDepth"
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in RNG.integers(0, len(data), 3):
            damaged[place] ^= RNG.integers(1, 256)
        try:
            assert read(bytes(damaged), format, LIMIT).size > 0
        except ConversionError as error:
            refused += 1
            assert len(str(error)) < 300
    assert refused > 0
