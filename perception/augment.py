"""Altered copies of frames: turns that a centred lens allows exactly, and changes of colour and sharpness.

With the exposure known, brightness tells the distance. So an image is brightened together with the reading of the
exposure, as if the device had been set otherwise, and what bends the tone curve is kept small.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sim.camera import Camera

_BRIGHTNESS, _SATURATION, _CONTRAST, _GAMMA = 0.15, 0.3, 0.05, 0.05  # largest change, as a share of 1
_SRGB_POWER = 2.2  # that of the power law which comes nearest to the sRGB curve, IEC 61966-2-1
_HUE = np.radians(12)  # largest turn of the hue
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
    image: Float[Tensor, "batch 3 h w"], log_exposure: Float[Tensor, "batch"], rng: np.random.Generator
) -> tuple[Float[Tensor, "batch 3 h w"], Float[Tensor, "batch"]]:
    """Alter exposure, colour, contrast, gamma, noise and sharpness of each image; lay small grey patches on some.

    Args:
        image: sRGB within 0 and 1.
        log_exposure: Log of the device's gain.
        rng: Decides everything.

    Returns:
        New images, within 0 and 1, and the logs of their exposures, on the same device.
    """
    batch, _, height, width = image.shape
    brightness = rng.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS, batch)
    exposed = log_exposure + torch.from_numpy(_SRGB_POWER * np.log(brightness)).to(log_exposure)
    matrix = torch.from_numpy(brightness[:, None, None] * _colour_matrices(batch, rng)).to(image)  # (B, 3, 3)
    flat = torch.bmm(matrix, image.flatten(2))  # (B, 3, hw)
    contrast = torch.from_numpy(rng.uniform(1 - _CONTRAST, 1 + _CONTRAST, (batch, 1, 1))).to(image)
    mean = flat.mean(dim=(1, 2), keepdim=True)
    altered = torch.lerp(mean, flat, contrast).clamp_(1e-4, 1)
    gamma = torch.from_numpy(rng.uniform(1 - _GAMMA, 1 + _GAMMA, (batch, 1, 1))).to(image)
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


def _colour_matrices(batch: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make a matrix an image that turns the hue about the grey axis and stretches the saturation."""
    angle = rng.uniform(-_HUE, _HUE, (batch, 1, 1))
    saturation = rng.uniform(1 - _SATURATION, 1 + _SATURATION, (batch, 1, 1))
    grey = np.full((3, 3), 1 / 3)
    across = np.eye(3) - grey
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    # Rodrigues' rotation about (1, 1, 1), with what lies across the axis stretched.
    return np.asarray(grey + saturation * (np.cos(angle) * across + np.sin(angle) * cross))
