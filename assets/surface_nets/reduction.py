"""Reduce a net of triangles between labels as one, so that neighbours go on sharing their boundary.

Vertices are merged into a neighbour where that moves the surface least (Garland and Heckbert, Surface simplification
using quadric error metrics, SIGGRAPH 1997, doi:10.1145/258734.258849), many at a time that do not touch one another. An
edge goes only where the two ends have no common neighbours but those of its triangles, which keeps the topology of
every sheet (Dey et al., Topology preserving edge contraction, Publ. Inst. Math. 66, 1999).
"""

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from assets.errors import InputError
from assets.surface_nets.net import Sheets

WORST_SHAPE = 0.1
"""Least quality of a new triangle: 4 sqrt(3) area over the sum of squared edges, 1 for an equilateral one."""

LEAST_COSINE = 0.3
"""Of the angle by which a triangle may turn."""

MOST_ROUNDS = 60

MOST_POINTS = 2_000_000
"""Vertices; three of their numbers go into one of 64 bits, and the memory is bounded."""

CANDIDATES = 0.6
"""Share of the vertices, the cheapest ones, that may go in a round: fewer keep closer to the order of cost."""

LENGTH_WEIGHT = 1e-3
"""Of an edge's squared length beside the squared distance from the planes: where all is flat, short edges go first."""


def reduced(
    points: Float64[np.ndarray, "v 3"],
    sheets: Sheets,
    budget: Float64[np.ndarray, "n"],
    locked: Bool[np.ndarray, "v"],
    tolerance: float,
) -> Sheets:
    """Merge vertices until each label has no more triangles than its budget, or no more can go.

    Args:
        points: Vertices, of any length unit; none is moved.
        sheets: Triangles between labels.
        budget: Wanted number of triangles by label; index 0, the background, is not looked at.
        locked: Vertices that stay, and that none is merged into.
        tolerance: Root mean square distance of a merged vertex's new place from the surface around it, in that unit.

    Raises:
        InputError: There are too many vertices.
    """
    triangles, sides, voxels = sheets.triangles, sheets.sides, sheets.voxels
    if len(points) > MOST_POINTS:
        raise InputError(
            f"expected at most {MOST_POINTS} vertices between labels, found {len(points)}: merge voxels first"
        )
    quadrics = _quadrics(points, triangles)
    blocked = locked.copy()
    chance = np.random.default_rng(0).permutation(len(points)).astype(np.float64)  # the same for the same net
    for _ in range(MOST_ROUNDS):
        counts = np.bincount(sides.ravel(), minlength=len(budget))
        over = counts > budget
        over[0] = False
        eligible = np.zeros(len(points), bool)
        eligible[triangles[over[sides].any(axis=1)]] = True
        eligible &= ~blocked
        links = _links(triangles, len(points))
        source, target = _chosen(points, quadrics, links, eligible, locked, chance, tolerance)
        if len(source) < 5e-3 * len(triangles):
            break
        good = _link_condition(links, source, target)
        into = np.arange(len(points))
        into[source[good]] = target[good]
        turned = _spoiled(points, triangles, into)
        into[turned] = turned
        blocked[source] = True
        gone = source[into[source] != source]
        # What is new around a merged vertex may allow what was refused before.
        near = np.unique(links[gone].indices)
        blocked[near] = locked[near]
        for column in quadrics:
            np.add.at(column, into[gone], column[gone])
        triangles = into[triangles]
        whole = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
        triangles, sides, voxels = triangles[whole], sides[whole], voxels[whole]
    return Sheets(triangles, sides, voxels)


def _quadrics(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by vertex the area-weighted squared distance from the planes of its triangles, as coefficients.

    Rows: xx, xy, xz, yy, yz, zz, x, y, z, 1, and the sum of weights.
    """
    corners = points[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(length, 1e-30)[:, None]
    offset = -np.einsum("ij,ij->i", normal, corners[:, 0])
    x, y, z = normal.T
    terms = [x * x, x * y, x * z, y * y, y * z, z * z, x * offset, y * offset, z * offset, offset**2, np.ones(len(x))]
    result = np.zeros((len(terms), len(points)))
    for row, term in enumerate(terms):
        for corner in range(3):
            result[row] += np.bincount(triangles[:, corner], weights=term * length, minlength=len(points))
    return result


def _links(triangles: NDArray[np.int64], count: int) -> csr_array:
    """Return the number of triangles at each edge, in both directions, shape (count, count)."""
    start, end = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    half = csr_array((np.ones(len(start), np.int32), (start, end)), shape=(count, count))
    return (half + half.T).tocsr()


def _chosen(
    points: NDArray[np.float64],
    quadrics: NDArray[np.float64],
    links: csr_array,
    eligible: NDArray[np.bool_],
    locked: NDArray[np.bool_],
    chance: NDArray[np.float64],
    tolerance: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return vertices to merge and where to, such that no two of them get in each other's way."""
    degree = np.diff(links.indptr)
    start, end = np.repeat(np.arange(len(points)), degree), links.indices
    line = links.data > 2
    lines = np.bincount(start[line], minlength=len(points))
    # A vertex on a line where sheets meet may only go along it; one where lines meet stays.
    open_way = eligible[start] & ~locked[end] & ((lines[start] == 0) | ((lines[start] == 2) & line))
    start, end = start[open_way], end[open_way]
    if not len(start):
        return start, end
    x, y, z = points[end].T
    cost = np.zeros(len(start))
    for column, term in enumerate((x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z, 2 * x, 2 * y, 2 * z, 1.0)):
        cost += quadrics[column][start] * term
    cost = np.maximum(cost, 0.0) / np.maximum(quadrics[10][start], 1e-30)
    cost += LENGTH_WEIGHT * ((points[end] - points[start]) ** 2).sum(axis=1)
    first = np.flatnonzero(np.diff(start, prepend=-1))
    least = np.minimum.reduceat(cost, first)
    row = np.cumsum(np.diff(start, prepend=-1) != 0) - 1
    best = np.flatnonzero(cost == least[row])
    best = best[np.flatnonzero(np.diff(start[best], prepend=-1))]
    best = best[least <= min(tolerance**2, np.quantile(least, CANDIDATES))]
    source, target = start[best], end[best]
    rank = np.full(len(points), np.inf)
    rank[source] = chance[source]
    nearest = np.full(len(points), np.inf)
    filled = np.flatnonzero(degree)
    nearest[filled] = np.minimum.reduceat(rank[links.indices], links.indptr[filled])
    alone = rank[source] < nearest[source]
    source, target = source[alone], target[alone]
    free = _without_conflicts(links, source, target, chance)
    return source[free], target[free]


def _without_conflicts(
    links: csr_array, source: NDArray[np.int64], target: NDArray[np.int64], chance: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Drop one of two merges where each one's target is a neighbour of the other's source: both would make one edge."""
    reach = links[source][:, target].tocoo()
    mutual = coo_array((np.ones(reach.nnz, np.int8), (reach.row, reach.col)), shape=reach.shape).tocsr()
    mutual = mutual.multiply(mutual.T).tocoo()
    later = chance[source[mutual.row]] > chance[source[mutual.col]]
    free = np.ones(len(source), bool)
    free[mutual.row[later]] = False
    return free


def _link_condition(links: csr_array, source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say where the only common neighbours of both ends are the third corners of the edge's triangles.

    The same must hold among the lines where sheets meet, or two lines would fall together.
    """
    one, other = links[source], links[target]
    shared = np.asarray(links[source, target]).ravel()
    line, other_line = one.copy(), other.copy()
    line.data, other_line.data = (one.data > 2).astype(np.int32), (other.data > 2).astype(np.int32)
    one.data[:] = other.data[:] = 1
    common = np.asarray(one.multiply(other).sum(axis=1)).ravel()
    common_line = np.asarray(line.multiply(other_line).sum(axis=1)).ravel()
    return np.asarray((common == shared) & (common_line == 0))


def _spoiled(points: NDArray[np.float64], triangles: NDArray[np.int64], into: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the vertices whose merging would turn a triangle over, make it a needle, or lay it upon another one."""
    moving = into != np.arange(len(into))
    target = np.zeros(len(into), bool)
    target[into[moving]] = True
    moves = moving[triangles].any(axis=1)
    touched, others = triangles[moves], triangles[~moves & target[triangles].any(axis=1)]
    fresh = into[touched]
    stays = (fresh != np.roll(fresh, 1, axis=1)).all(axis=1)
    touched, fresh = touched[stays], fresh[stays]
    before, after = points[touched], points[fresh]
    old = np.cross(before[:, 1] - before[:, 0], before[:, 2] - before[:, 0])
    new = np.cross(after[:, 1] - after[:, 0], after[:, 2] - after[:, 0])
    old_area, area = np.linalg.norm(old, axis=1), np.linalg.norm(new, axis=1)
    edges = sum(((after[:, n] - after[:, n - 1]) ** 2).sum(axis=1) for n in range(3))
    bad = np.einsum("ij,ij->i", old, new) < LEAST_COSINE * old_area * area
    bad |= 2 * np.sqrt(3) * area < WORST_SHAPE * edges
    # Where all four triangles of a tetrahedron are there, merging one edge would fold two of them together.
    bad |= np.isin(_corner_sets(fresh, len(points)), _corner_sets(others, len(points)))
    corners = touched[bad]
    return np.unique(corners[moving[corners]])


def _corner_sets(triangles: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return a number for each triangle's corners, whatever their order, shape (t,)."""
    low, middle, high = np.sort(triangles, axis=1).T
    return np.asarray((low * count + middle) * count + high)
