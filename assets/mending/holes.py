"""Find the holes of a surface, and close those that are planar and small enough."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from assets.mending.bodies import edges_of

MAX_BEND = 0.1
"""A hole is planar if its rim keeps within this share of its diameter from a plane."""

_MOST_CORNERS = 512
"""Of a rim that is not seen whole from its middle: the time grows with the third power."""


@dataclass(frozen=True)
class Hole:
    """A rim of edges that have one triangle each."""

    rim: Int64[np.ndarray, "n"]
    """Vertices in the order in which a cap's triangles run through them."""
    centre: Float64[np.ndarray, "3"]
    """Mean of the rim [m]."""
    normal: Float64[np.ndarray, "3"]
    """Unit vector out of the surface, by the rim's vector area."""
    area: float
    """Of the rim's projection along the normal [m^2]."""
    diameter: float
    """Of a circle of that area, or of the rim's extent if that is larger [m]."""
    bend: float
    """Largest distance of the rim from the plane through its centre [m]."""

    @property
    def planar(self) -> bool:
        """Whether the rim lies nearly in a plane; three corners always do."""
        return len(self.rim) <= 3 or self.bend <= MAX_BEND * self.diameter


def find_holes(
    vertices: Float64[np.ndarray, "v 3"], triangles: Int64[np.ndarray, "t 3"]
) -> tuple[tuple[Hole, ...], int | None]:
    """Follow the rims of a surface whose triangles are oriented.

    Returns:
        Holes in the order of their first vertices, and a vertex at which rims touch, so that they cannot be told
        apart; None where there is none.
    """
    edges = edges_of(triangles)
    sides = np.flatnonzero(edges.uses[edges.of_side] == 1)
    start = triangles.ravel()[sides]
    end = np.roll(triangles, -1, axis=1).ravel()[sides]
    # The cap runs through each edge the other way.
    if len(np.unique(end)) != len(end):
        where, counts = np.unique(end, return_counts=True)
        return (), int(where[counts > 1][0])
    after = dict(zip(end.tolist(), start.tolist(), strict=True))
    holes = []
    for first in sorted(after):
        if first not in after:
            continue
        rim, at = [first], after.pop(first)
        while at != first:
            rim.append(at)
            if at not in after:
                return (), at
            at = after.pop(at)
        holes.append(_measured(vertices, np.array(rim, np.int64)))
    return tuple(holes), None


def _measured(vertices: NDArray[np.float64], rim: NDArray[np.int64]) -> Hole:
    points = vertices[rim]
    centre = points.mean(axis=0)
    arms = points - centre
    vector = np.cross(arms, np.roll(arms, -1, axis=0)).sum(axis=0) / 2
    area = float(np.linalg.norm(vector))
    normal = vector / area if area > 0 else np.array([0.0, 0.0, 1.0])
    extent = float(np.linalg.norm(np.ptp(points, axis=0)))
    diameter = max(2 * float(np.sqrt(area / np.pi)), extent)
    return Hole(rim, centre, normal, area, diameter, float(np.abs(arms @ normal).max()))


def cap(vertices: Float64[np.ndarray, "v 3"], hole: Hole) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Triangulate a hole.

    Returns:
        Vertices, with the rim's centre behind them where it is used, and the cap's triangles; None where the rim
        crosses itself.
    """
    if len(hole.rim) == 3:
        return vertices, hole.rim[None]
    points = vertices[hole.rim]
    turned = np.cross(points - hole.centre, np.roll(points, -1, axis=0) - hole.centre) @ hole.normal
    if len(hole.rim) > 4 and (turned > 1e-13).all():  # seen from the centre the whole rim runs one way round
        middle = np.full(len(hole.rim), len(vertices))
        fan = np.stack([hole.rim, np.roll(hole.rim, -1), middle], axis=1)
        return np.concatenate([vertices, hole.centre[None]]), fan
    ears = _clipped(points, hole.normal)
    return None if ears is None else (vertices, hole.rim[ears])


def _clipped(points: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Cut ears off a polygon until it is used up (Meisters, Amer. Math. Monthly 82(6), 1975, doi:10.2307/2319703)."""
    if len(points) > _MOST_CORNERS:
        return None
    helper = np.eye(3)[int(np.abs(normal).argmin())]
    x = np.cross(helper, normal)
    x /= np.linalg.norm(x)
    flat = np.stack([points @ x, points @ np.cross(normal, x)], axis=1)
    left, ears = list(range(len(points))), []
    while len(left) > 3:
        ring = flat[left]
        before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
        turn = _cross(ring - before, after - ring)
        best, corner = 0.0, -1
        for index in np.argsort(-turn).tolist():
            if turn[index] <= max(best, 0.0):
                break
            a, b, c = before[index], ring[index], after[index]
            inside = (_cross(b - a, ring - a) >= 0) & (_cross(c - b, ring - b) >= 0) & (_cross(a - c, ring - c) >= 0)
            inside[[index - 1, index, (index + 1) % len(left)]] = False
            if not inside.any():
                best, corner = float(turn[index]), index
                break
        if corner < 0:
            return None
        ears.append((left[corner - 1], left[corner], left[(corner + 1) % len(left)]))
        del left[corner]
    ears.append((left[0], left[1], left[2]))
    return np.array(ears, np.int64)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
