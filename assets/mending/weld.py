"""Give corners at one place one vertex, and drop triangles that are none, or that are there twice."""

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

LEAST_AREA = 1e-14
"""A triangle of less has no area [m^2]; `assets.mesh_check` has the same bound."""

MAX_MOVE = 1e-4
"""How far a vertex may move when a needle is closed [m]."""

_MOST_SLIVERS = 4096
_MOST_NEIGHBOURS = 256
"""Triangles about a corner of a sliver that is mended; files that are made to take long have more."""
_PASSES = 12

Points = Float64[np.ndarray, "v 3"]
Cells = Int64[np.ndarray, "t 3"]


def welded(vertices: Points, triangles: Cells) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Merge vertices at the same place; return vertices, triangles, and how many vertices have gone."""
    places, where = np.unique(vertices + 0.0, axis=0, return_inverse=True)
    return places, where.reshape(-1)[triangles], len(vertices) - len(places)


def without_doubles(triangles: Cells) -> tuple[NDArray[np.int64], int, int]:
    """Keep one of equal triangles; a triangle and its mirror image cancel, since they enclose nothing.

    Where that would leave nothing, the surface is one that was written with both of its sides: one of each is kept.

    Returns:
        Triangles, how many with a corner used twice were dropped, and how many doubles.
    """
    whole = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    if not len(whole):
        return whole, len(triangles), 0
    first = whole.argmin(axis=1)
    turned = np.take_along_axis(whole, (first[:, None] + np.arange(3)) % 3, axis=1)  # smallest corner in front
    mirrored = turned[:, 1] > turned[:, 2]
    _, start, group = np.unique(np.sort(turned, axis=1), axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    sides = np.stack([np.bincount(group, weights=~mirrored), np.bincount(group, weights=mirrored)], axis=1) > 0
    both = sides.all(axis=1)
    kept = whole[np.sort(start if both.all() else start[~both])]
    return kept, len(triangles) - len(whole), len(whole) - len(kept)


def areas(vertices: Points, triangles: Cells) -> NDArray[np.float64]:
    """Return the triangles' areas, shape (t,)."""
    a, b, c = (vertices[triangles[:, n]] for n in range(3))
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)


def without_slivers(vertices: Points, triangles: Cells) -> tuple[NDArray[np.int64], int]:
    """Remove triangles without area and leave no hole: close needles along their short edge, flip flat ones.

    Returns:
        Triangles, and how many slivers were removed; those that cannot be without harm stay.
    """
    before = int((areas(vertices, triangles) < LEAST_AREA).sum())
    if not 0 < before <= _MOST_SLIVERS:
        return triangles, 0
    for _ in range(_PASSES):
        bad = np.flatnonzero(areas(vertices, triangles) < LEAST_AREA)
        if not len(bad):
            break
        triangles, changed = _pass(vertices, triangles.copy(), bad)
        if not changed:
            break
    return triangles, before - int((areas(vertices, triangles) < LEAST_AREA).sum())


def _pass(vertices: NDArray[np.float64], triangles: NDArray[np.int64], bad: NDArray[np.int64]) -> tuple[Cells, bool]:
    """Mend slivers whose surroundings no other one has changed in this pass."""
    order = np.argsort(triangles.ravel(), kind="stable")
    ends = np.searchsorted(triangles.ravel()[order], np.arange(len(vertices) + 1))
    of_vertex = order // 3

    def around(vertex: int) -> list[int]:
        return of_vertex[ends[vertex] : ends[vertex + 1]].tolist()

    touched: set[int] = set()
    drop: set[int] = set()
    for index in bad.tolist():
        corners = triangles[index].tolist()
        if any(ends[corner + 1] - ends[corner] > _MOST_NEIGHBOURS for corner in corners):
            continue
        near = {face for corner in corners for face in around(corner)}
        ring = {corner for face in near for corner in triangles[face].tolist()}
        if ring & touched:
            continue
        lengths = [float(np.linalg.norm(vertices[corners[n]] - vertices[corners[(n + 1) % 3]])) for n in range(3)]
        short, long = int(np.argmin(lengths)), int(np.argmax(lengths))
        a, b = corners[short], corners[(short + 1) % 3]
        both = {face for face in around(a) if b in triangles[face]}
        shared = {c for f in around(a) for c in triangles[f].tolist()} & {
            c for f in around(b) for c in triangles[f].tolist()
        } - {a, b}
        opposite = {c for face in both for c in triangles[face].tolist()} - {a, b}
        if lengths[short] <= MAX_MOVE and lengths[short] < 0.5 * lengths[long] and shared == opposite:
            for face in around(b):
                triangles[face][triangles[face] == b] = a
            drop |= both
        elif not _flip(vertices, triangles, index, long, around):
            continue
        touched |= ring
    keep = np.ones(len(triangles), bool)
    keep[list(drop)] = False
    return triangles[keep], bool(touched)


def _flip(vertices: NDArray[np.float64], triangles: NDArray[np.int64], index: int, long: int, around: object) -> bool:
    """Turn the long edge of a flat triangle so that it runs to the neighbour's far corner."""
    assert callable(around)
    a, b = int(triangles[index][long]), int(triangles[index][(long + 1) % 3])
    tip = int(triangles[index][(long + 2) % 3])
    others = [face for face in around(a) if face != index and b in triangles[face]]
    if len(others) != 1:
        return False
    far = next(int(c) for c in triangles[others[0]] if c not in (a, b))
    if far == tip or any(far in triangles[face] for face in around(tip)):
        return False
    triangles[index], triangles[others[0]] = (a, far, tip), (far, b, tip)
    return True
