"""Between 8-bit codes and linear light of whole pictures, by the renderer's tone curve."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from sim.render.tone import from_code, to_code

WHITE = 4.4
"""Linear light above which every code is 255: where the shoulder comes within half a code of white, up to a gamma of
1.3."""
_STEPS = 4096


@lru_cache(maxsize=64)
def _tables(gamma: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    linear = np.minimum(from_code(np.arange(256, dtype=np.uint8), gamma), WHITE)
    # The table is even in the square root of light, near to how codes are spread.
    return linear.astype(np.float32), to_code(WHITE * np.linspace(0, 1, _STEPS) ** 2, gamma)


def to_linear(rgb: UInt8[np.ndarray, "h w 3"], *, gamma: float = 1.0) -> Float32[np.ndarray, "h w 3"]:
    """Undo the tone curve of this `Appearance.gamma`; 1 is full scale, code 255 gives WHITE."""
    return _tables(gamma)[0][rgb]


def to_codes(light: Float32[np.ndarray, "h w 3"], *, gamma: float = 1.0) -> UInt8[np.ndarray, "h w 3"]:
    """Apply the tone curve of this `Appearance.gamma`."""
    place = np.sqrt(np.clip(light, 0, WHITE) / WHITE) * (_STEPS - 1) + 0.5
    return _tables(gamma)[1][place.astype(np.int32)]
