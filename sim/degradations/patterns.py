"""Random patterns: stains that stick to points of the tissue, and clouds that stick to the picture."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import ndtri

from sim.frame import Frame

_VOLUME = 48  # texels along the edge of the periodic volume
_WAVE = 6.0  # texels of a bump in it


def surface_points(frame: Frame) -> Float64[np.ndarray, "h w 3"]:
    """Return where in the world each pixel's tissue lies [m]; the camera's position where it sees nothing."""
    rays, _ = frame.camera.rays()
    scale = frame.depth / np.where(rays[..., 2] > 0, rays[..., 2], 1.0)
    local = rays.astype(np.float64) * scale[..., None]
    return local @ frame.T_world_camera[:3, :3].T + frame.T_world_camera[:3, 3]


def distances(frame: Frame) -> Float32[np.ndarray, "h w"]:
    """Return the straight-line distance [m] of what each pixel sees; 0 where it sees nothing."""
    rays, _ = frame.camera.rays()
    return (frame.depth / np.where(rays[..., 2] > 0, rays[..., 2], 1.0)).astype(np.float32)


@lru_cache(maxsize=8)
def _volume(seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng([seed, 71]).standard_normal((_VOLUME,) * 3)
    smooth = gaussian_filter(noise, _WAVE / 4, mode="wrap") + 0.25 * gaussian_filter(noise, _WAVE / 10, mode="wrap")
    return (smooth / smooth.std()).astype(np.float32)


def stain(points: Float64[np.ndarray, "h w 3"], bump: float, seed: int) -> Float32[np.ndarray, "h w"]:
    """Return noise of unit variance at points [m] of the world: the same point has the same value in every frame.

    Args:
        points: Where.
        bump: Size of a bump [m].
        seed: Of the pattern.
    """
    height, width = points.shape[:2]
    # Turned, so that walls along the axes do not show the volume's period.
    turn = np.array([[0.8, -0.6, 0.0], [0.36, 0.48, -0.8], [0.48, 0.64, 0.6]])
    at = (points.reshape(-1, 3) @ turn) * (_WAVE / bump)
    values = map_coordinates(_volume(seed), at.T, order=1, mode="grid-wrap", output=np.float32)
    return np.asarray(values.reshape(height, width))


def cloud(shape: tuple[int, int], bumps: float, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Return smooth noise within 0 and 1 over a picture, about so many bumps across it."""
    height, width = shape
    coarse = max(3, round(bumps) + 2)
    total = np.zeros(shape, np.float32)
    for octave in range(3):
        grid = rng.standard_normal((coarse << octave, coarse << octave)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    low, high = np.quantile(total, [0.02, 0.98])
    return np.clip((total - low) / max(float(high - low), 1e-6), 0, 1)


def level_of(share: float) -> float:
    """Return the level above which this share of unit normal noise lies."""
    return float(ndtri(np.clip(1 - share, 1e-6, 1 - 1e-6)))


def covered(noise: Float32[np.ndarray, "h w"], share: float, soft: float) -> Float32[np.ndarray, "h w"]:
    """Return opacity within 0 and 1 that covers about a share of unit normal noise, with an edge `soft` wide."""
    edge = np.clip((noise - level_of(share)) / soft + 0.5, 0, 1)
    return np.asarray(edge * edge * (3 - 2 * edge), dtype=np.float32)
