"""Exact distances from points to the triangles of a mesh near them."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.mesh import Mesh

Array = NDArray[np.float64]

CANDIDATES = 24
"""Triangles that are tried for each point: those with the nearest middles."""


def distance_to(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> tuple[Array, NDArray[np.bool_]]:
    """Return how far points are from a surface, and which seem to lie behind it.

    Of each point the triangles with the nearest middles are tried, which finds the nearest one on meshes of even size.

    Args:
        mesh: A closed surface with its normals outwards.
        points: [m]

    Returns:
        Distances [m], shape (n,), and whether the point lies behind the plane of its nearest triangle, shape (n,): a
        hint, which beside sharp edges can be wrong; `winding_number` decides.
    """
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    count = min(CANDIDATES, len(corners))
    index = cKDTree(corners.mean(axis=1)).query(points, k=count)[1].reshape(len(points), count)
    a, b, c = (corners[index, n] for n in range(3))
    nearest = nearest_on_triangles(points[:, None], a, b, c)
    away = points[:, None] - nearest
    distance = np.linalg.norm(away, axis=2)
    best = np.argmin(distance, axis=1)
    rows = np.arange(len(points))
    normal = np.cross(b - a, c - a)[rows, best]
    behind = np.einsum("ij,ij->i", away[rows, best], normal) < 0
    return distance[rows, best], behind


def nearest_on_triangles(points: Array, a: Array, b: Array, c: Array) -> Array:
    """Return the point of each triangle abc that is nearest to a point; all shapes broadcast to (n, ..., 3).

    Case by case over the seven regions of the plane: Ericson, Real-Time Collision Detection, 2005, section 5.1.5.
    """
    ab, ac, ap = b - a, c - a, points - a
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    bp, cp = points - b, points - c
    d3, d4 = (ab * bp).sum(-1), (ac * bp).sum(-1)
    d5, d6 = (ab * cp).sum(-1), (ac * cp).sum(-1)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2

    def ratio(above: Array, below: Array) -> Array:
        return np.asarray(np.clip(above / np.where(np.abs(below) > 0, below, 1.0), 0.0, 1.0))[..., None]

    total = va + vb + vc
    result = a + ab * ratio(vb, total) + ac * ratio(vc, total)
    edges = (
        ((va <= 0) & (d4 - d3 >= 0) & (d5 - d6 >= 0), b + (c - b) * ratio(d4 - d3, (d4 - d3) + (d5 - d6))),
        ((vb <= 0) & (d2 >= 0) & (d6 <= 0), a + ac * ratio(d2, d2 - d6)),
        ((vc <= 0) & (d1 >= 0) & (d3 <= 0), a + ab * ratio(d1, d1 - d3)),
        ((d6 >= 0) & (d5 <= d6), c + 0 * points),
        ((d3 >= 0) & (d4 <= d3), b + 0 * points),
        ((d1 <= 0) & (d2 <= 0), a + 0 * points),
    )
    for where, point in edges:
        result = np.where(where[..., None], point, result)
    return np.asarray(result)
