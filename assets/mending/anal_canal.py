"""Open a colon's blind or flat end and give it an anal canal that ends in a round, flat disc: the orifice."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from assets.colon.segments import ANAL_LENGTH, ANAL_RADIUS
from assets.errors import InputError
from assets.lumen.curves import place
from assets.mending.bodies import compact, edges_of
from assets.mending.holes import Hole, find_holes
from assets.mesh import Mesh
from assets.transforms import unit

_RING_STEP = 2.5e-3
_SNAP = 1e-5
"""Vertices nearer to the plane than this are put upon it [m], or the cut would leave slivers."""


def with_anal_canal(
    lumen: Mesh, point: Float64[np.ndarray, "3"], inward: Float64[np.ndarray, "3"], *, length: float = ANAL_LENGTH
) -> tuple[Mesh, NDArray[np.float64], float]:
    """Cut the lumen across its axis and lead it outwards to a disc of the anal canal's radius.

    Args:
        lumen: Closed, normals outwards.
        point: On the axis inside the lumen, near its end [m]; what lies beyond is cut off.
        inward: Unit direction of the axis there, into the colon.
        length: Of the canal [m].

    Returns:
        The closed lumen, the disc's centre [m], shape (3,), and its radius [m].

    Raises:
        InputError: The cut is no single ring about the point.
    """
    points, cells = _cut(lumen.vertices.astype(np.float64), lumen.triangles.astype(np.int64), point, inward)
    holes, touching = find_holes(points, cells)
    if touching is not None or len(holes) != 1:
        raise InputError(f"expected one ring where the rectum is cut, found {len(holes)} near {place(point)}")
    points, cells, centre = _canal(points, cells, holes[0], inward, length)
    return Mesh(points.astype(np.float32), cells.astype(np.int32)), centre, ANAL_RADIUS


def _cut(
    points: NDArray[np.float64], cells: NDArray[np.int64], point: NDArray[np.float64], inward: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Take off what lies beyond the plane and hangs together with what is nearest to the point; other limbs stay."""
    height = (points - point) @ inward
    flat = np.abs(height) < _SNAP
    points = np.where(flat[:, None], points - height[:, None] * inward, points)
    height = np.where(flat, 0.0, height)
    lowest = height[cells].min(axis=1)
    reached = _beyond(points, cells, lowest < 0, point)
    keep, crossing = cells[~reached], cells[reached & (height[cells].max(axis=1) > 0)]
    new_points: list[NDArray[np.float64]] = []
    known: dict[tuple[int, int], int] = {}

    def on_edge(a: int, b: int) -> int:
        pair = (min(a, b), max(a, b))
        if pair not in known:
            low, high = pair
            share = height[low] / (height[low] - height[high])
            known[pair] = len(points) + len(new_points)
            new_points.append(points[low] + share * (points[high] - points[low]))
        return known[pair]

    pieces: list[tuple[int, int, int]] = []
    for triangle in crossing.tolist():
        polygon: list[int] = []
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            if height[a] >= 0:
                polygon.append(a)
            if height[a] * height[b] < 0:
                polygon.append(on_edge(a, b))
        pieces += [(polygon[0], polygon[n], polygon[n + 1]) for n in range(1, len(polygon) - 1)]
    every = np.concatenate([points, np.array(new_points).reshape(-1, 3)])
    return compact(every, np.concatenate([keep, np.array(pieces, np.int64).reshape(-1, 3)]))


def _beyond(
    points: NDArray[np.float64], cells: NDArray[np.int64], below: NDArray[np.bool_], point: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the triangles that reach beyond the plane, joined through edges with the one nearest to the point."""
    candidates = np.flatnonzero(below)
    if not len(candidates):
        raise InputError(f"expected the lumen to go on beyond {place(point)}, where it is cut, found nothing")
    edges = edges_of(cells[candidates])
    order = np.argsort(edges.of_side, kind="stable")
    ends = np.searchsorted(edges.of_side[order], np.flatnonzero(edges.uses == 2))
    a, b = order[ends] // 3, order[ends + 1] // 3
    count = len(candidates)
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    component = connected_components(graph, directed=False)[1]
    nearest = int(np.linalg.norm(points[cells[candidates]].mean(axis=1) - point, axis=1).argmin())
    marked = np.zeros(len(cells), bool)
    marked[candidates[component == component[nearest]]] = True
    return marked


def _canal(
    points: NDArray[np.float64],
    cells: NDArray[np.int64],
    hole: Hole,
    inward: NDArray[np.float64],
    length: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Add rings from the rim to a circle, and a disc."""
    rim = points[hole.rim]
    middle = rim.mean(axis=0)
    arms = rim - middle
    flat = arms - (arms @ inward)[:, None] * inward
    # Even steps round the circle in the rim's own order, turned so that it twists as little as can be.
    x = unit(flat[0])
    y = np.cross(-inward, x)
    angle = np.unwrap(np.arctan2(flat @ y, flat @ x))
    if angle[-1] < angle[0]:
        y = -y
        angle = -angle
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rim, axis=0), axis=1))])
    whole = arc[-1] + float(np.linalg.norm(rim[-1] - rim[0]))
    even = 2 * np.pi * arc / whole
    even += np.angle(np.exp(1j * (angle - even)).mean())
    circle = ANAL_RADIUS * (np.cos(even)[:, None] * x + np.sin(even)[:, None] * y)
    wide = float(np.linalg.norm(flat, axis=1).max())
    # An end that is as narrow as an anal canal is one.
    length = max(length, 1.5 * (wide - ANAL_RADIUS)) if wide > 1.3 * ANAL_RADIUS else 2 * _RING_STEP
    steps = max(round(length / _RING_STEP), 4)
    rings = []
    for step in range(1, steps + 1):
        along = step / steps
        # The shape has become the circle at three quarters; the rest is a straight canal.
        share = min(along / 0.75, 1.0)
        blend = share * share * (3 - 2 * share)
        rings.append(middle + (1 - blend) * arms + blend * circle - along * length * inward)
    count, start = len(rim), len(points)
    index = np.concatenate([hole.rim[None], start + np.arange(steps * count).reshape(steps, count)])
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    c, d = index[1:], np.roll(index, -1, axis=1)[1:]
    sides = [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    centre = middle - length * inward
    last = index[-1]
    disc = np.stack([last, np.roll(last, -1), np.full(count, start + steps * count)], -1)
    vertices = np.concatenate([points, *rings, centre[None]])
    return vertices, np.concatenate([cells, *sides, disc]), centre
