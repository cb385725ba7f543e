"""A surface that follows the tetrahedra: each vertex keeps its barycentric place in one of them."""

# mypy: disable-error-code="arg-type, call-overload, index, operator, return-value, valid-type, var-annotated, misc"
# (Warp's stubs give generic vectors no operators.)

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Binding:
    """Where the vertices of a surface are in a body's tetrahedra."""

    rest: NDArray[np.float64]
    """Vertices at rest [m], shape (v, 3)."""
    triangles: NDArray[np.int32]
    """Vertex indices, shape (t, 3)."""
    tet: NDArray[np.int64]
    """Element of each vertex, shape (v,)."""
    shares: NDArray[np.float64]
    """Barycentric coordinates in it, shape (v, 4)."""
    uncut: int = 0
    """The first of the vertices that cuts made."""


def bind(surface: Mesh, mesh: TetMesh, *, reach: float, name: str) -> Binding:
    """Find where each vertex lies in the tetrahedra at rest.

    Raises:
        InputError: A vertex lies more than `reach` heights of its tetrahedron outside of it.
    """
    rest = surface.vertices.astype(np.float64)
    tet, shares = barycentric_places(mesh, rest)
    farthest = int(np.argmin(shares.min(axis=1)))
    if shares[farthest].min() < -reach:
        raise InputError(
            f"{name}: expected a surface within its tetrahedra, found vertex {farthest} at "
            f"{surface.vertices[farthest].tolist()} m outside by {-shares[farthest].min():.2f} of an element"
        )
    return Binding(rest, surface.triangles, tet, shares, len(rest))


class EmbeddedSurface:
    """A surface mesh in a body; found once, then moved with it by `update`."""

    def __init__(self, surface: Mesh | Binding, body: SoftBody, *, reach: float = 1.0) -> None:
        """Find where each vertex lies in the tetrahedra at rest.

        Args:
            surface: At rest, in the body's frame [m]; or where it is in the body's mesh, if that is known.
            body: What it follows.
            reach: How far outside of its tetrahedron a vertex may lie, in heights of the tetrahedron.

        Raises:
            InputError: A vertex lies farther outside.
        """
        bound = surface
        if isinstance(bound, Mesh):
            bound = bind(bound, body.mesh, reach=reach, name=body.name)
        self.binding, self.triangles, self.body = bound, bound.triangles, body
        device = body.options.device
        self._mesh, self._device = body.mesh, device
        self._corners = wp.array(body.mesh.tets[bound.tet], dtype=wp.int32, device=device)
        self._shares = wp.array(bound.shares.astype(HOST), dtype=Real, device=device)
        self._triangles = wp.array(np.ascontiguousarray(bound.triangles), dtype=wp.int32, device=device)
        self._vertices = wp.zeros(len(bound.shares), dtype=wp.vec3f, device=device)
        self._normals = wp.zeros(len(bound.shares), dtype=wp.vec3f, device=device)

    @property
    def rest(self) -> Float32[np.ndarray, "v 3"]:
        """Vertices at rest [m]."""
        return self.binding.rest.astype(np.float32)

    def update(self) -> tuple[Float32[np.ndarray, "v 3"], Float32[np.ndarray, "v 3"]]:
        """Return the vertices [m] where the body is now, and their unit normals (out of the tissue).

        Both are copies, in the order of the surface's own vertices, so that two updates give the motion between them.

        Raises:
            InputError: The body was cut since, or went back to before a cut.
        """
        if self.body.mesh is not self._mesh:
            raise InputError(
                f"{self.body.name}: expected a surface of the body as it is cut now, found one of another cut"
            )
        count = len(self._vertices)
        inputs = [self.body.device_positions, self._corners, self._shares, self._vertices]
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


def barycentric_places(
    mesh: TetMesh, points: NDArray[np.float64], among: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the tetrahedron around each point, or the one it is least outside of, and its coordinates there.

    Args:
        mesh: At rest.
        points: [m], shape (v, 3).
        among: Elements that may be taken; None for all.

    Returns:
        Element of each point, shape (v,), and its barycentric coordinates, shape (v, 4); their sum is 1.
    """
    numbers = np.arange(len(mesh.tets)) if among is None else np.asarray(among, np.int64)
    corners = mesh.nodes[mesh.tets[numbers]]
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
    return numbers[best], shares
