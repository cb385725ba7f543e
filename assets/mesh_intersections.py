"""Where a surface runs through itself: pairs of triangles that cross."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from assets.mesh import Mesh

Array = NDArray[np.float64]
Index = NDArray[np.int64]

MOST_CELLS = 64
"""Cells of the grid that one triangle may lie in; the cells grow until all triangles do with so many."""
INSIDE = 1e-9
"""Share of an edge or a triangle by which a crossing must lie inside it: neighbours touch, and do not cross."""
_BATCH = 1 << 20
"""Pairs tested at a time; bounds the memory."""


def self_intersections(mesh: Mesh) -> Int[np.ndarray, "p 2"]:
    """Find the pairs of triangles that cross: an edge of one goes through the inside of the other.

    Triangles that share an edge are not compared. What lies in one plane crosses nothing.

    Args:
        mesh: Any; triangles with points that are not finite are left out.

    Returns:
        Indices of both triangles, the lower first, in rising order.
    """
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    whole = np.flatnonzero(np.isfinite(corners).all(axis=(1, 2)))
    corners, triangles = corners[whole], mesh.triangles[whole].astype(np.int64)
    if len(corners) < 2:
        return np.empty((0, 2), np.int64)
    found = []
    for first, second in _near_pairs(corners):
        shared = (triangles[first][:, :, None] == triangles[second][:, None, :]).any(axis=2)
        keep = shared.sum(axis=1) < 2
        first, second, shared = first[keep], second[keep], shared[keep]
        back = (triangles[second][:, :, None] == triangles[first][:, None, :]).any(axis=2)
        crosses = _edges_through(corners[first], corners[second], shared)
        crosses |= _edges_through(corners[second], corners[first], back)
        found.append(np.stack([first[crosses], second[crosses]], axis=1))
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    return np.asarray(np.unique(np.sort(whole[pairs], axis=1), axis=0), np.int64)


def _near_pairs(corners: Array) -> list[tuple[Index, Index]]:
    """List the pairs of triangles whose boxes overlap, in batches; each once."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    size = max(float(np.median((high - low).max(axis=1))), 1e-9 * float(np.ptp(corners)), 1e-30)
    origin = low.min(axis=0)
    while True:
        first, last = ((x - origin) // size for x in (low, high))
        span = (last - first + 1).prod(axis=1)
        if span.max() <= MOST_CELLS or size > 2 * np.ptp(corners):
            break
        size *= 1.5
    start, span = first.astype(np.int64), span.astype(np.int64)
    shape = (last - first + 1).astype(np.int64)
    owner = np.repeat(np.arange(len(corners)), span)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(span) - span, span)
    of = shape[owner]
    cell = start[owner] + np.stack([place // (of[:, 1] * of[:, 2]), place // of[:, 2] % of[:, 1], place % of[:, 2]], 1)
    width = cell.max(axis=0) + 1
    key = (cell[:, 0] * width[1] + cell[:, 1]) * width[2] + cell[:, 2]
    order = np.argsort(key, kind="stable")
    key, owner, cell = key[order], owner[order], cell[order]
    batches: list[tuple[Index, Index]] = []
    step = 1
    while step < len(key):
        same = np.flatnonzero(key[step:] == key[:-step])
        if not len(same):
            break
        for begin in range(0, len(same), _BATCH):
            at = same[begin : begin + _BATCH]
            a, b = owner[at], owner[at + step]
            overlap = np.all((low[a] <= high[b]) & (low[b] <= high[a]), axis=1)
            # Each pair in one cell alone: that of the lower corner of their common box.
            corner = (np.maximum(low[a], low[b]) - origin) // size
            overlap &= np.all(corner == cell[at], axis=1)
            batches.append((a[overlap], b[overlap]))
        step += 1
    return batches


def _edges_through(
    from_corners: Float[np.ndarray, "p 3 3"], to_corners: Float[np.ndarray, "p 3 3"], shared: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell whether an edge of the first triangle passes through the inside of the second.

    After Moeller and Trumbore, J. Graphics Tools 2, 1997, doi:10.1080/10867651.1997.10487468. Edges that end in a
    shared corner do not count.
    """
    a, b, c = np.moveaxis(to_corners, 1, 0)
    through = np.zeros(len(a), bool)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        origin, way = from_corners[:, one], from_corners[:, other] - from_corners[:, one]
        side_b, side_c = b - a, c - a
        normal = np.cross(way, side_c)
        volume = np.einsum("ij,ij->i", side_b, normal)
        size = np.linalg.norm(way, axis=1) * np.linalg.norm(side_b, axis=1) * np.linalg.norm(side_c, axis=1)
        flat = np.abs(volume) <= 1e-12 * size
        share = 1.0 / np.where(flat, 1.0, volume)
        offset = origin - a
        u = np.einsum("ij,ij->i", offset, normal) * share
        across = np.cross(offset, side_b)
        v = np.einsum("ij,ij->i", way, across) * share
        t = np.einsum("ij,ij->i", side_c, across) * share
        hit = (u > INSIDE) & (v > INSIDE) & (u + v < 1 - INSIDE) & (t > INSIDE) & (t < 1 - INSIDE)
        through |= hit & ~flat & ~shared[:, one] & ~shared[:, other]
    return through
