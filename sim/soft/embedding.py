"""A surface that follows the tetrahedra: each vertex keeps its barycentric place in one of them."""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

import numpy as np
import warp as wp
from jaxtyping import Float32
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.mesh import Mesh
from sim.soft.body import SoftBody
from sim.soft.precision import HOST, Real, Vec3
from sim.soft.tet_mesh import TetMesh


@wp.kernel(enable_backward=False)
def follow(
    x: wp.array[Vec3], corners: wp.array2d[wp.int32], shares: wp.array2d[Real], vertices: wp.array[wp.vec3f]
) -> None:
    """Write each vertex [m] from the four nodes around it."""
    v = wp.tid()
    place = Vec3()
    for i in range(4):
        place += shares[v, i] * x[corners[v, i]]
    vertices[v] = wp.vec3f(wp.float32(place[0]), wp.float32(place[1]), wp.float32(place[2]))


@wp.kernel(enable_backward=False)
def add_normals(vertices: wp.array[wp.vec3f], triangles: wp.array2d[wp.int32], normals: wp.array[wp.vec3f]) -> None:
    """Add each triangle's area vector to its corners."""
    t = wp.tid()
    a = vertices[triangles[t, 0]]
    area = wp.cross(vertices[triangles[t, 1]] - a, vertices[triangles[t, 2]] - a)
    for i in range(3):
        wp.atomic_add(normals, triangles[t, i], area)


@wp.kernel(enable_backward=False)
def to_unit(normals: wp.array[wp.vec3f]) -> None:
    """Scale the sums to length 1; zero stays zero."""
    v = wp.tid()
    normals[v] = wp.normalize(normals[v])


class EmbeddedSurface:
    """A surface mesh in a body; found once, then moved with it by `update`."""

    def __init__(self, surface: Mesh, body: SoftBody, *, reach: float = 1.0) -> None:
        """Find where each vertex lies in the tetrahedra at rest.

        Args:
            surface: At rest, in the body's frame [m].
            body: What it follows.
            reach: How far outside of its tetrahedron a vertex may lie, in heights of the tetrahedron.

        Raises:
            InputError: A vertex lies farther outside.
        """
        self.triangles = surface.triangles
        tet, shares = barycentric_places(body.mesh, surface.vertices.astype(np.float64))
        farthest = int(np.argmin(shares.min(axis=1)))
        if shares[farthest].min() < -reach:
            raise InputError(
                f"{body.name}: expected a surface within its tetrahedra, found vertex {farthest} at "
                f"{surface.vertices[farthest].tolist()} m outside by {-shares[farthest].min():.2f} of an element"
            )
        device = body.options.device
        self._body, self._device = body, device
        self._corners = wp.array(body.mesh.tets[tet], dtype=wp.int32, device=device)
        self._shares = wp.array(shares.astype(HOST), dtype=Real, device=device)
        self._triangles = wp.array(np.ascontiguousarray(surface.triangles), dtype=wp.int32, device=device)
        self._vertices = wp.zeros(len(shares), dtype=wp.vec3f, device=device)
        self._normals = wp.zeros(len(shares), dtype=wp.vec3f, device=device)

    def update(self) -> tuple[Float32[np.ndarray, "v 3"], Float32[np.ndarray, "v 3"]]:
        """Return the vertices [m] where the body is now, and their unit normals (out of the tissue).

        Both are copies, in the order of the surface's own vertices, so that two updates give the motion between them.
        """
        count = len(self._vertices)
        inputs = [self._body.device_positions, self._corners, self._shares, self._vertices]
        wp.launch(follow, count, inputs=inputs, device=self._device)
        self._normals.zero_()
        wp.launch(
            add_normals,
            len(self._triangles),
            inputs=[self._vertices, self._triangles, self._normals],
            device=self._device,
        )
        wp.launch(to_unit, count, inputs=[self._normals], device=self._device)
        return np.array(self._vertices.numpy()), np.array(self._normals.numpy())

    def mesh(self) -> Mesh:
        """Return the surface where the body is now, for a `SceneObject`."""
        return Mesh(self.update()[0], self.triangles)


def barycentric_places(mesh: TetMesh, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the tetrahedron around each point, or the one it is least outside of, and its coordinates there.

    Args:
        mesh: At rest.
        points: [m], shape (v, 3).

    Returns:
        Element of each point, shape (v,), and its barycentric coordinates, shape (v, 4); their sum is 1.
    """
    corners = mesh.nodes[mesh.tets]
    inverse = np.linalg.inv((corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1))
    tree = cKDTree(corners.mean(axis=1))
    best = np.zeros(len(points), np.int64)
    shares = np.full((len(points), 4), -np.inf)
    todo = np.arange(len(points))
    for neighbours in (8, 64, 512):  # few points need many: those in long elements, and those outside
        near = tree.query(points[todo], k=min(neighbours, len(corners)))[1].reshape(len(todo), -1)
        for column in near.T:
            local = np.einsum("vij,vj->vi", inverse[column], points[todo] - corners[column, 0])
            found = np.concatenate([1 - local.sum(axis=1, keepdims=True), local], axis=1)
            better = found.min(axis=1) > shares[todo].min(axis=1)
            best[todo[better]] = column[better]
            shares[todo[better]] = found[better]
        todo = todo[shares[todo].min(axis=1) < -1e-6]
        if not len(todo):
            break
    return best, shares
