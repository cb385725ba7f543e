"""Polylines: arc length, even spacing, smoothing; and how people read a place."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy import ndimage

SPACING = 2e-3
"""Of a centreline's points [m]."""

BEND_REACH = 12e-3
"""Half of the arc over which the radius of a bend is measured [m]: about the diameter of a scope."""


def arc_lengths(points: Float64[np.ndarray, "n 3"]) -> NDArray[np.float64]:
    """Return the distance along the curve of each point [m], shape (n,), from 0."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def interpolated(
    at: Float64[np.ndarray, "n"], values: Float64[np.ndarray, "n 3"], wanted: Float64[np.ndarray, "m"]
) -> NDArray[np.float64]:
    """Interpolate rows linearly, shape (m, 3); `at` increases."""
    return np.stack([np.interp(wanted, at, column) for column in values.T], axis=1)


def resampled(points: Float64[np.ndarray, "n 3"], spacing: float) -> NDArray[np.float64]:
    """Place points evenly, about `spacing` [m] apart, both ends kept."""
    arc = arc_lengths(points)
    keep = np.concatenate([[True], np.diff(arc) > 0])
    even = np.linspace(0.0, arc[-1], max(round(arc[-1] / spacing), 1) + 1)
    return interpolated(arc[keep], points[keep], even)


def smoothed(points: Float64[np.ndarray, "n 3"], spacing: float, width: float) -> NDArray[np.float64]:
    """Smooth an evenly spaced curve by a Gaussian of standard deviation `width` [m]; its ends stay."""
    # Reflection through the end points keeps them, and the direction there.
    return np.asarray(
        ndimage.gaussian_filter1d(_extended(points), width / spacing, axis=0)[len(points) - 1 : 2 * len(points) - 1]
    )


def _extended(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([2 * points[0] - points[:0:-1], points, 2 * points[-1] - points[-2::-1]])


def tangents(points: Float64[np.ndarray, "n 3"]) -> NDArray[np.float64]:
    """Return unit tangents by central differences, shape (n, 3)."""
    direction = np.gradient(points, axis=0)
    return np.asarray(direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12))


def bend_radii(points: Float64[np.ndarray, "n 3"], reach: float = BEND_REACH) -> NDArray[np.float64]:
    """Return the radius of the circle through each point and those `reach` [m] before and after it [m], shape (n,).

    Nearer to the ends than `reach` it is that of the nearest place that has both; infinite where the line is straight.
    """
    arc = arc_lengths(points)
    reach = min(reach, float(arc[-1]) / 2)
    middle = np.clip(arc, reach, arc[-1] - reach)
    a, b, c = (interpolated(arc, points, middle + shift) for shift in (-reach, 0.0, reach))
    sides = np.stack([np.linalg.norm(q - p, axis=1) for p, q in ((a, b), (b, c), (a, c))])
    twice_area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    # Circumradius: the product of the sides over four times the area.
    with np.errstate(divide="ignore"):
        return np.asarray(sides.prod(axis=0) / (2.0 * twice_area))


def place(point: Float64[np.ndarray, "3"]) -> str:
    """Write a point [m] as people read it."""
    x, y, z = (float(value) * 1e3 for value in point)
    return f"RAS ({x:.0f}, {y:.0f}, {z:.0f}) mm"
