"""Lens models: from directions to the image plane of focal length 1, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError

LensModel = Literal["pinhole", "fisheye", "brown", "omnidirectional"]
Array = NDArray[np.float64]

PARAMETERS: dict[LensModel, tuple[str, ...]] = {
    "pinhole": (),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "brown": ("k1", "k2", "p1", "p2", "k3"),
    "omnidirectional": ("a0", "a2", "a3", "a4", "c", "d", "e"),
}
"""Names of a model's distortion parameters, in order."""

_NEWTON_STEPS = 20
_CLOSE = 1e-6  # what an inverted point may miss, in focal lengths


class Lens(Protocol):
    """A lens without its intrinsics: x to the right and y down on the image plane, in focal lengths."""

    def radius(self, angle: Array) -> Array:
        """Return how far from the centre a direction at this angle off the axis [rad] is imaged.

        Parts of the model that are not round are left out.
        """

    def project(self, points: Array) -> tuple[Array, Array]:
        """Image points, shape (..., 3), camera axes, z > 0; return x and y."""

    def unproject(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the unit direction of each place, shape (..., 3), and its angle off the axis [rad].

        The angle is NaN where the lens images nothing.
        """


@dataclass(frozen=True)
class Pinhole:
    """x = X / Z."""

    def radius(self, angle: Array) -> Array:
        """See `Lens`."""
        return np.tan(np.minimum(angle, 1.55))

    def project(self, points: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        z = np.where(points[..., 2] > 0, points[..., 2], 1.0)
        return points[..., 0] / z, points[..., 1] / z

    def unproject(self, x: Array, y: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        return _directions(x, y, np.arctan(np.hypot(x, y)))


@dataclass(frozen=True)
class Fisheye:
    """The radius is t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8) at the angle t.

    Kannala and Brandt, IEEE TPAMI 28(8), 2006, doi:10.1109/TPAMI.2006.153; OpenCV's fisheye.
    """

    k: tuple[float, float, float, float]

    def radius(self, angle: Array) -> Array:
        """See `Lens`."""
        k1, k2, k3, k4 = self.k
        square = angle * angle
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))

    def project(self, points: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        return _radial(points, self.radius)

    def unproject(self, x: Array, y: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        k1, k2, k3, k4 = self.k
        radius = np.hypot(x, y)
        angle = np.minimum(radius, np.pi / 2)
        for _ in range(_NEWTON_STEPS):
            square = angle * angle
            slope = 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))
            angle = np.clip(angle - (self.radius(angle) - radius) / np.where(slope > 1e-6, slope, 1.0), 0, np.pi)
        angle = np.where(np.abs(self.radius(angle) - radius) < _CLOSE, angle, np.nan)
        return _directions(x, y, angle)


@dataclass(frozen=True)
class Brown:
    """Radial and tangential distortion (Brown, Photogrammetric Engineering 37, 1971; OpenCV's k1, k2, p1, p2, k3)."""

    k1: float
    k2: float
    p1: float
    p2: float
    k3: float

    def radius(self, angle: Array) -> Array:
        """See `Lens`."""
        r = np.minimum(np.tan(np.minimum(angle, 1.55)), self.last_radius)
        return r * self._stretch(r * r)

    def project(self, points: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        x, y = Pinhole().project(points)
        r = np.hypot(x, y)
        # Beyond the radius where the polynomial turns back nothing is imaged: such points stay at its edge.
        inward = np.minimum(1.0, self.last_radius / np.maximum(r, 1e-12))
        return self._distort(x * inward, y * inward)

    def unproject(self, x: Array, y: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        u, v = x.copy(), y.copy()
        for _ in range(_NEWTON_STEPS):
            r = np.hypot(u, v)
            inward = np.minimum(1.0, self.last_radius / np.maximum(r, 1e-12))
            u, v = u * inward, v * inward
            at_x, at_y = self._distort(u, v)
            xx, xy, yy = self._slopes(u, v)
            over = np.maximum(xx * yy - xy * xy, 1e-3)
            miss_x, miss_y = at_x - x, at_y - y
            u, v = u - (yy * miss_x - xy * miss_y) / over, v - (xx * miss_y - xy * miss_x) / over
        at_x, at_y = self._distort(u, v)
        found = (np.hypot(at_x - x, at_y - y) < _CLOSE) & (np.hypot(u, v) < self.last_radius)
        return _directions(u, v, np.where(found, np.arctan(np.hypot(u, v)), np.nan))

    @property
    def last_radius(self) -> float:
        """Radius up to which the radial polynomial rises: beyond it two directions would share a place."""
        slope = np.polynomial.Polynomial([1, 0, 3 * self.k1, 0, 5 * self.k2, 0, 7 * self.k3])
        roots = slope.roots()
        real = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real
        return float(real.min()) if len(real) else 1e3

    def _stretch(self, square: Array) -> Array:
        return 1 + square * (self.k1 + square * (self.k2 + square * self.k3))

    def _distort(self, x: Array, y: Array) -> tuple[Array, Array]:
        square = x * x + y * y
        stretch = self._stretch(square)
        return (
            x * stretch + 2 * self.p1 * x * y + self.p2 * (square + 2 * x * x),
            y * stretch + self.p1 * (square + 2 * y * y) + 2 * self.p2 * x * y,
        )

    def _slopes(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return dx'/dx, dx'/dy = dy'/dx and dy'/dy."""
        square = x * x + y * y
        stretch = self._stretch(square)
        rising = 2 * (self.k1 + square * (2 * self.k2 + square * 3 * self.k3))
        return (
            stretch + x * x * rising + 2 * self.p1 * y + 6 * self.p2 * x,
            x * y * rising + 2 * self.p1 * x + 2 * self.p2 * y,
            stretch + y * y * rising + 6 * self.p1 * y + 2 * self.p2 * x,
        )


@dataclass(frozen=True)
class Omnidirectional:
    """The direction of a place (u, v) [px from the centre] is (u', v', a0 + a2 r^2 + a3 r^3 + a4 r^4), r = |(u', v')|.

    Here (u, v) = [[c, d], [e, 1]] (u', v'). Scaramuzza, Martinelli and Siegwart, IROS 2006,
    doi:10.1109/IROS.2006.282372. C3VD publishes its colonoscope so (Bobrow et al., Med. Image Anal. 90, 2023,
    doi:10.1016/j.media.2023.102956).
    """

    a0: float
    a2: float
    a3: float
    a4: float
    c: float
    d: float
    e: float

    def radius(self, angle: Array) -> Array:
        """See `Lens`."""
        # The angle rises with the radius up to where the direction turns behind; tabulated, then refined by Newton.
        table = np.linspace(0, self.last_radius, 2048)
        radius = np.interp(angle, np.arctan2(table, self._height(table)), table)
        for _ in range(4):
            height, slope = self._height(radius), self._height_slope(radius)
            off = np.arctan2(radius, height) - angle
            rate = (height - radius * slope) / (radius * radius + height * height)
            radius = np.clip(radius - off / np.maximum(rate, 1e-6), 0, self.last_radius)
        return radius / self.a0

    def project(self, points: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        x, y = _radial(points, self.radius)
        return self.c * x + self.d * y, self.e * x + y

    def unproject(self, x: Array, y: Array) -> tuple[Array, Array]:
        """See `Lens`."""
        over = self.c - self.d * self.e
        u, v = (x - self.d * y) / over, (self.c * y - self.e * x) / over
        radius = np.hypot(u, v) * self.a0
        angle = np.where(radius < self.last_radius, np.arctan2(radius, self._height(radius)), np.nan)
        return _directions(u, v, angle)

    def _height(self, r: Array) -> Array:
        return self.a0 + r * r * (self.a2 + r * (self.a3 + r * self.a4))

    def _height_slope(self, r: Array) -> Array:
        return r * (2 * self.a2 + r * (3 * self.a3 + r * 4 * self.a4))

    @property
    def last_radius(self) -> float:
        """Radius [px] up to which the angle rises with the radius."""
        table = np.linspace(0, 6 * self.a0, 6000)
        rising = self._height(table) - table * self._height_slope(table) > 0
        return float(table[-1] if rising.all() else table[max(int(np.argmin(rising)) - 1, 1)])


def lens_of(model: LensModel, distortion: tuple[float, ...]) -> Lens:
    """Make a lens.

    Raises:
        InputError: The model is unknown, or takes other parameters.
    """
    names = PARAMETERS.get(model)
    if names is None:
        raise InputError(f"camera: expected a lens of {', '.join(PARAMETERS)}, found {model!r}")
    if model == "pinhole":
        if any(distortion):
            raise InputError(f"camera: expected no distortion of a pinhole, found {distortion}")
        return Pinhole()
    if len(distortion) != len(names):
        raise InputError(f"camera: expected {', '.join(names)} of a {model} lens, found {distortion}")
    if model == "fisheye":
        return Fisheye((distortion[0], distortion[1], distortion[2], distortion[3]))
    if model == "brown":
        return Brown(*distortion)
    lens = Omnidirectional(*distortion)
    if not lens.a0 > 0 or abs(lens.c - lens.d * lens.e) < 0.1:
        raise InputError(f"camera: expected a0 above 0 and an affine part that can be undone, found {distortion}")
    return lens


def _radial(points: Array, radius: Callable[[Array], Array]) -> tuple[Array, Array]:
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    across = np.hypot(x, y)
    scale = radius(np.arctan2(across, z)) / np.where(across > 0, across, 1.0)
    return x * scale, y * scale


def _directions(x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
    """Lay unit directions through places, at angles off the axis."""
    radius = np.hypot(x, y)
    sine = np.sin(angle) / np.where(radius > 0, radius, 1.0)
    return np.stack([x * sine, y * sine, np.cos(angle)], axis=-1), angle
