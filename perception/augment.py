"""Altered copies of frames: turns that a centred lens allows exactly, and changes of colour and sharpness.

With the exposure known, brightness tells the distance. So an image is brightened together with the reading of the
exposure, as if the device had been set otherwise, and what bends the tone curve is kept small. Images of foreign
devices (see `perception.views.from_another_device`), whose distances are withheld, are altered much more.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sim.camera import Camera

_BRIGHTNESS, _SATURATION, _CONTRAST, _GAMMA, _TINT = 0.15, 0.3, 0.05, 0.05, 0.0  # largest change, as a share of 1
_FOREIGN_BRIGHTNESS, _FOREIGN_SATURATION, _FOREIGN_CONTRAST, _FOREIGN_GAMMA, _FOREIGN_TINT = 0.4, 0.6, 0.3, 0.4, 0.15
_SRGB_POWER = 2.2  # that of the power law which comes nearest to the sRGB curve, IEC 61966-2-1
_HUE, _FOREIGN_HUE = np.radians(12), np.radians(20)  # largest turn of the hue
_NOISE = 0.02  # largest standard deviation, of full scale
_BLURRED, _CUT = 0.3, 0.3  # shares of the frames
_CUT_SIDE = 0.09  # largest side of a patch, as a share of the image's width


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to lay a square on itself: transpose first, then flip."""

    transpose: bool = False
    """Swap rows and columns."""
    flip_columns: bool = False
    """Left becomes right."""
    flip_rows: bool = False
    """Up becomes down."""

    def direction(self, vector: Float32[np.ndarray, "3"]) -> NDArray[np.float32]:
        """Turn a vector in camera axes (x right, y down, z forward) as the image turns."""
        x, y, z = vector
        if self.transpose:
            x, y = y, x
        return np.array([-x if self.flip_columns else x, -y if self.flip_rows else y, z], np.float32)

    def point(self, place: Float32[np.ndarray, "*n 2"], width: int, height: int) -> NDArray[np.float32]:
        """Turn places (u, v) [px] in an image of a width and height before the turn."""
        u, v = place[..., 0], place[..., 1]
        if self.transpose:
            u, v, width, height = v, u, height, width
        u, v = (width - 1 - u if self.flip_columns else u), (height - 1 - v if self.flip_rows else v)
        return np.stack([u, v], axis=-1)


def turns_of(camera: Camera) -> list[Turn]:
    """Return the turns after which an image could still come from this camera: those that leave its rays in place."""
    centred_x, centred_y = camera.cx == (camera.width - 1) / 2, camera.cy == (camera.height - 1) / 2
    square = camera.width == camera.height and camera.fx == camera.fy and camera.cx == camera.cy
    swaps, columns, rows = (False, True)[: 1 + square], (False, True)[: 1 + centred_x], (False, True)[: 1 + centred_y]
    return [Turn(*choice) for choice in product(swaps, columns, rows)]


def turn_of(image: NDArray[Any], turn: Turn) -> NDArray[Any]:
    """Return a turned view of an image, shape (h, w, ...)."""
    turned = np.swapaxes(image, 0, 1) if turn.transpose else image
    return turned[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]


def jitter(
    image: Float[Tensor, "batch 3 h w"],
    log_exposure: Float[Tensor, "batch"],
    foreign: Bool[np.ndarray, "batch"],
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "batch 3 h w"], Float[Tensor, "batch"]]:
    """Alter exposure, colour, contrast, gamma, noise and sharpness of each image; lay small grey patches on some.

    Args:
        image: sRGB within 0 and 1.
        log_exposure: Log of the device's gain.
        foreign: Which images come from a device whose gain is not known: it stays as it is.
        rng: Decides everything.

    Returns:
        New images, within 0 and 1, and the logs of their exposures, on the same device.
    """
    batch, _, height, width = image.shape

    def change(own: float, others: float, *shape: int) -> NDArray[np.float64]:
        most = np.where(foreign, others, own).reshape(batch, *(1 for _ in shape))
        return 1 + most * rng.uniform(-1, 1, (batch, *shape))

    brightness = change(_BRIGHTNESS, _FOREIGN_BRIGHTNESS)
    told = np.where(foreign, 0.0, _SRGB_POWER * np.log(brightness))
    exposed = log_exposure + torch.from_numpy(told).to(log_exposure)
    hue = (change(_HUE, _FOREIGN_HUE, 1, 1) - 1, change(_SATURATION, _FOREIGN_SATURATION, 1, 1))
    colours = change(_TINT, _FOREIGN_TINT, 3, 1) * _colour_matrices(*hue)
    matrix = torch.from_numpy(brightness[:, None, None] * colours).to(image)  # (B, 3, 3)
    flat = torch.bmm(matrix, image.flatten(2))  # (B, 3, hw)
    contrast = torch.from_numpy(change(_CONTRAST, _FOREIGN_CONTRAST, 1, 1)).to(image)
    mean = flat.mean(dim=(1, 2), keepdim=True)
    altered = torch.lerp(mean, flat, contrast).clamp_(1e-4, 1)
    gamma = torch.from_numpy(change(_GAMMA, _FOREIGN_GAMMA, 1, 1)).to(image)
    altered = altered.pow_(gamma).view(batch, 3, height, width)
    blurred = np.flatnonzero(rng.random(batch) < _BLURRED)
    if len(blurred):
        altered[blurred] = functional.avg_pool2d(altered[blurred], 3, stride=1, padding=1, count_include_pad=False)
    generator = torch.Generator(image.device).manual_seed(int(rng.integers(1 << 62)))
    noise = torch.randn(altered.shape, generator=generator, device=image.device)
    sigma = torch.from_numpy(rng.uniform(0, _NOISE, (batch, 1, 1, 1))).to(image)
    altered = altered.addcmul_(noise, sigma).clamp_(0, 1)
    for row in np.flatnonzero(rng.random(batch) < _CUT):
        side = int(rng.integers(2, max(3, int(_CUT_SIDE * width))))
        top, left = int(rng.integers(height - side)), int(rng.integers(width - side))
        altered[row, :, top : top + side, left : left + side] = float(rng.random())
    return altered.contiguous(memory_format=torch.channels_last), exposed


def _colour_matrices(
    angle: Float64[np.ndarray, "batch 1 1"], saturation: Float64[np.ndarray, "batch 1 1"]
) -> NDArray[np.float64]:
    """Make a matrix an image that turns the hue about the grey axis [rad] and stretches the saturation."""
    grey = np.full((3, 3), 1 / 3)
    across = np.eye(3) - grey
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    # Rodrigues' rotation about (1, 1, 1), with what lies across the axis stretched.
    return np.asarray(grey + saturation * (np.cos(angle) * across + np.sin(angle) * cross))
