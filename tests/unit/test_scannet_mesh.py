"""PLY meshes: ScanNet's own form, the other forms of the format, damaged files, and writing."""

from __future__ import annotations

import errno
import resource
import struct

import numpy as np
import pytest
from scannet_files import COLORS, FACES, NYU40, VERTICES, ply_bytes

from scannet_tools.aside import written_aside
from scannet_tools.mesh import Mesh, read_mesh, write_mesh
from scannet_tools.ply import read_ply

MESH = Mesh(VERTICES, COLORS, FACES, NYU40)


def assert_same(mesh: Mesh, expected: Mesh) -> None:
    for name in ("vertices", "colors", "faces", "labels"):
        ours, theirs = getattr(mesh, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        if theirs is not None:
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs), name


@pytest.mark.parametrize("labels", [None, NYU40])
def test_scannets_form(tmp_path, labels):
    path = tmp_path / "a.ply"
    path.write_bytes(ply_bytes(labels))
    assert_same(read_mesh(path), Mesh(VERTICES, COLORS, FACES, labels))


def other_form(order: str, newline: str = "\n") -> bytes:
    """The same mesh with other types, another order of properties, an element more, and a list in the vertices."""
    header = [
        "ply",
        f"format {order} 1.0",
        "comment made by hand",
        "obj_info nothing",
        f"element vertex {len(VERTICES)}",
    ]
    header += ["property ushort label", "property float32 nx", "property list uint8 int16 seen_by"]
    header += ["property uint8 blue", "property uint8 green", "property uint8 red"]
    header += ["property float64 z", "property double y", "property double x"]
    header += [f"element face {len(FACES)}", "property int8 flags", "property list int uint vertex_index"]
    header += ["element edge 1", "property int a", "end_header", ""]
    rows = []
    for point, color, label in zip(VERTICES, COLORS, NYU40):
        rows.append(("HfBhhBBBddd", label, 0.5, 2, -7, 9, *color[::-1], *point[::-1]))
    rows += [("biIII", -1, 3, *face) for face in FACES]
    rows.append(("i", 5))
    if order == "ascii":
        body = newline.join(
            " ".join(repr(value.item() if isinstance(value, np.generic) else value) for value in row[1:])
            for row in rows
        )
        return (newline.join(header) + body + newline).encode()
    sign = "<" if "little" in order else ">"
    return newline.join(header).encode() + b"".join(struct.pack(sign + row[0], *row[1:]) for row in rows)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_other_forms_hold_the_same(tmp_path, order):
    path = tmp_path / "a.ply"
    path.write_bytes(other_form(order))
    assert_same(read_mesh(path), MESH)
    elements = read_ply(path)
    assert elements["edge"]["a"].tolist() == [5]
    assert np.array_equal(elements["vertex"]["seen_by"], np.tile([-7, 9], (len(VERTICES), 1)))
    assert elements["vertex"]["z"].dtype == np.float64 and elements["vertex"]["z"].dtype.isnative


def test_lines_of_windows(tmp_path):
    path = tmp_path / "a.ply"
    path.write_bytes(other_form("ascii", "\r\n"))
    assert_same(read_mesh(path), MESH)


HEADER = """ply
format {} 1.0
element vertex 5
property float x
property float y
property float z
element face 4
property list uchar int vertex_indices
end_header
"""
POINTS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 2, 2)]
POLYGONS = [(0, 1, 2), (0, 1, 2, 3), (1, 2), (4, 3, 2, 1, 0)]


def polygons(order: str) -> bytes:
    if order == "ascii":
        lines = [" ".join(map(str, point)) for point in POINTS] + [
            f"{len(p)} " + " ".join(map(str, p)) for p in POLYGONS
        ]
        return (HEADER.format(order) + "\n".join(lines)).encode()
    sign = "<" if "little" in order else ">"
    body = b"".join(struct.pack(sign + "fff", *point) for point in POINTS)
    return (
        HEADER.format(order).encode() + body + b"".join(struct.pack(f"{sign}B{len(p)}i", len(p), *p) for p in POLYGONS)
    )


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_polygons_are_cut_into_triangles(tmp_path, order):
    path = tmp_path / "a.ply"
    path.write_bytes(polygons(order))
    mesh = read_mesh(path)
    # two corners are no face; the others are fans around their first corner
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [4, 3, 2], [4, 2, 1], [4, 1, 0]]
    assert np.array_equal(mesh.vertices, np.array(POINTS, np.float32))
    assert (mesh.colors == 128).all() and mesh.labels is None


def test_quads_only(tmp_path):
    """Lists that are all of one length are read at once."""
    path = tmp_path / "a.ply"
    text = HEADER.format("ascii").replace("face 4", "face 2") + "0 0 0 1 0 0 1 1 0 0 1 0 2 2 2\n4 0 1 2 3\n4 4 1 2 3\n"
    path.write_text(text)
    assert read_mesh(path).faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 1, 2], [4, 2, 3]]


def test_points_only(tmp_path):
    path = tmp_path / "a.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\n"
        "property float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n"
    )
    mesh = read_mesh(path)
    assert mesh.vertices.tolist() == [[1, 2, 3]] and mesh.faces.shape == (0, 3) and mesh.faces.dtype == np.int32


def test_no_vertices(tmp_path):
    path = tmp_path / "a.ply"
    write_mesh(path, Mesh(VERTICES[:0], COLORS[:0], FACES[:0]))
    assert len(read_mesh(path)) == 0 and read_mesh(path).faces.shape == (0, 3)


@pytest.mark.parametrize(
    "data",
    [ply_bytes(NYU40), other_form("binary_big_endian")[:-4], polygons("binary_little_endian")],
    ids=["scannet", "other", "polygons"],
)
def test_cut_short_anywhere(tmp_path, data):
    """At each of many places, the last byte among them: an error with the file's name, never fewer vertices."""
    path = tmp_path / "short.ply"
    for end in sorted({*np.linspace(0, len(data) - 1, 60).astype(int).tolist(), len(data) - 1}):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match="short.ply: (cut short|not a PLY)"):
            read_mesh(path)


def test_cut_short_ascii(tmp_path):
    path = tmp_path / "short.ply"
    lines = polygons("ascii").splitlines(keepends=True)
    for end in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:end]))
        with pytest.raises(ValueError, match="short.ply: (cut short|not a PLY)"):
            read_mesh(path)


def test_a_count_that_is_a_lie_costs_no_memory(tmp_path):
    """A damaged header promises more rows than any machine could hold."""
    path = tmp_path / "short.ply"
    path.write_bytes(ply_bytes().replace(f"vertex {len(VERTICES)}".encode(), b"vertex 999999999999"))
    with pytest.raises(ValueError, match="short.ply: cut short"):
        read_mesh(path)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (b"", "not a PLY file"),
        (b"\x1f\x8b\x08 something packed", "not a PLY file"),
        (b"ply\nformat ascii 1.0\nelement vertex", "no line 'end_header'"),
        (b"ply\nelement vertex 0\nend_header\n", "'format ...' is missing"),
        (b"ply\nformat binary_middle_endian 1.0\nend_header\n", "binary_middle_endian"),
        (b"ply\nformat ascii 1.0\nelement vertex -1\nend_header\n", "vertex -1"),
        (b"ply\nformat ascii 1.0\nelement vertex many\nend_header\n", "vertex many"),
        (b"ply\nformat ascii 1.0\nproperty float x\nend_header\n", "property float x"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n", "property half x"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty list float int x\nend_header\n",
            "property list float int x",
        ),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty int x\nend_header\n1 1", "twice"),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999\nend_header\n", "no properties"),
        (b"ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n", "x, y and z"),
    ],
)
def test_not_a_mesh(tmp_path, wrong, sentence):
    path = tmp_path / "wrong.ply"
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match="wrong.ply: .*" + sentence):
        read_mesh(path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("3 2 1 0", "3 2 1 5", "names a vertex that is none of its 5"),
        ("3 2 1 0", "3 2 1 -1", "names a vertex"),
        ("2 2 2", "2 nan 2", "1 vertices have no finite place"),
        ("2 2 2", "2 two 2", "not a number"),
        ("2 1 2", "-2 1 2", "length -2"),
        ("2 1 2", "1.5 1 2", "length 1.5"),
        ("2 1 2", "nan 1 2", "length nan"),
        ("2 2 2", "2 1e300 2", "1 vertices have no finite place"),
        ("3 2 1 0", "3 2 1 99999999999", "does not fit its type"),
    ],
)
def test_damaged_ascii(tmp_path, old, new, sentence):
    path = tmp_path / "wrong.ply"
    text = polygons("ascii").decode()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=f"wrong.ply: damaged: .*{sentence}"):
        read_mesh(path)


def test_an_endless_list(tmp_path):
    path = tmp_path / "wrong.ply"
    path.write_text(polygons("ascii").decode().replace("2 1 2", "inf 1 2"))
    with pytest.raises(ValueError, match="wrong.ply: cut short"):
        read_mesh(path)


def test_colors_of_another_type(tmp_path):
    path = tmp_path / "wrong.ply"
    lines = [f"property float {name}" for name in ("x", "y", "z", "red", "green", "blue")]
    path.write_text(
        "\n".join(["ply", "format ascii 1.0", "element vertex 1", *lines, "end_header", "0 0 0 0.5 0.5 0.5"])
    )
    with pytest.raises(ValueError, match="wrong.ply: its colours are float32; write them as uchar"):
        read_mesh(path)


@pytest.mark.parametrize("label", ["-1", "65536", "1.5"])
def test_a_label_that_is_no_id(tmp_path, label):
    path = tmp_path / "wrong.ply"
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty int y\nproperty int z\n"
    path.write_text(f"{header}property double label\nend_header\n0 0 0 {label}\n")
    with pytest.raises(ValueError, match="wrong.ply: .*no class id"):
        read_mesh(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.ply"):
        read_mesh(tmp_path / "nothing.ply")


@pytest.mark.parametrize("labels", [None, NYU40])
def test_written_as_scannet_has_it(tmp_path, labels):
    path = tmp_path / "a.ply"
    write_mesh(path, Mesh(VERTICES, COLORS, FACES, labels))
    assert path.read_bytes() == ply_bytes(labels).replace(b"comment VCGLIB generated\n", b"")
    assert [item.name for item in tmp_path.iterdir()] == ["a.ply"]


@pytest.mark.parametrize("form", ["ours", "ascii", "binary"])
def test_open3d_agrees(tmp_path, form):
    """An independent reader and writer."""
    o3d = pytest.importorskip("open3d")
    path = str(tmp_path / "a.ply")
    if form == "ours":
        write_mesh(path, MESH)
        theirs = o3d.io.read_triangle_mesh(path)
        assert np.array_equal(np.asarray(theirs.vertices), VERTICES.astype(np.float64))
        assert np.array_equal(np.asarray(theirs.triangles), FACES)
        assert np.array_equal(np.round(np.asarray(theirs.vertex_colors) * 255), COLORS)
        return
    theirs = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(VERTICES), o3d.utility.Vector3iVector(FACES))
    theirs.vertex_colors = o3d.utility.Vector3dVector(COLORS / 255)
    theirs.compute_vertex_normals()
    assert o3d.io.write_triangle_mesh(path, theirs, write_ascii=form == "ascii")
    ours = read_mesh(path)
    assert np.allclose(ours.vertices, VERTICES, atol=1e-6) and np.array_equal(ours.faces, FACES)
    assert np.array_equal(ours.colors, COLORS)


def test_arrays_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="a.ply: .*as many colours and labels"):
        write_mesh(tmp_path / "a.ply", Mesh(VERTICES, COLORS[1:], FACES))
    with pytest.raises(ValueError, match="a.ply: .*as many colours and labels"):
        write_mesh(tmp_path / "a.ply", Mesh(VERTICES, COLORS, FACES, NYU40[1:]))
    assert not list(tmp_path.iterdir())


def test_no_room(tmp_path):
    """The system refuses the bytes: the error names the file, the old one stands, nothing else is left."""
    path = tmp_path / "a.ply"
    path.write_text("what was there")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="a.ply: cannot be written: .*make room") as caught:
            write_mesh(path, MESH)
        assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [item.name for item in tmp_path.iterdir()] == ["a.ply"] and path.read_text() == "what was there"


def test_no_such_folder(tmp_path):
    with pytest.raises(OSError, match="missing/a.ply: cannot be written"):
        write_mesh(tmp_path / "missing" / "a.ply", MESH)


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    """Who reads one file while writing another must not hear that the wrong one is at fault."""
    with pytest.raises(FileNotFoundError, match="source.txt") as caught, written_aside(tmp_path / "a.bin") as file:
        file.write((tmp_path / "source.txt").read_bytes())
    assert "a.bin" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "a.bin").mkdir()
    with (
        pytest.raises(OSError, match="a.bin: cannot be written: Is a directory"),
        written_aside(tmp_path / "a.bin") as file,
    ):
        file.write(b"whole")
    assert [item.name for item in tmp_path.iterdir()] == ["a.bin"]


def test_interrupted_while_writing(tmp_path):
    with pytest.raises(KeyboardInterrupt), written_aside(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_written_file_can_be_read_by_others(tmp_path):
    with written_aside(tmp_path / "a.bin") as file:
        file.write(b"whole")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode
