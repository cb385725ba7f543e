"""Tetrahedra that fill a surface: plain data in metres, their quality, and whether they fit the surface."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.mesh import Mesh

LEAST_QUALITY = 0.1
"""Smallest radius ratio with which soft tissue is computed; below it the time step and the accuracy suffer."""

BOUNDARY_SHARE = 0.005
"""How far boundary and surface may part, as a share of the diagonal of the surface's bounding box."""

_SAMPLES = 20_000
_NEAREST = 8


@dataclass(frozen=True)
class Tetrahedra:
    """A solid in metres; the fourth corner lies on the side to which the first three turn counter-clockwise."""

    vertices: Float32[np.ndarray, "v 3"]
    """Positions [m]."""
    tetrahedra: Int32[np.ndarray, "k 4"]
    """Vertex indices."""


@dataclass(frozen=True)
class TetrahedraReport:
    """What was found."""

    count: int
    inverted: int
    """Tetrahedra of no or negative volume."""
    least_quality: float
    """Smallest radius ratio, from 0 to 1."""
    volume: float
    """[m^3]"""
    gap: float
    """Largest distance between the boundary and the surface, either way [m]; an upper bound."""
    tolerance: float
    """Largest gap that is taken [m]."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the tetrahedra from being used, in words."""
        found = []
        if not self.count:
            found.append("expected tetrahedra, found none")
        if self.inverted:
            found.append(f"expected tetrahedra of positive volume, found {self.inverted} others")
        if self.count and self.least_quality < LEAST_QUALITY:
            found.append(f"expected a radius ratio of at least {LEAST_QUALITY}, found {self.least_quality:.3g}")
        if self.gap > self.tolerance:
            found.append(
                f"expected a boundary within {1e3 * self.tolerance:.2f} mm of the surface, "
                f"found {1e3 * self.gap:.2f} mm"
            )
        return tuple(found)


def volumes(mesh: Tetrahedra) -> NDArray[np.float64]:
    """Return signed volumes [m^3], shape (k,)."""
    a, b, c, d = _corners(mesh)
    return np.asarray(np.einsum("ij,ij->i", b - a, np.cross(c - a, d - a)) / 6)


def radius_ratios(mesh: Tetrahedra) -> NDArray[np.float64]:
    """Return three times the inscribed by the circumscribed sphere's radius, shape (k,): 1 regular, 0 flat.

    Liu and Joe, Relationship between tetrahedron shape measures, BIT 34, 1994, doi:10.1007/BF01955874.
    """
    a, b, c, d = _corners(mesh)
    volume = np.abs(volumes(mesh))
    area = sum(
        np.linalg.norm(np.cross(q - p, r - p), axis=1) / 2 for p, q, r in ((a, b, c), (a, b, d), (a, c, d), (b, c, d))
    )
    # 24 V R is the square root of (p+q+r)(p+q-r)(p-q+r)(-p+q+r), p, q, r the products of opposite edges' lengths.
    p, q, r = (
        np.linalg.norm(u - v, axis=1) * np.linalg.norm(w - x, axis=1)
        for u, v, w, x in ((a, b, c, d), (a, c, b, d), (a, d, b, c))
    )
    product = np.maximum((p + q + r) * (p + q - r) * (p - q + r) * (-p + q + r), 0.0)
    below = area * np.sqrt(product)  # inscribed 3 V / A, circumscribed sqrt(product) / (24 V)
    return np.asarray(np.divide(216 * volume**2, below, out=np.zeros(len(volume)), where=below > 0))


def boundary(mesh: Tetrahedra) -> Mesh:
    """Return the faces of one tetrahedron each as a surface with its normals outwards, without inner vertices."""
    t = mesh.tetrahedra
    faces = np.concatenate([t[:, [0, 2, 1]], t[:, [0, 1, 3]], t[:, [0, 3, 2]], t[:, [1, 2, 3]]])
    _, first, uses = np.unique(np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True)
    outer = faces[np.sort(first[uses == 1])]
    used, corners = np.unique(outer, return_inverse=True)
    return Mesh(mesh.vertices[used], corners.reshape(-1, 3).astype(np.int32))


def check_tetrahedra(mesh: Tetrahedra, surface: Mesh) -> TetrahedraReport:
    """Examine tetrahedra and how they fit a surface; nothing is raised. Indices must be in range."""
    if not len(mesh.tetrahedra):
        return TetrahedraReport(0, 0, 0.0, 0.0, 0.0, 0.0)
    signed = volumes(mesh)
    skin = boundary(mesh)
    diagonal = float(np.linalg.norm(np.ptp(surface.vertices.astype(np.float64), axis=0)))
    gap = np.inf
    if len(skin.triangles):
        gap = max(
            float(distances(skin.vertices.astype(np.float64), surface).max()),
            float(distances(surface.vertices.astype(np.float64), skin).max()),
        )
    return TetrahedraReport(
        count=len(mesh.tetrahedra),
        inverted=int((signed <= 0).sum()),
        least_quality=float(radius_ratios(mesh).min()),
        volume=float(signed.sum()),
        gap=gap,
        tolerance=BOUNDARY_SHARE * diagonal,
    )


def distances(points: Float[np.ndarray, "n 3"], surface: Mesh) -> NDArray[np.float64]:
    """Return the distance of points from a surface [m], shape (n,): exact to a few triangles near each, never less.

    The closest point of a triangle: Ericson, Real-Time Collision Detection, 2005, section 5.1.5.
    """
    corners = surface.vertices.astype(np.float64)[surface.triangles]
    seeds, owner = _samples(corners)
    near = cKDTree(seeds).query(points, k=min(_NEAREST, len(seeds)))[1].reshape(len(points), -1)
    best = np.full(len(points), np.inf)
    for column in owner[near].T:
        best = np.minimum(best, _to_triangles(points, corners[column]))
    return best


def _samples(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Spread points over triangles, more on larger ones; return them and the triangle of each."""
    a, b, c = (corners[:, n] for n in range(3))
    edges = np.stack([np.linalg.norm(b - a, axis=1), np.linalg.norm(c - b, axis=1), np.linalg.norm(a - c, axis=1)])
    total = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    step = max(np.sqrt(total / _SAMPLES), 1e-9)
    parts = np.clip(np.ceil(edges.max(axis=0) / step), 1, 64).astype(int)
    points, owners = [], []
    for n in np.unique(parts).tolist():
        own = np.flatnonzero(parts == n)
        u, v = (grid.ravel() for grid in np.meshgrid((np.arange(n) + 1 / 3) / n, (np.arange(n) + 1 / 3) / n))
        u, v = u[u + v < 1], v[u + v < 1]
        places = a[own, None] + u[:, None] * (b - a)[own, None] + v[:, None] * (c - a)[own, None]
        points.append(places.reshape(-1, 3))
        owners.append(np.repeat(own, len(u)))
    return np.concatenate(points), np.concatenate(owners)


def _to_triangles(p: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point from its own triangle: the plane's where the foot is inside, else an edge's."""
    a, b, c = (corners[:, n] for n in range(3))
    normal = np.cross(b - a, c - a)
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-300)
    inside = np.ones(len(p), bool)
    best = np.full(len(p), np.inf)
    for u, v in ((a, b), (b, c), (c, a)):
        side, arm = v - u, p - u
        inside &= np.einsum("ij,ij->i", np.cross(side, arm), normal) >= 0
        share = np.einsum("ij,ij->i", arm, side) / np.maximum(np.einsum("ij,ij->i", side, side), 1e-300)
        best = np.minimum(best, np.linalg.norm(arm - np.clip(share, 0, 1)[:, None] * side, axis=1))
    plane = np.abs(np.einsum("ij,ij->i", p - a, normal)) / length
    return np.where(inside, plane, best)


def _corners(mesh: Tetrahedra) -> tuple[NDArray[np.float64], ...]:
    points = mesh.vertices.astype(np.float64)
    return tuple(points[mesh.tetrahedra[:, n]] for n in range(4))
