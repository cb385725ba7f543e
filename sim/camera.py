"""A camera: intrinsics and lens of an endoscope. OpenCV axes; the centre of the top left pixel is (0, 0)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from assets.errors import InputError

LensModel = Literal["pinhole", "fisheye"]

_MAX_SIZE = 8192  # pixels a side; beyond it a size is taken for a mistake


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a pinhole or a Kannala-Brandt fisheye lens.

    The fisheye maps the angle t from the optical axis to the radius t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8), in units
    of the focal length (Kannala and Brandt, IEEE TPAMI 28(8), 2006, doi:10.1109/TPAMI.2006.153; OpenCV's fisheye).
    """

    width: int
    """[px]"""
    height: int
    """[px]"""
    fx: float
    """[px]"""
    fy: float
    """[px]"""
    cx: float
    """[px]"""
    cy: float
    """[px]"""
    model: LensModel = "pinhole"
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """k1 to k4 of the fisheye; all zero for a pinhole."""
    content_radius: float | None = None
    """Pixels farther than this from (cx, cy) [px] show nothing (the endoscope's dark surround); None: all show."""

    def __post_init__(self) -> None:
        if not (1 <= self.width <= _MAX_SIZE and 1 <= self.height <= _MAX_SIZE):
            raise InputError(
                f"camera: expected a size of 1 to {_MAX_SIZE} px a side, found {self.width} x {self.height}"
            )
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(np.isfinite(number) for number in numbers) or self.fx <= 0 or self.fy <= 0:
            raise InputError(f"camera: expected finite intrinsics and positive focal lengths, found {numbers}")
        if self.model == "pinhole" and any(self.distortion):
            raise InputError(f"camera: expected no distortion of a pinhole, found {self.distortion}")

    @classmethod
    def with_fov(cls, width: int, height: int, fov_deg: float, *, model: LensModel = "fisheye") -> "Camera":
        """Make a camera whose image is `fov_deg` wide from left edge to right edge, square pixels, no distortion.

        Raises:
            InputError: The angle is not within (0, 180).
        """
        if not 0 < fov_deg < 180:
            raise InputError(f"camera: expected a field of view within 0 and 180 degrees, found {fov_deg}")
        half = np.radians(fov_deg) / 2
        focal = width / 2 / (half if model == "fisheye" else np.tan(half))
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, model)

    def rays(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return each pixel's ray.

        Returns:
            Unit directions, shape (H, W, 3), camera axes, zero where the pixel sees nothing; and a mask (H, W), True
            where the pixel shows the scene: inside the content radius and less than 90 degrees off the axis. Both are
            shared and read-only.
        """
        return _rays(self)

    def project(
        self, points_camera: Float[np.ndarray, "*n 3"]
    ) -> tuple[Float[np.ndarray, "*n 2"], Bool[np.ndarray, "*n"]]:
        """Project points [m], shape (..., 3), camera axes.

        Returns:
            Pixel coordinates (u, v), shape (..., 2), and a mask: True for points in front of the camera (z > 0).
        """
        x, y, z = np.moveaxis(np.asarray(points_camera, dtype=np.float64), -1, 0)
        across = np.hypot(x, y)
        if self.model == "pinhole":
            scale = 1 / np.where(z > 0, z, 1.0)
        else:
            angle = np.arctan2(across, z)
            scale = self._radius(angle) / np.where(across > 0, across, 1.0)
        return np.stack([x * scale * self.fx + self.cx, y * scale * self.fy + self.cy], axis=-1), z > 0

    def _radius(self, angle: NDArray[np.float64]) -> NDArray[np.float64]:
        k1, k2, k3, k4 = self.distortion
        square = angle * angle
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))

    def angle_of(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the fisheye's angle [rad] at a radius, by Newton's method; NaN where the lens has no such radius."""
        k1, k2, k3, k4 = self.distortion
        angle = np.minimum(radius, np.pi / 2)
        for _ in range(20):
            square = angle * angle
            slope = 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))
            angle = np.clip(angle - (self._radius(angle) - radius) / np.where(slope > 1e-6, slope, 1.0), 0, np.pi)
        return np.where(np.abs(self._radius(angle) - radius) < 1e-6, angle, np.nan)


@lru_cache(maxsize=16)
def _rays(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Compute `Camera.rays`; every frame of a run asks for the same."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    radius = np.hypot(x, y)
    angle = np.arctan(radius) if camera.model == "pinhole" else camera.angle_of(radius)
    sine = np.sin(angle) / np.where(radius > 0, radius, 1.0)
    rays = np.stack([x * sine, y * sine, np.cos(angle)], axis=-1)
    shown = np.isfinite(angle) & (angle < np.pi / 2 - 1e-3)
    if camera.content_radius is not None:
        shown &= np.hypot(u - camera.cx, v - camera.cy) <= camera.content_radius
    rays = np.where(shown[..., None], rays, 0.0).astype(np.float32)
    rays.flags.writeable = shown.flags.writeable = False
    return rays, shown
