"""A camera's lens as the kernels want it: a ray for every pixel, and a table that projects directions quickly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from jaxtyping import Float32
from numpy.typing import NDArray

from sim.camera import Camera
from sim.lens_models import lens_of

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]

TABLE_SIZE = 4096
BACK_COSINE = -0.86
"""Directions farther than 149 degrees off the axis are not projected: the lens bends lines too much there."""


@wp.struct
class Lens:
    """What the kernels know of the lens.

    `bend` bounds the second derivative of a projected great circle [px/rad^2], `slack` what the parts of the lens that
    are not round add to a place [px].
    """

    fisheye: wp.bool
    width: wp.int32
    height: wp.int32
    fx: wp.float32
    fy: wp.float32
    cx: wp.float32
    cy: wp.float32
    field_sine: wp.float32
    field_cosine: wp.float32
    slack: wp.float32
    bend_near: wp.float32
    bend_far: wp.float32


def layout(struct: Any) -> Any:
    """Return the record type of NumPy arrays that hold this struct of the kernels."""
    return struct.numpy_dtype()


@dataclass(frozen=True)
class LensTables:
    """A lens with its tables."""

    lens: Lens
    rays: Float32[np.ndarray, "n 3"]
    """Unit direction of each pixel, row by row, camera axes; 0 where the pixel shows nothing."""
    slopes: Float32[np.ndarray, "n 2"]
    """x / z and y / z of the rays, not a number where the pixel shows nothing."""
    radius_over_sine: Float32[np.ndarray, "m"]
    """Image radius over the sine of the off-axis angle, by the angle's cosine from -1 to 1; focal length 1."""


def build_lens(camera: Camera) -> LensTables:
    """Tabulate a camera's lens."""
    rays, shown = camera.rays()
    widest = float(np.arccos(np.clip(rays[shown][:, 2].min(), -1, 1))) if shown.any() else 0.0
    radius, slope, curve = _lens_curve(camera, widest)

    cosine = np.linspace(-1, 1, TABLE_SIZE)
    angle = np.arccos(np.clip(cosine, -1 + 1e-9, 1 - 1e-9))
    lens = Lens()
    lens.fisheye = camera.model != "pinhole"
    lens.width, lens.height = camera.width, camera.height
    lens.fx, lens.fy, lens.cx, lens.cy = camera.fx, camera.fy, camera.cx, camera.cy
    lens.field_sine, lens.field_cosine = float(np.sin(widest + 1e-3)), float(np.cos(widest + 1e-3))
    lens.slack = _slack(camera, radius)
    focal = max(camera.fx, camera.fy)
    near = np.linspace(1e-3, min(widest + 0.1, 2.6), 400)
    far = np.linspace(1e-3, float(np.arccos(BACK_COSINE)), 400)
    lens.bend_near = focal * _bend(near, radius(near), slope(near), curve(near))
    lens.bend_far = focal * _bend(far, radius(far), slope(far), curve(far))
    table = radius(angle) / np.sin(angle)
    rays = np.ascontiguousarray(rays.reshape(-1, 3))
    lit = shown.ravel()
    slopes = np.full((len(rays), 2), np.nan, np.float32)
    slopes[lit] = rays[lit, :2] / rays[lit, 2:]
    if camera.model == "pinhole":
        place = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1).reshape(-1, 2)
        centre, focal = np.array([[camera.cx, camera.cy], [camera.fx, camera.fy]], np.float32)
        slopes[lit] = ((place.astype(np.float32) - centre) / focal)[lit]
    return LensTables(lens, rays, slopes, table.astype(np.float32))


def _lens_curve(camera: Camera, widest: float) -> tuple[Curve, Curve, Curve]:
    """Return the image radius and its two derivatives; beyond the widest angle shown the lens goes on straight."""
    lens = lens_of(camera.model, camera.distortion)
    # Differences: a step that leaves 1e-9 of rounding in the second derivative.
    step = 1e-3

    def inside(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(angle, step, max(widest - step, step))

    end = np.array(widest)
    end_radius = float(lens.radius(end))
    end_slope = max((end_radius - float(lens.radius(end - step))) / step, 0.1)

    def radius(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(
            angle < widest, lens.radius(np.minimum(angle, widest)), end_radius + end_slope * (angle - widest)
        )

    def slope(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        at = inside(angle)
        return np.where(angle < widest, (lens.radius(at + step) - lens.radius(at - step)) / (2 * step), end_slope)

    def curve(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        at = inside(angle)
        second = (lens.radius(at + step) - 2 * lens.radius(at) + lens.radius(at - step)) / step**2
        return np.where(angle < widest, second, 0.0)

    return radius, slope, curve


def _slack(camera: Camera, radius: Curve) -> float:
    """Return how far the parts of the lens that are not round move a place of the picture, at most [px]."""
    rays, shown = camera.rays()
    if camera.model in ("pinhole", "fisheye") or not shown.any():
        return 0.0
    seen = rays[shown].astype(np.float64)
    x, y = lens_of(camera.model, camera.distortion).project(seen)
    across = np.maximum(np.hypot(seen[:, 0], seen[:, 1]), 1e-12)
    plain = radius(np.arctan2(across, seen[:, 2])) / across
    moved = np.hypot(camera.fx * (x - plain * seen[:, 0]), camera.fy * (y - plain * seen[:, 1]))
    return 1.2 * float(moved.max())


def _bend(
    angle: NDArray[np.float64], radius: NDArray[np.float64], slope: NDArray[np.float64], curve: NDArray[np.float64]
) -> float:
    """Bound |p''| over all great circles through these angles, p in units of the focal length.

    A great circle with direction d off the meridian has angle' = cos d, azimuth' = sin d / sin(angle),
    angle'' = cot(angle) sin^2 d and azimuth'' = -2 cot(angle) cos d sin d / sin(angle).
    """
    angle, radius, slope, curve = (values[:, None] for values in (angle, radius, slope, curve))
    direction = np.linspace(0, np.pi / 2, 50)[None]
    forward, sideways = np.cos(direction), np.sin(direction)
    cotangent, turn = 1 / np.tan(angle), sideways / np.sin(angle)
    along = curve * forward**2 + slope * cotangent * sideways**2 - radius * turn**2
    across = 2 * slope * forward * turn - 2 * radius * cotangent * forward * turn
    return float(np.hypot(along, across).max()) * 1.05
