"""The omnidirectional lens of Scaramuzza, which C3VD uses, and what of ours it can say.

A pixel at (u, v) from the centre belongs to the ray (x, y, a0 + a2 r^2 + a3 r^3 + a4 r^4) with (u, v) = A (x, y),
A = ((c, d), (e, 1)), r = |(x, y)| (Scaramuzza, Martinelli, Siegwart, IROS 2006, doi:10.1109/IROS.2006.282372).
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assets.errors import InputError
from sim.camera import Camera

_POINTS = 400  # of the radius, for fits


@dataclass(frozen=True)
class Omnidirectional:
    """Intrinsics; the centre of the top left pixel is (0, 0)."""

    width: int
    """[px]"""
    height: int
    """[px]"""
    cx: float
    """[px]"""
    cy: float
    """[px]"""
    a0: float
    """[px]"""
    a2: float
    """[1/px]"""
    a3: float
    """[1/px^2]"""
    a4: float
    """[1/px^3]"""
    c: float = 1.0
    d: float = 0.0
    e: float = 0.0

    def __post_init__(self) -> None:
        values = np.array(list(asdict(self).values()), dtype=np.float64)
        if not np.isfinite(values).all() or self.a0 <= 0 or self.c - self.d * self.e <= 0:
            raise InputError(f"lens: expected finite intrinsics, positive a0 and c - d e, found {self}")

    def rays(self, pixels: Float[np.ndarray, "*n 2"]) -> NDArray[np.float64]:
        """Return the unit ray of each pixel (u, v), shape (..., 3), camera axes x right, y down, z forward."""
        stretch = np.array([[self.c, self.d], [self.e, 1.0]])
        across = (pixels - (self.cx, self.cy)) @ np.linalg.inv(stretch).T
        rays = np.concatenate([across, self._height(np.linalg.norm(across, axis=-1))[..., None]], axis=-1)
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))

    def _height(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.a0 + radius**2 * (self.a2 + radius * (self.a3 + radius * self.a4))


# C3VD's colonoscope, an Olympus CF-HQ190L, counted from 0: Bobrow et al., Medical Image Analysis 90, 2023,
# doi:10.1016/j.media.2023.102956; the values are those of the data set's own example of a loader.
CF_HQ190L = Omnidirectional(
    width=1350,
    height=1080,
    cx=678.544839263292,
    cy=542.975887548343,
    a0=769.243600037458,
    a2=-0.000812770624150226,
    a3=6.25674244578925e-07,
    a4=-1.19662182144280e-09,
    c=0.999986882249990,
    d=0.00288273829525059,
    e=-0.00296316513429569,
)


def from_camera(camera: Camera) -> tuple[Omnidirectional, float]:
    """Describe one of our lenses.

    Returns:
        The intrinsics, and by how much [px] they are off at worst where the lens shows something; 0 for a pinhole.
    """
    rays, shown = camera.rays()
    place = (camera.width, camera.height, float(camera.cx), float(camera.cy))
    stretch = float(camera.fx / camera.fy)
    if camera.model == "pinhole":
        lens = Omnidirectional(*place, a0=float(camera.fy), a2=0.0, a3=0.0, a4=0.0, c=stretch)
    else:
        widest = float(np.arccos(np.clip(rays[shown][:, 2].min(), -1, 1)))
        angle = np.linspace(0, widest, _POINTS + 1)[1:]
        line, _ = camera.project(np.stack([np.zeros_like(angle), np.sin(angle), np.cos(angle)], axis=-1))
        radius = line[:, 1] - camera.cy
        height = radius / np.tan(angle)
        # A height that is off by 1 turns the ray by radius / (radius^2 + height^2).
        weight = radius / (radius**2 + height**2)
        powers = np.stack([np.ones_like(radius), radius**2, radius**3, radius**4], axis=-1)
        solved = np.linalg.lstsq(powers * weight[:, None], height * weight, rcond=None)[0]
        a0, a2, a3, a4 = map(float, solved)
        lens = Omnidirectional(*place, a0=a0, a2=a2, a3=a3, a4=a4, c=stretch)
    return lens, _worst(lens, camera, np.eye(3))


def to_camera(lens: Omnidirectional) -> tuple[Camera, NDArray[np.float64], float]:
    """Describe a lens of this kind as one of ours.

    The part of the stretch A that turns the picture becomes a turn of the camera about its axis, which we can say
    exactly; what is left of its shear we cannot.

    Returns:
        The camera; R_ours_theirs, shape (3, 3), which turns directions in their camera's axes into ours (about z, so
        depth along the axis is the same); and by how much [px] the camera is off at worst.

    Raises:
        InputError: The lens sees no single direction a pixel.
    """
    corners = np.array([[0, 0], [lens.width - 1, 0], [0, lens.height - 1], [lens.width - 1, lens.height - 1]])
    stretch = np.array([[lens.c, lens.d], [lens.e, 1.0]])
    widest = np.linalg.norm((corners - (lens.cx, lens.cy)) @ np.linalg.inv(stretch).T, axis=1).max()
    radius = np.linspace(0, widest, _POINTS + 1)[1:]
    angle = np.arctan2(radius, lens._height(radius))
    if (np.diff(angle) <= 0).any():
        raise InputError(f"lens: expected an angle that grows with the distance from the centre, found {lens}")
    seen = angle < np.pi / 2 - 1e-3
    powers = angle[seen, None] ** np.array([1, 3, 5, 7, 9])
    focal, *rest = np.linalg.lstsq(powers, radius[seen], rcond=None)[0].tolist()
    left, scales, right = np.linalg.svd(stretch)
    turn, symmetric = left @ right, right.T @ np.diag(scales) @ right
    # p = turn symmetric q, with q theirs; ours is turn q, and turn symmetric turn^T is nearly diagonal.
    across, down = np.diag(turn @ symmetric @ turn.T).tolist()
    k1, k2, k3, k4 = (value / focal for value in rest)
    camera = Camera(
        lens.width, lens.height, focal * across, focal * down, lens.cx, lens.cy, "fisheye", (k1, k2, k3, k4)
    )
    rotation = np.eye(3)
    rotation[:2, :2] = turn
    return camera, rotation, _worst(lens, camera, rotation)


def _worst(lens: Omnidirectional, camera: Camera, rotation: Float[np.ndarray, "3 3"]) -> float:
    """Return how far [px] a ray of the lens falls from its pixel through the camera, at worst."""
    _, shown = camera.rays()
    row, column = np.nonzero(shown)
    pixels = np.stack([column, row], axis=-1).astype(np.float64)
    found, _ = camera.project(lens.rays(pixels) @ rotation.T)
    return float(np.abs(found - pixels).max(initial=0.0))
