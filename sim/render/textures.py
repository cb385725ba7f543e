"""A tileable volume of noise, baked once: noise that is fetched is far cheaper than noise evaluated for every pixel."""

from functools import cache

import numpy as np
from jaxtyping import Float32

NOISE_SIZE = 32
"""Texels along an edge of the finest volume; a power of two."""
NOISE_WAVES = 8
"""Fine bumps along that edge; there are four times larger ones besides."""
NOISE_LEVELS = 3
"""Volumes of halved size for surfaces farther away."""


@cache
def noise_volumes() -> Float32[np.ndarray, "n 4"]:
    """Bake a relief and a stain, all levels one after the other, the finest first, x running fastest.

    Returns:
        The relief's gradient, each component of about unit variance at the finest level (x, y, z), and the stain, of
        unit variance. Coarser levels hold what is left without the waves that they cannot show.
    """
    rng = np.random.default_rng(20240501)
    frequency = np.fft.fftfreq(NOISE_SIZE, 1 / NOISE_SIZE)
    fz, fy, fx = np.meshgrid(frequency, frequency, frequency, indexing="ij")
    radius = np.maximum(np.sqrt(fx * fx + fy * fy + fz * fz), 0.5)

    def band(centre: float, width: float) -> np.ndarray:
        return np.exp(-0.5 * (np.log2(radius / centre) / width) ** 2) * (radius > 0.5) / radius**1.5

    relief = np.fft.fftn(rng.standard_normal((NOISE_SIZE,) * 3))
    fine = relief * band(NOISE_WAVES, 0.35) / radius
    coarse = relief * band(NOISE_WAVES / 4, 0.5) / radius
    fine, coarse = (part / (np.fft.ifftn(1j * fx * part).real.std()) for part in (fine, coarse))
    relief = 0.6 * fine + 0.8 * coarse
    stain = np.fft.fftn(rng.standard_normal((NOISE_SIZE,) * 3)) * band(NOISE_WAVES / 3, 0.8)
    stain /= np.fft.ifftn(stain).real.std()

    levels = []
    for level in range(NOISE_LEVELS):
        size = NOISE_SIZE >> level
        kept = np.flatnonzero(np.abs(frequency) < size / 2)
        place = np.round(frequency[kept]).astype(int) % size
        channels = []
        for spectrum in (1j * fx * relief, 1j * fy * relief, 1j * fz * relief, stain):
            small = np.zeros((size, size, size), np.complex128)
            small[np.ix_(place, place, place)] = spectrum[np.ix_(kept, kept, kept)] * (size / NOISE_SIZE) ** 3
            channels.append(np.fft.ifftn(small).real)
        levels.append(np.stack(channels, axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)
