"""Whether a surface is closed, manifold, oriented and free of damage, and what it measures."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from assets.mesh import Mesh


@dataclass(frozen=True)
class MeshReport:
    """What was found."""

    vertex_count: int
    triangle_count: int
    body_count: int
    """Connected components of the triangles."""
    finite: bool
    """No coordinate is NaN or infinite."""
    in_range: bool
    """Every index names a vertex."""
    closed: bool
    """Every edge has at least two triangles."""
    manifold: bool
    """No edge has more than two triangles."""
    oriented: bool
    """The two triangles of each edge run through it in opposite directions."""
    outward: bool
    """Closed, oriented, and of positive volume: normals point out of what is enclosed."""
    degenerate_count: int
    """Triangles with a corner used twice or with an area below 1e-14 m^2."""
    unused_count: int
    """Vertices of no triangle."""
    genus: int | None
    """Handles, summed over the bodies; None unless the surface is closed, manifold and oriented."""
    area: float
    """[m^2]"""
    volume: float
    """Signed [m^3]; of meaning where the surface is closed and oriented."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the mesh from being a closed surface with outward normals, in words."""
        found = []
        if not self.triangle_count:
            found.append("expected triangles, found none")
        if not self.finite:
            found.append("expected finite coordinates, found NaN or infinity")
        if not self.in_range:
            found.append("expected indices of vertices, found one out of range")
        if not found:
            if not self.closed:
                found.append("expected a closed surface, found edges with one triangle")
            if not self.manifold:
                found.append("expected a manifold surface, found edges with more than two triangles")
            if not self.oriented:
                found.append("expected one orientation, found neighbours that disagree")
            if self.closed and self.oriented and not self.outward:
                found.append("expected normals that point outwards, found inwards")
            if self.degenerate_count:
                found.append(f"expected triangles with an area, found {self.degenerate_count} without")
            if self.unused_count:
                found.append(f"expected every vertex in a triangle, found {self.unused_count} unused")
        return tuple(found)


def vertex_normals(vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]) -> NDArray[np.float64]:
    """Return unit normals at vertices, shape (v, 3), weighted by the triangles' areas; 0 where there is no triangle."""
    corners = vertices.astype(np.float64)[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        for corner in range(3):
            total[:, axis] += np.bincount(triangles[:, corner], weights=face[:, axis], minlength=len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.where(length > 0, length, 1.0))


def check_mesh(mesh: Mesh) -> MeshReport:
    """Examine a mesh of any state; nothing is raised."""
    vertices, triangles = mesh.vertices.astype(np.float64), mesh.triangles
    count = len(vertices)
    finite = bool(np.isfinite(vertices).all())
    in_range = bool(len(triangles) == 0 or (triangles.min() >= 0 and triangles.max() < count))
    if not (finite and in_range and len(triangles)):
        return MeshReport(
            vertex_count=count,
            triangle_count=len(triangles),
            body_count=0,
            finite=finite,
            in_range=in_range,
            closed=False,
            manifold=False,
            oriented=False,
            outward=False,
            degenerate_count=0,
            unused_count=0,
            genus=None,
            area=0.0,
            volume=0.0,
        )
    corners = vertices[triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    repeated = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    start, end = triangles.ravel().astype(np.int64), np.roll(triangles, -1, axis=1).ravel().astype(np.int64)
    edge, uses = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_counts=True)
    half_edges = np.unique(start * count + end, return_counts=True)[1]
    used = np.zeros(count, dtype=bool)
    used[triangles] = True
    links = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(count, count))
    body_of = connected_components(links, directed=False)[1]
    body_count = len(np.unique(body_of[used]))
    closed, manifold = bool((uses >= 2).all()), bool((uses <= 2).all())
    oriented = bool((half_edges == 1).all())
    whole = closed and manifold and oriented
    middle = corners.mean(axis=(0, 1))
    shifted = corners - middle  # about the middle, since far from the origin the sum would lose its digits
    volume = float(np.einsum("ij,ij->i", shifted[:, 0], np.cross(shifted[:, 1], shifted[:, 2])).sum() / 6)
    euler = int(used.sum()) - len(edge) + len(triangles)
    return MeshReport(
        vertex_count=count,
        triangle_count=len(triangles),
        body_count=body_count,
        finite=finite,
        in_range=in_range,
        closed=closed,
        manifold=manifold,
        oriented=oriented,
        outward=whole and volume > 0,
        degenerate_count=int((repeated | (areas < 1e-14)).sum()),
        unused_count=int((~used).sum()),
        genus=(2 * body_count - euler) // 2 if whole else None,
        area=float(areas.sum()),
        volume=volume,
    )


def winding_number(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> NDArray[np.float64]:
    """Return how often a closed surface winds about each point: 1 inside, 0 outside, other values where it overlaps.

    The sum of solid angles of all triangles, exact and slow: van Oosterom and Strackee, IEEE Trans. Biomed. Eng. 30,
    1983, doi:10.1109/TBME.1983.325207.
    """
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    numbers = np.empty(len(points))
    for index, point in enumerate(points):
        a, b, c = np.moveaxis(corners - point, 1, 0)
        la, lb, lc = (np.sqrt(np.einsum("ij,ij->i", x, x)) for x in (a, b, c))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c))
        ab, bc, ca = (np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a)))
        numbers[index] = np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb).sum() / (2 * np.pi)
    return numbers
