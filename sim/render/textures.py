"""Tileable textures, baked once: noise that is fetched is far cheaper than noise that is evaluated for every pixel."""

from functools import cache

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

NOISE_SIZE = 64
"""Texels along an edge of the noise volume; a power of two."""
NOISE_WAVES = 8
"""Bumps along that edge."""


@cache
def noise_volume() -> Float32[np.ndarray, "n n n 4"]:
    """Bake band-limited noise.

    Returns:
        Axes z, y, x; the gradient of a height with unit variance of each component (components x, y, z), then another
        noise of unit variance.
    """
    rng = np.random.default_rng(20240501)
    frequency = np.fft.fftfreq(NOISE_SIZE, 1 / NOISE_SIZE)
    fz, fy, fx = np.meshgrid(frequency, frequency, frequency, indexing="ij")
    radius = np.sqrt(fx * fx + fy * fy + fz * fz)
    band = np.exp(-0.5 * ((radius - 0.7 * NOISE_WAVES) / (0.35 * NOISE_WAVES)) ** 2) * (radius > 0)

    def field(envelope: NDArray[np.float64]) -> NDArray[np.float64]:
        white = np.fft.fftn(rng.standard_normal((NOISE_SIZE,) * 3)) * envelope
        return np.real(np.fft.ifftn(white))

    state = rng.bit_generator.state
    parts = []
    for axis in (fx, fy, fz):
        rng.bit_generator.state = state
        white = np.fft.fftn(rng.standard_normal((NOISE_SIZE,) * 3)) * band
        parts.append(np.real(np.fft.ifftn(1j * axis * white)))
    parts.append(field(band))
    return np.stack([part / part.std() for part in parts], axis=-1).astype(np.float32)
