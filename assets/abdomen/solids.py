"""Solids as implicit functions: negative inside, about the distance to the surface in metres near it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.abdomen.lattice import SPACING, Array, Box, Field

FAR = 0.03
"""What a tube's field holds farther than this from its surface [m]."""

Function = Callable[[Box], Field]
"""Evaluates a solid's field at the nodes of a box."""


@dataclass(frozen=True)
class Solid:
    """One organ before it meets its neighbours."""

    name: str
    """Of the organ, such as `small_bowel`."""
    label: str
    """A name of `assets/labels.csv`."""
    material: str
    """A table of `assets/materials.toml`."""
    function: Function
    low: Array
    """Corner of a box that holds it [m]."""
    high: Array
    """The opposite corner [m]."""
    spacing: float = SPACING
    """Of the box that it is meshed in [m]."""
    within: tuple[str, ...] = ()
    """Organs that it may lie inside of, as vessels do; all others it stays out of."""
    rounding: float = 0.003
    """Radius by which edges are rounded where it meets its neighbours [m]."""
    nodes: Box | None = None
    """What it is meshed in; None takes the smallest box."""

    @property
    def box(self) -> Box:
        """The nodes that it is meshed at."""
        return self.nodes or Box.around(self.low, self.high, self.spacing)


def smooth_max(a: Field, b: Field, radius: float) -> Field:
    """Intersect two solids with their common edge rounded; never below the greater of both."""
    blend = np.maximum(radius - np.abs(a - b), 0.0)
    return np.asarray(np.maximum(a, b) + blend * blend * (0.25 / radius), dtype=np.float32)


def smooth_min(a: Field, b: Field, radius: float) -> Field:
    """Unite two solids with the crease between them filled; never above the lesser of both."""
    return -smooth_max(-a, -b, radius)


def ellipsoid(box: Box, centre: Array, radii: Array, turn: Array | None = None) -> Field:
    """Return the field of an ellipsoid; the columns of `turn` are its axes."""
    x, y, z = (axis - np.float32(c) for axis, c in zip(box.axes, centre, strict=True))
    axes = np.eye(3) if turn is None else turn
    local = [np.float32(axes[0, n]) * x + np.float32(axes[1, n]) * y + np.float32(axes[2, n]) * z for n in range(3)]
    reach = np.sqrt(sum((part / np.float32(r)) ** 2 for part, r in zip(local, radii, strict=True)))
    slope = np.sqrt(sum((part / np.float32(r * r)) ** 2 for part, r in zip(local, radii, strict=True)))
    # (|p/r| - 1) |p/r| / |p/r^2| is exact to first order at the surface
    return np.asarray((reach - 1.0) * np.maximum(reach, 1e-3) / np.maximum(slope, 1e-3), dtype=np.float32)


def half_space(box: Box, point: Array, normal: Array) -> Field:
    """Return the signed distance to a plane, positive on the side that its normal points to."""
    x, y, z = box.axes
    a, b, c = (np.float32(n) for n in normal)
    return np.asarray(a * x + b * y + c * z - np.float32(point @ normal), dtype=np.float32)


def tube(box: Box, points: Float[np.ndarray, "n 3"], radii: Float[np.ndarray, "n"]) -> Field:
    """Return the field of balls along a curve; FAR from its surface it holds FAR.

    Args:
        box: Where.
        points: Middles of the balls [m], closer together than half a radius.
        radii: [m]
    """
    field_ = np.full(box.shape, FAR, np.float32)
    low = np.array(box.low)
    reach = radii + np.minimum(FAR, np.maximum(3.0 * box.spacing, 0.006))
    first = np.maximum(np.floor((points - reach[:, None]) / box.spacing).astype(int) - low, 0)
    last = np.minimum(np.ceil((points + reach[:, None]) / box.spacing).astype(int) - low + 1, box.shape)
    axes = [axis.ravel() for axis in box.axes]
    for point, radius, a, b in zip(points.astype(np.float32), radii.astype(np.float32), first, last, strict=True):
        if (a >= b).any():
            continue
        x, y, z = (axis[s:e] - p for axis, s, e, p in zip(axes, a, b, point, strict=True))
        distance = np.sqrt((x * x)[:, None, None] + (y * y)[None, :, None] + (z * z)[None, None, :]) - radius
        window = field_[a[0] : b[0], a[1] : b[1], a[2] : b[2]]
        np.minimum(window, distance, out=window)
    return field_


@dataclass(frozen=True)
class Ripple:
    """Smooth noise in space: a sum of plane waves with deviation 1."""

    waves: Array
    """Wave vectors [rad/m], shape (n, 3)."""
    phases: Array
    """[rad], shape (n,)."""

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float, count: int = 8) -> "Ripple":
        """Draw waves of about one length [m], in all directions."""
        directions = rng.standard_normal((count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength * rng.uniform(0.75, 1.4, (count, 1))
        return cls(2 * np.pi * directions / lengths, rng.uniform(0.0, 2 * np.pi, count))

    def __call__(self, box: Box) -> Field:
        """Evaluate at the nodes of a box."""
        total = np.zeros(box.shape, np.float32)
        for wave, phase in zip(self.waves, self.phases, strict=True):
            x, y, z = (np.exp(1j * k * axis).astype(np.complex64) for k, axis in zip(wave, box.axes, strict=True))
            total += ((x * np.complex64(np.exp(1j * phase))) * y * z).real
        return np.asarray(total * np.float32(np.sqrt(2.0 / len(self.phases))), dtype=np.float32)


def curve(nodes: Float[np.ndarray, "m k"], step: float) -> Array:
    """Run a smooth curve through nodes and place points on it at equal distances; more columns ride along.

    Args:
        nodes: Positions [m] in the first three columns, and whatever varies along the curve, shape (m, 3 or more).
        step: About the distance of the points [m].
    """
    chord = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(nodes[:, :3], axis=0), axis=1)))])
    fine = _catmull(nodes, chord, 32)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fine[:, :3], axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], max(2, round(arc[-1] / step) + 1))
    return np.stack([np.interp(at, arc, column) for column in fine.T], axis=1)


def _catmull(nodes: Array, chord: Array, count: int) -> Array:
    """Interpolate by cubic Hermite pieces with finite-difference slopes: no overshoot of a natural spline."""
    slope = np.gradient(nodes, chord, axis=0) if len(nodes) > 2 else np.repeat(np.diff(nodes, axis=0), 2, 0) / chord[-1]
    pieces = []
    t = np.linspace(0.0, 1.0, count, endpoint=False)[:, None]
    for n in range(len(nodes) - 1):
        h = chord[n + 1] - chord[n]
        a, b = nodes[n], nodes[n + 1]
        pieces.append(
            (1 + 2 * t) * (1 - t) ** 2 * a
            + t * (1 - t) ** 2 * h * slope[n]
            + t * t * (3 - 2 * t) * b
            + t * t * (t - 1) * h * slope[n + 1]
        )
    return np.concatenate([*pieces, nodes[-1:]])


def reach_of(points: Float[np.ndarray, "n 3"], radii: Float[np.ndarray, "n"]) -> tuple[Array, Array]:
    """Return the corners of the box about balls [m]."""
    return (points - radii[:, None]).min(axis=0), (points + radii[:, None]).max(axis=0)


def inside(mask: Field) -> NDArray[np.bool_]:
    """Tell where a field is inside."""
    return np.asarray(mask < 0)
