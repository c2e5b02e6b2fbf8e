"""What a camera in a scan sees, rendered from its annotated mesh: without the noise of ScanNet's own pictures."""

from __future__ import annotations

import numpy as np

from lisa_ros.geometry import Camera
from scannet_tools.annotation import Annotation
from scannet_tools.mesh import Mesh

HIDDEN_M = 0.10
"""Something hides the mesh where the measured depth is nearer than the mesh by more than this many metres, plus ...

A few centimetres each are the drift of the poses, the mesh's own error, and the slope of a surface seen at a shallow
angle within half a depth pixel. A thing thinner than this on a surface, such as a sheet of paper, is not seen to hide.
"""

HIDDEN_PER_M2 = 0.005
"""... this times the squared measured depth, as the noise of a structured-light sensor grows (0.3 cm at 1 m, 7 at 5 m).

Altogether 0.11 m at 1 m, 0.15 m at 3 m, 0.23 m at 5 m.
"""


class VertexRenderer:
    """Casts a ray through every pixel. Building it takes longer than a picture: keep it for all frames of a scene.

    Pixels are those of the camera, their centres at whole numbers. A pixel shows, of the triangle that its ray meets
    first, the corner with the largest barycentric weight. Triangles are seen from both sides.

    Raises:
        ImportError: Open3D is not installed.
        ValueError: the annotation is of another mesh, or the mesh has no faces.
    """

    def __init__(self, mesh: Mesh, annotation: Annotation) -> None:
        if len(annotation.vertex_objects) != len(mesh):
            raise ValueError(
                f"the annotation is of {len(annotation.vertex_objects)} vertices, the mesh has {len(mesh)}: not the "
                "same mesh"
            )
        if len(mesh.faces) == 0:
            raise ValueError("a mesh without faces cannot be rendered: it is a cloud of points")
        import open3d  # takes a second

        self._tensor = open3d.core.Tensor
        self._objects = annotation.vertex_objects
        self._faces = mesh.faces
        self._scene = open3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(mesh.vertices, np.float32)),
            self._tensor(np.ascontiguousarray(mesh.faces, np.uint32)),
        )
        self._camera: Camera | None = None
        self._directions = np.empty((0, 3), np.float32)

    def instances(self, camera: Camera, camera_to_world: np.ndarray, depth: np.ndarray | None = None) -> np.ndarray:
        """uint16 [H,W]: the id of the object that each pixel shows, 0 = none, or hidden.

        camera_to_world: [4,4], camera x right, y down, z forward, to the mesh's frame. depth: float [h,w], what was
        measured, in metres, of the same view at any size; pixels where it is much nearer than the mesh show something
        that the mesh has not, and get 0. Without a measurement (0, NaN) the mesh counts.

        Raises:
            ValueError: the pose is none, or the depth's proportions are not the camera's.
        """
        vertices = self.vertices(camera, camera_to_world, depth)
        return np.where(vertices >= 0, self._objects[vertices], np.uint16(0))

    def vertices(self, camera: Camera, camera_to_world: np.ndarray, depth: np.ndarray | None = None) -> np.ndarray:
        """int32 [H,W]: the number of the vertex that each pixel shows, -1 = none or hidden; arguments as there."""
        distance, face, uv = self._cast(camera, camera_to_world)
        seen = np.isfinite(distance)
        if depth is not None:
            seen &= ~_hidden(distance.reshape(camera.height, camera.width), depth).reshape(-1)
        u, v = uv[seen, 0], uv[seen, 1]
        corner = np.where(u > v, 1, 2)
        corner[1 - u - v >= np.maximum(u, v)] = 0
        vertices = np.full(len(distance), -1, np.int32)
        vertices[seen] = self._faces[face[seen], corner]
        return vertices.reshape(camera.height, camera.width)

    def depth(self, camera: Camera, camera_to_world: np.ndarray) -> np.ndarray:
        """float32 [H,W]: metres along the camera's z to the mesh, 0 where there is none."""
        distance = self._cast(camera, camera_to_world)[0]
        return np.where(np.isfinite(distance), distance, np.float32(0)).reshape(camera.height, camera.width)

    def _cast(self, camera: Camera, camera_to_world: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per pixel: metres along z (inf = nothing), the face, and the weights of its second and third corner."""
        pose = np.asarray(camera_to_world, np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(
                "a frame without a valid pose cannot be rendered: camera_to_world must be 4x4 finite numbers"
            )
        if camera != self._camera:
            self._camera, self._directions = (
                camera,
                camera.back_project(np.ones((camera.height, camera.width), np.float32)).reshape(-1, 3),
            )
        rays = np.empty((len(self._directions), 6), np.float32)
        rays[:, :3] = pose[:3, 3]
        np.matmul(
            self._directions, pose[:3, :3].T.astype(np.float32), out=rays[:, 3:]
        )  # of length 1 along z: t_hit is the depth
        hit = self._scene.cast_rays(self._tensor.from_numpy(rays))
        return hit["t_hit"].numpy(), hit["primitive_ids"].numpy(), hit["primitive_uvs"].numpy()


def _hidden(mesh: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """bool, as mesh [H,W] in metres: where the measurement [h,w] of the same view is nearer by more than its errors."""
    (height, width), (rows, columns) = mesh.shape, measured.shape
    if abs(columns * height / (rows * width) - 1) > 0.02:
        raise ValueError(
            f"the measured depth has {columns}x{rows} pixels and not the proportions of the camera's {width}x{height}"
        )
    if (rows, columns) != (height, width):
        row = (
            (2 * np.arange(height) + 1) * rows // (2 * height)
        )  # the pixel of the smaller image whose area holds the centre
        column = (2 * np.arange(width) + 1) * columns // (2 * width)
        measured = measured[row[:, None], column]
    with np.errstate(invalid="ignore"):
        return (measured > 0) & (measured < mesh - HIDDEN_M - HIDDEN_PER_M2 * measured * measured)
