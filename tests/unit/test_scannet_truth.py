"""The truth rendered from a mesh, against geometry worked out by hand, and its occlusion test."""

from __future__ import annotations

import numpy as np
import pytest
from scannet_files import CHAIR, COLORS, FACES, SURFACES, VERTICES, WALL
from scipy.spatial.transform import Rotation

from lisa_ros.geometry import Camera
from scannet_tools.annotation import AnnotatedObject, Annotation
from scannet_tools.mesh import Mesh

pytest.importorskip("open3d")

from scannet_tools.truth import HIDDEN_M, HIDDEN_PER_M2, VertexRenderer  # noqa: E402

MESH = Mesh(VERTICES, COLORS, FACES)
OBJECTS = np.zeros(len(VERTICES), np.uint16)
OBJECTS[SURFACES["wall"]], OBJECTS[SURFACES["chair"]] = WALL, CHAIR
ANNOTATION = Annotation(OBJECTS, (AnnotatedObject(WALL, "wall"), AnnotatedObject(CHAIR, "chair")))
CAMERA = Camera(150.0, 140.0, 79.5, 58.0, 160, 120)

# looking along the world's y, 1 m above the floor
AHEAD = np.eye(4)
AHEAD[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
AHEAD[:3, 3] = (0.013, 0.0, 1.007)


def tilted(seed: int) -> np.ndarray:
    """The same view, turned by up to 15 degrees and moved by up to 20 cm."""
    rng = np.random.default_rng(seed)
    pose = AHEAD.copy()
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_euler("xyz", rng.uniform(-15, 15, 3), degrees=True).as_matrix()
    pose[:3, 3] += rng.uniform(-0.2, 0.2, 3)
    return pose


def by_hand(camera: Camera, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(object id, depth) of every pixel: rays against three rectangles, in float64."""
    v, u = np.mgrid[: camera.height, : camera.width]
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1) @ pose[:3, :3].T
    eye = pose[:3, 3]
    ids, depth = np.zeros(u.shape, int), np.full(u.shape, np.inf)
    for number, axis, at, low, high in (
        (WALL, 1, 3.0, (-2, -9, 0), (2, 9, 2.5)),
        (CHAIR, 1, 2.0, (-0.5, -9, 0.5), (0.5, 9, 1.5)),
        (0, 2, 0.0, (-2, 0, -9), (2, 3, 9)),
    ):
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (at - eye[axis]) / ray[..., axis]
            point = eye + ray * distance[..., None]
        on = (distance > 0) & (distance < depth) & ((point >= low) & (point <= high) | (np.arange(3) == axis)).all(-1)
        ids[on], depth[on] = number, distance[on]
    return ids, np.where(np.isfinite(depth), depth, 0)


@pytest.fixture(scope="module")
def renderer() -> VertexRenderer:
    return VertexRenderer(MESH, ANNOTATION)


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel(renderer, seed):
    """But for those whose ray meets an edge: there 32 bits may decide otherwise."""
    pose = AHEAD if seed == 0 else tilted(seed)
    ids, depth = by_hand(CAMERA, pose)
    ours = renderer.instances(CAMERA, pose)
    assert ours.dtype == np.uint16 and set(np.unique(ours)) == {0, WALL, CHAIR}
    assert np.count_nonzero(ours != ids) <= 3
    rendered = renderer.depth(CAMERA, pose)
    assert rendered.dtype == np.float32 and rendered.shape == (120, 160)
    assert np.count_nonzero(np.abs(rendered - depth) > 1e-4) <= 3


def test_each_vertex_is_seen_where_it_projects_to(renderer):
    """An independent way round: from the vertex to the pixel."""
    pose = tilted(5)
    vertices = renderer.vertices(CAMERA, pose)
    assert vertices.dtype == np.int32 and vertices.shape == (120, 160)
    in_camera = (VERTICES - pose[:3, 3]) @ pose[:3, :3]
    pixel = CAMERA.project(in_camera)
    depth = by_hand(CAMERA, pose)[1]
    checked = 0
    for number, (u, v) in enumerate(pixel):
        if np.isnan(u) or not (1 <= u < 158 and 1 <= v < 118):
            continue
        column, row = round(u), round(v)
        around = depth[row - 1 : row + 2, column - 1 : column + 2]
        if np.ptp(around) > 0.2 or abs(around.mean() - in_camera[number, 2]) > 0.1:
            continue  # hidden, or on an edge
        if number in range(*SURFACES["floor"].indices(len(VERTICES))):
            continue  # seen at a slant, a pixel covers more than a triangle there
        assert vertices[row, column] == number
        checked += 1
    assert checked > 40


def test_seen_from_behind(renderer):
    pose = AHEAD.copy()
    pose[:3, :3] = pose[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    pose[:3, 3] = (0, 9, 1)  # behind the wall, looking back at it; the chair is hidden by it
    seen = renderer.instances(CAMERA, pose)
    assert set(np.unique(seen)) == {0, WALL} and seen[58, 79] == WALL


def test_nothing_there(renderer):
    pose = AHEAD.copy()
    pose[:3, 3] = (0, 10, 1)
    assert not renderer.instances(CAMERA, pose).any() and not renderer.depth(CAMERA, pose).any()
    assert (renderer.vertices(CAMERA, pose) == -1).all()


def test_a_camera_of_another_size_in_between(renderer):
    """The rays of the last camera are kept; another one must not get them."""
    first = renderer.instances(CAMERA, AHEAD)
    half = renderer.instances(CAMERA.scaled_to(80, 60), AHEAD)
    other = renderer.instances(Camera(75.0, 70.0, 20.0, 29.0, 80, 60), AHEAD)
    assert half.shape == other.shape == (60, 80) and not np.array_equal(half, other)
    assert np.array_equal(renderer.instances(CAMERA, AHEAD), first)


def test_what_stands_in_front_hides(renderer):
    """A person in front of the chair, whom the mesh has not: those pixels show no object."""
    ids, depth = by_hand(CAMERA, AHEAD)
    measured = depth.astype(np.float32)
    person = np.zeros(ids.shape, bool)
    person[30:90, 70:90] = True
    measured[person] = 1.2
    seen = renderer.instances(CAMERA, AHEAD, measured)
    assert not seen[person].any() and (ids[person] > 0).any()
    assert np.count_nonzero(seen[~person] != ids[~person]) <= 3


@pytest.mark.parametrize("distance", [1.0, 2.0, 4.0])
def test_tolerance(distance):
    """Nearer by less than the bound is noise, by more is something else; farther is the mesh's."""
    size = 3 * distance
    vertices = np.array(
        [[-size, -size, distance], [size, -size, distance], [size, size, distance], [-size, size, distance]], np.float32
    )
    mesh = Mesh(vertices, np.zeros((4, 3), np.uint8), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    renderer = VertexRenderer(mesh, Annotation(np.full(4, 9, np.uint16), (AnnotatedObject(9, "wall"),)))
    camera = Camera(100.0, 100.0, 19.5, 14.5, 40, 30)
    for measured, shown in ((0.0, 9), (np.nan, 9), (np.inf, 9), (-1.0, 9), (distance, 9), (distance + 1, 9), (0.2, 0)):
        assert (renderer.instances(camera, np.eye(4), np.full((30, 40), measured, np.float32)) == shown).all(), measured
    nearest = distance - HIDDEN_M
    while nearest + HIDDEN_M + HIDDEN_PER_M2 * nearest**2 > distance:
        nearest -= 0.001
    for step, shown in ((-0.005, 0), (0.005, 9)):
        seen = renderer.instances(camera, np.eye(4), np.full((30, 40), nearest + step, np.float32))
        assert (seen == shown).all(), (nearest, step)
    assert 0.1 < distance - nearest < 0.2


def test_noise_of_the_sensor_hides_nothing(renderer):
    """A centimetre or two, growing with the distance, and holes, as a depth camera has them."""
    rng = np.random.default_rng(0)
    measured = by_hand(CAMERA, AHEAD)[1]
    measured = measured + rng.normal(0, 1, measured.shape) * 0.003 * measured**2 + rng.normal(0, 0.01, measured.shape)
    measured[rng.random(measured.shape) < 0.1] = 0
    with_depth = renderer.instances(CAMERA, AHEAD, measured.astype(np.float32))
    assert np.count_nonzero(with_depth != renderer.instances(CAMERA, AHEAD)) <= 5


@pytest.mark.parametrize("size", [(80, 60), (320, 240), (53, 40)])
def test_depth_of_another_size(renderer, size):
    """The same view: a thing in front hides the same part of the picture, within a pixel of the coarser one."""
    width, height = size
    measured = np.full((height, width), 9.0, np.float32)
    measured[:, : width // 2] = 0.5
    seen = renderer.instances(CAMERA, AHEAD, measured)
    plain = renderer.instances(CAMERA, AHEAD)
    edge, slack = 160 * (width // 2) / width, max(1.0, 160 / width)
    left, right = int(edge - slack), int(np.ceil(edge + slack))
    assert not seen[:, :left].any() and plain[:, :left].any()
    assert np.array_equal(seen[:, right:], plain[:, right:])


def test_scannets_sizes(renderer):
    """1296x968 and 640x480 differ by 0.4 % in their proportions, and are the same view."""
    camera = CAMERA.scaled_to(1296, 968)
    seen = renderer.instances(camera, AHEAD, np.full((480, 640), 9.0, np.float32))
    assert np.array_equal(seen, renderer.instances(camera, AHEAD))


def test_depth_of_another_view(renderer):
    with pytest.raises(ValueError, match="depth has 160x160 pixels and not the proportions of the camera's 160x120"):
        renderer.instances(CAMERA, AHEAD, np.ones((160, 160), np.float32))


@pytest.mark.parametrize("pose", [np.full((4, 4), -np.inf), np.eye(3), np.full((4, 4), np.nan)])
def test_no_pose(renderer, pose):
    for render in (renderer.instances, renderer.vertices, renderer.depth):
        with pytest.raises(ValueError, match="without a valid pose"):
            render(CAMERA, pose)


def test_wrong_mesh():
    with pytest.raises(ValueError, match=f"annotation is of 1 vertices, the mesh has {len(VERTICES)}"):
        VertexRenderer(MESH, Annotation(np.zeros(1, np.uint16), ()))
    with pytest.raises(ValueError, match="without faces"):
        VertexRenderer(Mesh(VERTICES, COLORS, FACES[:0]), ANNOTATION)


def test_an_edge_between_objects_runs_through_the_triangle():
    """One triangle whose corners belong to three objects: each pixel is the corner's with the largest share."""
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [0, 1, 2]], np.float32)
    mesh = Mesh(vertices, np.zeros((3, 3), np.uint8), np.array([[0, 1, 2]], np.int32))
    annotation = Annotation(np.array([4, 5, 6], np.uint16), tuple(AnnotatedObject(k, "x") for k in (4, 5, 6)))
    camera = Camera(100.0, 100.0, 60.25, 60.25, 121, 121)
    seen = VertexRenderer(mesh, annotation).instances(camera, np.eye(4))
    v, u = np.mgrid[:121, :121]
    x, y = 2 * (u - camera.cx) / camera.fx, 2 * (v - camera.cy) / camera.fy
    third = (y + 1) / 2
    second = (x + 1 - third) / 2
    weights = np.stack([1 - second - third, second, third])
    clear = (weights.min(0) > 0.01) & (np.sort(weights, axis=0)[2] - np.sort(weights, axis=0)[1] > 0.01)
    assert clear.sum() > 1000 and np.array_equal(seen[clear], np.array([4, 5, 6])[weights.argmax(0)][clear])
    assert not seen[weights.min(0) < -0.01].any()
