"""Between 8-bit codes and linear light, by the tone curve of the renderer's sensor."""

from functools import cache

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from sim.render.look import SHOULDER

WHITE = 4.4
"""Linear light above which every code is 255: where the shoulder comes within half a code of white."""
_STEPS = 4096


@cache
def _tables() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    code = np.arange(256) / 255
    display = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    linear = np.minimum(-np.log(np.maximum(1 - display, 1e-9)) / SHOULDER, WHITE)
    # The table is even in the square root of light, near to how codes are spread.
    light = WHITE * np.linspace(0, 1, _STEPS) ** 2
    shown = 1 - np.exp(-SHOULDER * light)
    coded = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return linear.astype(np.float32), np.round(255 * coded).astype(np.uint8)


def to_linear(rgb: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Undo sRGB and the shoulder; 1 is full scale, code 255 gives WHITE."""
    return _tables()[0][rgb]


def to_codes(light: Float32[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Apply the shoulder and sRGB."""
    place = np.sqrt(np.clip(light, 0, WHITE) / WHITE) * (_STEPS - 1) + 0.5
    return _tables()[1][place.astype(np.int32)]
