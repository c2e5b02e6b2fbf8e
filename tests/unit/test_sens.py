"""The .sens reader and writer: every field comes back, and every known trap of real files has its answer."""

from __future__ import annotations

import dataclasses
import logging
import struct
import zlib

import cv2
import numpy as np
import pytest

from lisa_ros.geometry import Camera
from scannet_tools.sens import SensFile, SensHeader, SensWriter
from scannet_tools.sens.header import COUNT, FRAME, IMU, MOST_ITEMS, pack_header

COLOR, DEPTH = (64, 48), (32, 24)
LOST = np.full((4, 4), -np.inf, np.float32)


def intrinsics(fx: float, size: tuple[int, int]) -> np.ndarray:
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 0] = matrix[1, 1] = fx
    matrix[0, 2], matrix[1, 2] = (size[0] - 1) / 2, (size[1] - 1) / 2
    return matrix


HEADER = SensHeader(COLOR, DEPTH, intrinsics(60, COLOR), intrinsics(30, DEPTH))


def pose(x: float) -> np.ndarray:
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 3] = x
    return matrix


def color(number: int) -> np.ndarray:
    """Smooth, so that JPEG keeps it."""
    ramp = np.linspace(0, 200, COLOR[0]).astype(np.uint8)
    return np.dstack([np.tile(ramp, (COLOR[1], 1))] * 2 + [np.full((COLOR[1], COLOR[0]), 10 * number, np.uint8)])


def depth(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 8000, DEPTH[::-1]).astype(np.uint16)


def write(path, frames: int = 4, *, stamps=lambda number: 33_000 * (number + 1), lost=(), imu: int = 0, **changes):
    with SensWriter(path, dataclasses.replace(HEADER, **changes)) as writer:
        for number in range(frames):
            at = LOST if number in lost else pose(number)
            writer.add(color(number), depth(number), at, stamps(number), stamps(number))
        if imu:
            readings = np.zeros(imu, IMU)
            readings["timestamp_us"], readings["gravity"] = np.arange(imu), (0, 0, -1)
            writer.add_imu(readings)
    return path


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("depth_compression", ["raw", "zlib"])
@pytest.mark.parametrize("color_compression", ["raw", "png", "jpeg"])
def test_everything_comes_back(tmp_path, version, color_compression, depth_compression):
    path = write(
        tmp_path / "a.sens", lost=(2,), version=version, color_compression=color_compression,
        depth_compression=depth_compression, sensor_name="Structure (calibrated)", imu=3 if version == 4 else 0,
    )  # fmt: skip
    with SensFile(path) as sens:
        assert (sens.version, sens.sensor_name, len(sens), sens.announced_frames) == (
            version, "Structure (calibrated)", 4, 4,
        )  # fmt: skip
        assert (sens.color_compression, sens.depth_compression) == (color_compression, depth_compression)
        assert (sens.color_size, sens.depth_size, sens.depth_shift, sens.truncated) == (COLOR, DEPTH, 1000.0, False)
        np.testing.assert_array_equal(sens.intrinsic_depth, HEADER.intrinsic_depth)
        assert sens.pose_valid().tolist() == [True, True, False, True]
        for number in (3, 0, 2):  # in any order
            frame = sens.frame(number)
            np.testing.assert_array_equal(frame.depth_units(), depth(number))
            np.testing.assert_allclose(frame.depth(), depth(number) / 1000, rtol=1e-6)
            tolerance = 6 if color_compression == "jpeg" else 0
            assert np.abs(frame.color().astype(int) - color(number)).max() <= tolerance
            assert (frame.index, frame.color_us, frame.pose_valid) == (number, 33_000 * (number + 1), number != 2)
        np.testing.assert_array_equal(sens.frame(1).camera_to_world, pose(1))
        assert len(sens.imu) == (3 if version == 4 else 0)
        if version == 4:
            np.testing.assert_array_equal(sens.imu["gravity"][2], (0, 0, -1))
        with pytest.raises(IndexError, match="has 4 frames; there is no frame 4"):
            sens.frame(4)


def test_the_bytes_are_those_of_the_format(tmp_path):
    """Written by hand from the format's table; the writer gives the same, and stored pictures come through untouched."""
    jpeg, packed = cv2.imencode(".jpg", color(0)[:, :, ::-1])[1].tobytes(), zlib.compress(depth(0).tobytes())
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(jpeg, packed, pose(7), 5, 6)
    expected = struct.pack("<IQ", 4, 15) + b"StructureSensor"
    for matrix in (HEADER.intrinsic_color, np.eye(4), HEADER.intrinsic_depth, np.eye(4)):
        expected += matrix.astype("<f4").tobytes()
    expected += struct.pack("<ii4IfQ", 2, 1, 64, 48, 32, 24, 1000.0, 1)
    expected += pose(7).astype("<f4").tobytes() + struct.pack("<4Q", 5, 6, len(jpeg), len(packed)) + jpeg + packed
    expected += struct.pack("<Q", 0)
    assert (tmp_path / "a.sens").read_bytes() == expected
    with SensFile(tmp_path / "a.sens") as sens:
        assert sens.frame(0).color_bytes() == jpeg and sens.frame(0).depth_bytes() == packed


def test_a_frame_of_the_house(tmp_path):
    with SensFile(write(tmp_path / "a.sens", lost=(1,))) as sens:
        frame, lost = sens.geometry_frame(2), sens.geometry_frame(1)
    assert frame.camera.fx == pytest.approx(60) and frame.stamp_ns == 1_099_000_000
    np.testing.assert_array_equal(frame.camera_to_world, pose(2))
    assert lost.camera_to_world is None


# ---- cut off ----
def test_a_file_cut_off_anywhere_keeps_its_whole_frames(tmp_path, caplog):
    path = write(tmp_path / "a.sens", imu=2)
    data = path.read_bytes()
    with SensFile(path) as sens:
        pictures = [len(sens.frame(n).color_bytes()) + len(sens.frame(n).depth_bytes()) for n in range(4)]
    header = 304 + len(HEADER.sensor_name)
    ends = (header + np.cumsum([96 + stored for stored in pictures])).tolist()
    for size in (header, header + 50, ends[0] - 1, ends[0], ends[1] + 95, ends[2] + 96, ends[3]):
        path.write_bytes(data[:size])
        whole = sum(end <= size for end in ends)
        caplog.clear()
        with SensFile(path) as sens, caplog.at_level(logging.WARNING):
            assert (len(sens), sens.truncated, len(sens.imu)) == (whole, whole < 4, 0)
            if whole:
                np.testing.assert_array_equal(sens.frame(whole - 1).depth_units(), depth(whole - 1))
        if whole < 4:
            assert f"{whole} of 4 frames are there" in caplog.text
    path.write_bytes(data[:-10])
    with SensFile(path) as sens:
        assert (len(sens), len(sens.imu), sens.truncated) == (4, 1, True)
    path.write_bytes(data[: ends[1]].ljust(len(data), b"\0"))  # room taken by a download that never came
    with SensFile(path) as sens:
        assert (len(sens), sens.truncated) == (2, True)
    path.write_bytes(data[: ends[3]] + COUNT.pack(2**50))
    with SensFile(path) as sens:
        assert (len(sens), len(sens.imu), sens.truncated) == (4, 0, True)
    for size in (0, 5, 30, header - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match="a.sens: "):
            SensFile(path)


# ---- hostile ----
@pytest.mark.parametrize(
    ("at", "format", "value", "says"),
    [
        (0, "<I", 2, "version 2 of the .sens format is not supported, only 3 and 4"),
        (0, "<I", 0x04034B50, "this is no .sens file"),
        (4, "<Q", 2**60, "the sensor's name has"),
        (287, "<i", 2, "OCCI"),
        (287, "<i", 9, "depth compression 9"),
        (291, "<I", 2**31, "damaged: colour pictures of"),
        (0, "<I", 0, "version 0 of the .sens format is not supported"),
        (0, "<I", 1, "version 1 of the .sens format is not supported"),
        (0, "<I", 5, "its version 5 is not supported"),
        (283, "<i", 3, "colour compression 3"),
        (291, "<I", 0, "damaged: colour pictures of 0x48 pixels"),
        (299, "<I", 2**24, "damaged: depth pictures of 16777216x24 pixels"),
        (311, "<Q", 2**62, "4611686018427387904 frames are announced"),
        (307, "<f", float("nan"), "depth_shift is nan"),
        (307, "<f", 0.0, "depth_shift is 0.0"),
        (307, "<f", 1e-38, "depth_shift is 9.99"),
    ],
)
def test_headers_that_cannot_be(tmp_path, at, format, value, says):
    path = write(tmp_path / "a.sens")
    data = bytearray(path.read_bytes())
    struct.pack_into(format, data, at, value)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=says) as error:
        SensFile(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("sizes", [(2**63, 2**63), (2**40, 10), (10, 2**40), (0, 0)])
def test_sizes_that_lie_cost_nothing(tmp_path, sizes):
    """The file has a hole of 2 TB (which takes no room), so that the pictures would be there."""
    path = tmp_path / "a.sens"
    with path.open("wb") as file:
        file.write(pack_header(HEADER, MOST_ITEMS) + np.array((np.eye(4), 0, 0, *sizes), FRAME).tobytes())
        file.truncate(2**41)
    with SensFile(path) as sens:
        assert (len(sens), sens.truncated, sens.announced_frames) == (0, True, MOST_ITEMS)


@pytest.mark.parametrize(
    ("field", "value"),
    [("color_compression", "unknown"), ("depth_compression", "unknown")],
)
def test_unknown_compression_is_refused_by_name(tmp_path, field, value):
    at, path = {"color_compression": 283, "depth_compression": 287}[field], write(tmp_path / "a.sens")
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, at, -1)
    path.write_bytes(data)
    with SensFile(path) as sens:
        assert getattr(sens, field) == value
        with pytest.raises(ValueError, match=r"a\.sens: frame 2: the file does not say how .* is compressed"):
            sens.geometry_frame(2)


def test_cameras_that_cannot_be_name_the_file(tmp_path):
    singular = np.zeros((4, 4), np.float32)
    for field in ("intrinsic_color", "intrinsic_depth", "extrinsic_color", "extrinsic_depth"):
        with SensFile(write(tmp_path / "a.sens", **{field: singular})) as sens:
            with pytest.raises(ValueError, match=r"a\.sens: .*(intrinsics of|extrinsic_)"):
                sens.geometry_frame(0)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (zlib.compress(bytes(50_000_000)), "1537 bytes of depth, 32x24 take 1536"),
        (zlib.compress(bytes(1536))[:-8], "bytes of depth, 32x24 take 1536|incomplete"),
        (zlib.compress(bytes(100)), "100 bytes of depth"),
        (b"no zlib at all", "depth picture is damaged"),
        (b"", "0 bytes of depth"),
    ],
)
def test_depth_that_is_not_what_it_should_be(tmp_path, stored, says):
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(color(0), stored, pose(0))
    with SensFile(tmp_path / "a.sens") as sens, pytest.raises(ValueError, match=f"frame 0: .*{says}"):
        sens.frame(0).depth()


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (cv2.imencode(".jpg", np.zeros((48, 60, 3), np.uint8))[1].tobytes(), "is 60x48, the header says 64x48"),
        (cv2.imencode(".png", np.zeros((9000, 9000, 3), np.uint8))[1].tobytes(), "is 9000x9000, the header says"),
        (b"\xff\xd8 no picture", "colour picture .* is damaged"),
        (b"", "colour picture .* is damaged"),
    ],
)
def test_colour_that_is_not_what_it_should_be(tmp_path, stored, says):
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(stored, depth(0), pose(0))
    with SensFile(tmp_path / "a.sens") as sens, pytest.raises(ValueError, match=f"frame 0: .*{says}"):
        sens.geometry_frame(0)


# ---- poses and stamps ----
def test_poses_that_are_none(tmp_path):
    scaled, sheared, nan = 2 * np.eye(4), np.eye(4), np.eye(4)
    scaled[3, 3], sheared[3, 0], nan[0, 3] = 1, 0.5, np.nan
    no_rotation = np.eye(4)
    no_rotation[0, 0] = 0
    mirror, stretched = np.diag([1.0, 1, -1, 1]), np.diag([2.0, 0.5, 1, 1])  # the second has determinant 1
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        for matrix in (pose(0), LOST, scaled, sheared, nan, no_rotation, np.zeros((4, 4)), mirror, stretched):
            writer.add(color(0), depth(0), matrix)
    with SensFile(tmp_path / "a.sens") as sens:
        assert sens.pose_valid().tolist() == [True] + 8 * [False]


@pytest.mark.parametrize(
    "stamps",
    [
        pytest.param([0, 0, 0, 0], id="zero"),
        pytest.param([33_000, 33_000, 66_000, 99_000], id="repeated"),
        pytest.param([33_000, 66_000, 2**63, 132_000], id="a random one"),
        pytest.param([33_000, 99_000, 66_000, 132_000], id="backwards"),
        pytest.param([1, 2, 3, 4], id="too dense"),
    ],
)
def test_bad_stamps_are_replaced_for_the_whole_file(tmp_path, stamps):
    with SensFile(write(tmp_path / "a.sens", stamps=lambda number: stamps[number])) as sens:
        assert not sens.stamps_from_file
        assert sens.stamps_ns().tolist() == [1_000_000_000, 1_033_333_333, 1_066_666_666, 1_100_000_000]


def test_good_stamps_are_kept(tmp_path):
    late = 1_500_000_000_000_000
    with SensFile(write(tmp_path / "a.sens", stamps=lambda number: late + 33_000 * number)) as sens:
        assert sens.stamps_from_file and sens.stamps_ns().tolist() == [(late + 33_000 * n) * 1000 for n in range(4)]
    with SensFile(write(tmp_path / "a.sens", stamps=lambda number: 33_000 * number)) as sens:
        assert sens.stamps_ns()[0] == 1_000_000_000 and np.diff(sens.stamps_ns()).tolist() == [33_000_000] * 3


# ---- depth and colour ----
def test_scannets_own_scaling_is_the_same_view(tmp_path):
    """First pixel on first, last on last: what ScanNet's calibration leaves."""
    k_color = intrinsics(1170, (1296, 968))
    k_depth = k_color.copy()
    k_depth[0, 0] *= 640 / 1296
    k_depth[1, 1] *= 480 / 968
    k_depth[0, 2] *= 639 / 1295
    k_depth[1, 2] *= 479 / 967
    header = SensHeader((1296, 968), (640, 480), k_color, k_depth)
    units = np.random.default_rng(0).integers(0, 4000, (480, 640)).astype(np.uint16)
    with SensWriter(tmp_path / "a.sens", header) as writer:
        writer.add(np.zeros((968, 1296, 3), np.uint8), units, pose(0))
    with SensFile(tmp_path / "a.sens") as sens:
        np.testing.assert_array_equal(sens.frame(0).depth(), units.astype(np.float32) / 1000)


def test_released_intrinsics_bring_each_depth_pixel_where_its_direction_is(tmp_path):
    """Those of most released scans: depth's 577.87 is 1170.19 scaled to 640 columns, but 480 rows would make it 580.26, so
    that the outer rows are a pixel apart. No pixel is lost or invented on the way.
    """
    k_color, k_depth = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    k_color[:2, :3] = [[1170.187988, 0, 647.75], [0, 1170.187988, 483.75]]
    k_depth[:2, :3] = [[577.870605, 0, 319.5], [0, 577.870605, 239.5]]
    units = np.repeat(np.arange(1, 481, dtype=np.uint16)[:, None], 640, axis=1)  # each pixel knows its row
    with SensWriter(tmp_path / "a.sens", SensHeader((1296, 968), (640, 480), k_color, k_depth)) as writer:
        writer.add(np.zeros((968, 1296, 3), np.uint8), units, pose(0))
    with SensFile(tmp_path / "a.sens") as sens:
        frame = sens.geometry_frame(0)
    assert (frame.depth > 0).all()
    camera = frame.depth_camera
    tangent = (np.arange(480) - camera.cy) / camera.fy
    row = np.round(frame.depth[:, 320] * 1000) - 1
    assert np.abs((row - 239.5) / 577.870605 - tangent).max() <= 0.5 / 577.870605 + 1e-6
    assert (row[0], row[240], row[479]) == (1, 240, 478)


def room(camera: Camera) -> np.ndarray:
    """float64 [h,w] metres: a slanted wall with a box before it, as `camera` sees them.

    The wall goes through (0, 0, 2) and recedes to the right and downwards; the box's face is at 1 m. Its edges fall
    between the pixels of both cameras of a released scan, the upper and the lower one on other rows in each.
    """
    across, down = np.meshgrid(
        (np.arange(camera.width) - camera.cx) / camera.fx, (np.arange(camera.height) - camera.cy) / camera.fy
    )
    box = (across > -0.1) & (across < 0.2493) & (down > -0.3811) & (down < 0.3910)
    return np.where(box, 1.0, 2 / (1 - 0.3 * across - 0.5 * down))


def released(path):
    """A file of one frame with the sizes and intrinsics of most released scans, which sees `room`."""
    k_color, k_depth = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    k_color[:2, :3] = [[1170.187988, 0, 647.75], [0, 1170.187988, 483.75]]
    k_depth[:2, :3] = [[577.870605, 0, 319.5], [0, 577.870605, 239.5]]
    seen = room(Camera(577.870605, 577.870605, 319.5, 239.5, 640, 480))
    with SensWriter(path, SensHeader((1296, 968), (640, 480), k_color, k_depth)) as writer:
        writer.add(np.zeros((968, 1296, 3), np.uint8), np.rint(seen * 1000).astype(np.uint16), pose(0))
    return path


def test_a_wall_and_a_box_are_where_colour_sees_them(tmp_path):
    """To the pixel: what the colour camera would measure itself, which the depth picture as stored is not."""
    with SensFile(released(tmp_path / "a.sens")) as sens:
        frame, stored = sens.geometry_frame(0), sens.frame(0).depth_units() / 1000
    shown = room(frame.depth_camera)
    assert np.abs(frame.depth - shown).max() < 0.003  # what the wall recedes by in half a pixel; the box is exact
    wrong, before = ((depth < 1.2) != (shown < 1.2) for depth in (frame.depth, stored))
    assert wrong.sum() == 0 and before.sum() == 2 * 202  # as stored the upper and the lower edge are a row off


def test_depth_that_sees_less_than_colour_leaves_the_rest_empty(tmp_path):
    narrow = intrinsics(90, DEPTH)  # three times as long as colour's at this size: every third pixel, in the middle third
    with SensFile(write(tmp_path / "a.sens", intrinsic_depth=narrow)) as sens:
        seen = sens.frame(1).depth()
    expected = np.zeros_like(seen)
    expected[8:16, 11:21] = depth(1)[1:24:3, 2:30:3] / 1000
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_depth_of_a_camera_beside_is_moved_into_colours_view(tmp_path):
    """A wall at 2 m with a box at 1 m, seen 0.1 m to the left of colour: at fx 30 the wall moves by 1.5 pixels, the box
    by 3, and hides what is behind it.
    """
    beside = np.eye(4, dtype=np.float32)
    beside[0, 3] = 0.1
    units = np.full(DEPTH[::-1], 2000, np.uint16)
    units[8:16, 10:20] = 1000
    with SensWriter(tmp_path / "a.sens", dataclasses.replace(HEADER, extrinsic_depth=beside)) as writer:
        writer.add(color(0), units, pose(0))
    with SensFile(tmp_path / "a.sens") as sens:
        moved = sens.frame(0).depth()
    assert moved.shape == units.shape and (moved[8:16, 13:23] == 1.0).all() and (moved == 1.0).sum() == 80
    assert set(np.unique(moved).tolist()) == {0.0, 1.0, 2.0}


def test_an_empty_depth_picture_is_no_error(tmp_path):
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(color(0), np.zeros(DEPTH[::-1], np.uint16), pose(0))
    with SensFile(tmp_path / "a.sens") as sens:
        assert not sens.geometry_frame(0).depth.any()


# ---- writing ----
def test_a_pictures_own_orientation_does_not_turn_it(tmp_path):
    """A phone's JPEG may say "turn me"; depth, camera and pose are of the pixels as stored."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    Image.fromarray(color(3)).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    with SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add((tmp_path / "turned.jpg").read_bytes(), depth(0), pose(0))
    with SensFile(tmp_path / "a.sens") as sens:
        assert np.abs(sens.frame(0).color().astype(int) - color(3)).max() <= 6


def test_nothing_half_written_is_left(tmp_path):
    with pytest.raises(KeyboardInterrupt), SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(color(0), depth(0), pose(0))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match="a.sens: cannot be written"):
        try:
            with SensWriter(tmp_path / "a.sens", dataclasses.replace(HEADER, color_compression="raw")) as writer:
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
                for number in range(10):
                    writer.add(color(0), depth(0), pose(number))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path):
    for changes in ({"version": 2}, {"color_compression": "gif"}, {"depth_compression": "occi"}):
        with pytest.raises(ValueError):
            SensWriter(tmp_path / "a.sens", dataclasses.replace(HEADER, **changes))
    with pytest.raises(ValueError, match="5000 bytes"):
        SensWriter(tmp_path / "a.sens", dataclasses.replace(HEADER, sensor_name=5000 * "n"))
    with pytest.raises(ValueError, match="uint8"), SensWriter(tmp_path / "a.sens", HEADER) as writer:
        writer.add(color(0)[:10], depth(0), pose(0))
    with pytest.raises(ValueError, match="no IMU"), SensWriter(
        tmp_path / "a.sens", dataclasses.replace(HEADER, version=3)
    ) as writer:
        writer.add_imu(np.zeros(1, IMU))
