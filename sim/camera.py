"""A camera: intrinsics and lens of an endoscope. OpenCV axes; the centre of the top left pixel is (0, 0)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from assets.errors import InputError
from sim.lens_models import LensModel, lens_of

_MAX_SIZE = 8192  # pixels a side; beyond it a size is taken for a mistake


@dataclass(frozen=True)
class Camera:
    """Intrinsics and lens.

    A lens maps directions to x and y on the plane of focal length 1 (see `sim.lens_models`); u = fx x + cx and
    v = fy y + cy.
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
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """Parameters of the lens, in the order of `sim.lens_models.PARAMETERS`; all zero for a pinhole."""
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
        lens_of(self.model, self.distortion)
        if self.model == "omnidirectional" and not self.fx == self.fy == self.distortion[0]:
            raise InputError(
                f"camera: expected fx and fy of an omnidirectional lens to be its a0, "
                f"found {self.fx}, {self.fy} and {self.distortion[0]}"
            )

    @classmethod
    def with_fov(cls, width: int, height: int, fov_deg: float, *, model: LensModel = "fisheye") -> "Camera":
        """Make a camera whose image is `fov_deg` wide from left edge to right edge, square pixels, no distortion.

        Raises:
            InputError: The angle is not within (0, 180).
        """
        if model not in ("pinhole", "fisheye"):
            raise InputError(f"camera: expected a pinhole or a fisheye to be made by its angle, found {model!r}")
        if not 0 < fov_deg < 180:
            raise InputError(f"camera: expected a field of view within 0 and 180 degrees, found {fov_deg}")
        half = np.radians(fov_deg) / 2
        focal = width / 2 / (half if model == "fisheye" else np.tan(half))
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, model)

    @classmethod
    def omnidirectional(
        cls, width: int, height: int, centre: tuple[float, float], parameters: tuple[float, ...]
    ) -> "Camera":
        """Make Scaramuzza's camera from a0, a2, a3, a4 [px] and the affine part c, d, e, as C3VD publishes them.

        Raises:
            InputError: There are not seven parameters, or no lens has them.
        """
        focal = parameters[0] if parameters else float("nan")
        return cls(width, height, focal, focal, *centre, "omnidirectional", tuple(parameters))

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
        points = np.asarray(points_camera, dtype=np.float64)
        x, y = lens_of(self.model, self.distortion).project(points)
        return np.stack([x * self.fx + self.cx, y * self.fy + self.cy], axis=-1), points[..., 2] > 0


@lru_cache(maxsize=16)
def _rays(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Compute `Camera.rays`; every frame of a run asks for the same."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    directions, angle = lens_of(camera.model, camera.distortion).unproject(x, y)
    shown = np.isfinite(angle) & (angle < np.pi / 2 - 1e-3)
    if camera.content_radius is not None:
        shown &= np.hypot(u - camera.cx, v - camera.cy) <= camera.content_radius
    rays = np.where(shown[..., None], directions, 0.0).astype(np.float32)
    rays.flags.writeable = shown.flags.writeable = False
    return rays, shown
