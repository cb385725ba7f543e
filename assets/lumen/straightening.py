"""Straighten a colon's axis as far as a scope needs: no bend tighter than its bending section takes, limbs apart.

A colon is soft: air stretches it, and a scope opens its hairpins in passing. A rigid wall does neither, so the axis is
moved beforehand, by the least move that leaves every bend wide enough, limbs apart, and bones alone. It is found by
L-BFGS on a penalty function whose weights grow from stage to stage (Nocedal and Wright, Numerical Optimization, 2nd
edition, 2006, chapters 7.2 and 17.1).
"""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.lumen.colon_axis import LIMB_SEPARATION, Axis
from assets.lumen.curves import SPACING, bend_radii, interpolated, place, resampled

Array = NDArray[np.float64]

STAGES = (
    (8e-3, 0.30, 3.0),
    (8e-3, 0.60, 10.0),
    (8e-3, 0.85, 30.0),
    (8e-3, 1.00, 100.0),
    (8e-3, 1.00, 1e3),
    (4e-3, 1.00, 1e3),
    (4e-3, 1.00, 1e4),
)
"""Distance of the nodes [m], share of the least radius asked for, and weight of what is asked for, stage by stage: a
hairpin opens bit by bit, or it would flip over; long bends open in few steps on few nodes."""

ITERATIONS = 800
"""Of a stage, at most."""

STAY = 0.02
"""A node moved by this much [m] costs 1, as much as an edge of twice its length or a bend of half the radius does at
weight 1."""

ARCS = (4e-3, 8e-3, 12e-3, 20e-3)
"""Half lengths of the arcs whose curvature is bounded [m]: short ones find kinks, long ones whole bends."""

SPARE = 0.025
"""Bends are asked to be wider by this share, for a penalty is never met in full."""

LACK = 0.05
"""Share of the least radius, and of the limbs' distance, that may be missing in the end."""

BONE = 5e-3
"""Kept between the tube of the least calibre and the centres of the bones' voxels [m]: wall, pouches, half a voxel."""

NEAR = 0.06
"""Bones farther from the axis than this are no obstacle [m]: nothing is moved so far."""


def straightened(
    axis: Axis, *, least_bend: float, clearance: float, bone: Float64[np.ndarray, "v 3"] | None = None
) -> tuple[NDArray[np.float64], Axis]:
    """Move an axis as little as makes its bends wide; the anus and the direction there stay.

    Args:
        axis: In the label.
        least_bend: Radius that every bend is to have at least [m].
        clearance: Least distance of two limbs' lines [m].
        bone: Centres of voxels of bone, RAS [m].

    Returns:
        The axis as it was, and the moved one with as many points, each at the same share of the length.

    Raises:
        InputError: Limbs or bones leave no room; it names the place.
    """
    near = np.empty((0, 3)) if bone is None else bone
    near = near[cKDTree(axis.points).query(near, distance_upper_bound=NEAR)[0] < np.inf]
    share, move = np.array([0.0, 1.0]), np.zeros((2, 3))
    for step, part, weight in STAGES:
        start = resampled(axis.points, step)
        at = np.linspace(0.0, 1.0, len(start))
        problem = _Problem(start, part * least_bend * (1 + SPARE), clearance, weight, near)
        found = minimize(
            problem.cost,
            (start + interpolated(share, move, at)).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "maxcor": 30, "ftol": 1e-9, "gtol": 1e-6},
        )
        share, move = at, found.x.reshape(-1, 3) - start
    nodes = start + move
    points = resampled(CubicSpline(share, nodes)(np.linspace(0.0, 1.0, 20 * len(nodes))), SPACING)
    _check(points, least_bend, clearance)
    before = interpolated(np.linspace(0.0, 1.0, len(axis.points)), axis.points, np.linspace(0.0, 1.0, len(points)))
    canal = round(axis.canal / (len(axis.points) - 1) * (len(points) - 1))
    return before, Axis(points, canal, axis.moved)


def _check(points: Array, least_bend: float, clearance: float) -> None:
    radius = bend_radii(points)
    worst = int(np.argmin(radius))
    if radius[worst] < (1 - LACK) * least_bend:
        raise InputError(
            f"expected bends of {least_bend * 1e3:.0f} mm radius at least, found {radius[worst] * 1e3:.0f} mm at "
            f"{place(points[worst])}, where limbs or bones leave no room; ask for a smaller least_bend_mm"
        )
    first, _, distance = _limbs(points, (1 - LACK) * clearance, round(LIMB_SEPARATION / SPACING))
    if len(distance):
        worst = int(np.argmin(distance))
        raise InputError(
            f"expected limbs {clearance * 1e3:.0f} mm apart for the calibre asked for, found "
            f"{distance[worst] * 1e3:.0f} mm at {place(points[first[worst]])}; ask for a smaller min_calibre_mm or "
            "least_bend_mm"
        )


def _limbs(points: Array, within: float, apart: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return the pairs of points nearer than `within` [m] and at least `apart` points along the line, and distances."""
    first, second = cKDTree(points).query_pairs(within, output_type="ndarray").reshape(-1, 2).T
    other = second - first >= apart
    first, second = first[other], second[other]
    return first, second, np.asarray(np.linalg.norm(points[second] - points[first], axis=1))


class _Problem:
    """What a course of nodes costs: sums of squares of moves and of what is lacking, each without a unit."""

    def __init__(self, start: Array, bend: float, clearance: float, weight: float, bone: Array) -> None:
        self._start, self._bend, self._clearance, self._weight = start, bend, clearance, weight
        self._rest = float(np.linalg.norm(np.diff(start, axis=0), axis=1).mean())
        self._apart = round(LIMB_SEPARATION / self._rest)
        self._bone = cKDTree(bone) if len(bone) else None

    def cost(self, flat: Array) -> tuple[float, Array]:
        """Return the cost of nodes, shape (3 n,), and its gradient."""
        x = flat.reshape(-1, 3)
        move = (x - self._start) / STAY
        gradient = 2.0 / STAY * move
        lacking = self._stretch(x, gradient) + self._bends(x, gradient) + self._fused(x, gradient)
        lacking += self._pressed(x, gradient)
        gradient[:2] = 0.0
        return float((move**2).sum()) + self._weight * lacking, gradient.ravel()

    def _stretch(self, x: Array, gradient: Array) -> float:
        edge = np.diff(x, axis=0)
        length = np.linalg.norm(edge, axis=1)
        strain = length / self._rest - 1.0
        slope = (2.0 * self._weight * strain / (self._rest * length))[:, None] * edge
        gradient[1:] += slope
        gradient[:-1] -= slope
        return float((strain**2).sum())

    def _bends(self, x: Array, gradient: Array) -> float:
        total = 0.0
        for width in sorted({max(1, round(arc / self._rest)) for arc in ARCS}):
            # Three points on a circle of radius R, an angle a apart: |p - 2 q + r| = 2 R (1 - cos a).
            most = 2.0 * self._bend * (1.0 - np.cos(min(width * self._rest / self._bend, np.pi / 2)))
            bow = x[: -2 * width] - 2.0 * x[width:-width] + x[2 * width :]
            size = np.linalg.norm(bow, axis=1)
            excess = np.maximum(size / most - 1.0, 0.0)
            slope = (2.0 * self._weight * excess / (most * np.maximum(size, 1e-12)))[:, None] * bow
            gradient[: -2 * width] += slope
            gradient[width:-width] -= 2.0 * slope
            gradient[2 * width :] += slope
            total += float((excess**2).sum())
        return total

    def _fused(self, x: Array, gradient: Array) -> float:
        first, second, distance = _limbs(x, self._clearance, self._apart)
        lack = 1.0 - distance / self._clearance
        apart = x[second] - x[first]
        slope = (-2.0 * self._weight * lack / (self._clearance * np.maximum(distance, 1e-9)))[:, None] * apart
        np.add.at(gradient, second, slope)
        np.add.at(gradient, first, -slope)
        return float((lack**2).sum())

    def _pressed(self, x: Array, gradient: Array) -> float:
        if self._bone is None:
            return 0.0
        reach = self._clearance / 2 + BONE
        distance, nearest = self._bone.query(x, distance_upper_bound=reach)
        close = np.flatnonzero(distance < reach)
        lack = 1.0 - distance[close] / reach
        away = x[close] - self._bone.data[nearest[close]]
        gradient[close] -= (2.0 * self._weight * lack / (reach * np.maximum(distance[close], 1e-9)))[:, None] * away
        return float((lack**2).sum())
