"""The tone curve of the processor: from linear light to 8-bit codes, and back."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from sim.render.shading import TONE_FIRST, TONE_SIZE

SHOULDER = 1.3
"""Slope of the curve at 0, at a gamma of 1; at full scale it reaches 73 %."""


def to_code(light: Float64[np.ndarray, "*n"], gamma: float) -> UInt8[np.ndarray, "*n"]:
    """Apply a soft shoulder, the exponent `gamma`, and sRGB (IEC 61966-2-1) to linear light; 1 is full scale."""
    display = (1 - np.exp(-SHOULDER * light)) ** gamma
    coded = np.where(display <= 0.0031308, 12.92 * display, 1.055 * display ** (1 / 2.4) - 0.055)
    return np.round(255 * coded).astype(np.uint8)


def from_code(code: NDArray[np.uint8], gamma: float) -> Float64[np.ndarray, "*n"]:
    """Undo `to_code`, by the middle of each code; that of 255 is beyond any light."""
    share = code / 255
    display = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) ** (1 / gamma)
    return np.asarray(-np.log(np.maximum(1 - display, 1e-9)) / SHOULDER, np.float64)


@lru_cache(maxsize=64)
def tone_table(gamma: float = 1.0) -> UInt8[np.ndarray, "n"]:
    """Tabulate the curve for the kernels, by the upper bits of the light; shared and read-only."""
    bits = (np.arange(TONE_SIZE, dtype=np.uint32) + TONE_FIRST) << 15
    light = (bits + (1 << 14)).astype(np.uint32).view(np.float32).astype(np.float64)
    codes = to_code(light, gamma)
    codes[0] = 0
    codes.flags.writeable = False
    return codes
