"""What a blade passes over between two poses: two triangles, and where points and segments lie to them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError

_ROUNDING = 1e-9
"""Share of a triangle by which a crossing may lie outside of it, so that none falls between two that share an edge."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Sweep:
    """The quadrilateral between a blade's edge before and after a motion; world frame [m]."""

    first_before: Point
    second_before: Point
    first: Point
    second: Point

    def __post_init__(self) -> None:
        corners = np.array([self.first_before, self.second_before, self.second, self.first], np.float64)
        if corners.shape != (4, 3) or not np.isfinite(corners).all():
            raise InputError(f"blade: expected finite ends of three numbers each, found {corners.tolist()}")
        if np.array_equal(corners[0], corners[1]) or np.array_equal(corners[2], corners[3]):
            raise InputError(f"blade: expected an edge between two different ends, found both at {corners[0].tolist()}")

    @property
    def triangles(self) -> NDArray[np.float64]:
        """Those that have an area, shape (0 to 2, 3, 3); a quadrilateral that is not flat is bent along a diagonal."""
        a, b, c, d = (np.array(p) for p in (self.first_before, self.second_before, self.second, self.first))
        both = np.array([[a, b, c], [a, c, d]])
        area = np.linalg.norm(np.cross(both[:, 1] - both[:, 0], both[:, 2] - both[:, 0]), axis=1)
        longest = np.ptp(both.reshape(-1, 3), axis=0).max()
        return both[area > 1e-9 * longest**2]

    def longer(self, back: float) -> "Sweep":
        """Return the sweep of a blade that came from farther back [m], in the direction in which its middle moves."""
        before, after = np.array([self.first_before, self.second_before]), np.array([self.first, self.second])
        way = after.mean(axis=0) - before.mean(axis=0)
        start = before - back * way / max(float(np.linalg.norm(way)), 1e-300)
        first, second = ((float(x), float(y), float(z)) for x, y, z in start)
        return Sweep(first, second, self.first, self.second)

    def crosses(self, p: Float[np.ndarray, "k 3"], q: Float[np.ndarray, "k 3"]) -> NDArray[np.bool_]:
        """Tell which segments from p to q [m] pass from one side to the other, shape (k,).

        A point in the surface itself counts as in front of it, so that of two segments that meet there one crosses.
        """
        result = np.zeros(len(p), np.bool_)
        for triangle in self.triangles:
            edges, normal = triangle[1:] - triangle[0], _normal(triangle)
            before, after = (p - triangle[0]) @ normal, (q - triangle[0]) @ normal
            passing = np.flatnonzero((before >= 0) != (after >= 0))
            share = before[passing] / (before[passing] - after[passing])
            hit = p[passing] + share[:, None] * (q[passing] - p[passing])
            u, v = ((hit - triangle[0]) @ np.linalg.pinv(edges)).T
            result[passing] |= (u >= -_ROUNDING) & (v >= -_ROUNDING) & (u + v <= 1 + _ROUNDING)
        return result

    def met(self, p: Float[np.ndarray, "2 k 3"], q: Float[np.ndarray, "2 k 3"], *, before: bool) -> NDArray[np.bool_]:
        """Tell which segments that moved met the edge where it stood before its motion or after, shape (k,).

        Args:
            p: First ends of the segments before and after they moved [m].
            q: Second ends.
            before: The edge before its own motion, or after it.
        """
        ends = (self.first_before, self.second_before) if before else (self.first, self.second)
        a, b = (np.array(end) for end in ends)
        return _pierced(a, b, p[0], q[0], q[1]) | _pierced(a, b, p[0], q[1], p[1])

    def measure(self, points: Float[np.ndarray, "k 3"]) -> tuple[NDArray[np.float64], ...]:
        """Measure points against the plane of the nearest triangle.

        Returns:
            Height above the plane [m], shape (k,); how far outside of the triangle the foot lies in the plane [m], 0
            inside, shape (k,); and the plane's unit normal, shape (k, 3).
        """
        height, outside = np.full(len(points), np.inf), np.full(len(points), np.inf)
        normals = np.zeros((len(points), 3))
        for triangle in self.triangles:
            normal = _normal(triangle)
            above = (points - triangle[0]) @ normal
            away = _distance_in_plane(points - above[:, None] * normal, triangle)
            nearer = np.hypot(above, away) < np.hypot(height, outside)
            height[nearer], outside[nearer], normals[nearer] = above[nearer], away[nearer], normal
        return height, outside, normals


def _pierced(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    third: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Tell which triangles the segment from a to b passes through, by the signs of volumes."""
    normal = np.cross(second - first, third - first)
    above, below = (np.einsum("ki,ki->k", end - first, normal) for end in (a, b))
    turns = [
        np.einsum("i,ki->k", b - a, np.cross(one - a, two - a))
        for one, two in ((first, second), (second, third), (third, first))
    ]
    same = np.logical_and.reduce([turn >= 0 for turn in turns]) | np.logical_and.reduce([turn <= 0 for turn in turns])
    return np.asarray(((above >= 0) != (below >= 0)) & same)


def _normal(triangle: NDArray[np.float64]) -> NDArray[np.float64]:
    across = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    return np.asarray(across / np.linalg.norm(across))


def _distance_in_plane(feet: NDArray[np.float64], triangle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of points in a triangle's plane from it, 0 inside."""
    u, v = ((feet - triangle[0]) @ np.linalg.pinv(triangle[1:] - triangle[0])).T
    inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    distance = np.full(len(feet), np.inf)
    for a, b in zip(triangle, np.roll(triangle, -1, axis=0), strict=True):
        along = np.clip((feet - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        distance = np.minimum(distance, np.linalg.norm(feet - a - along[:, None] * (b - a), axis=1))
    return np.where(inside, 0.0, distance)
