"""Smooth random fields: random numbers on a coarse grid, carried to every voxel by cubic B-splines."""

import numpy as np
from jaxtyping import Float32


def smooth_field(coarse: Float32[np.ndarray, "a b c"], shape: tuple[int, int, int]) -> Float32[np.ndarray, "i j k"]:
    """Spread a coarse grid over a box of voxels.

    Args:
        coarse: Control points; the box reaches from the middle of the first to the middle of the last.
        shape: Of the box.

    Returns:
        Values with two continuous derivatives, within the range of the control points.
    """
    field = coarse
    for axis, count in enumerate(shape):
        field = np.moveaxis(np.tensordot(_weights(count, coarse.shape[axis]), field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field, dtype=np.float32)


def random_field(rng: np.random.Generator, shape: tuple[int, int, int], knots: int) -> Float32[np.ndarray, "i j k"]:
    """Draw a smooth field with mean 0 and deviation 1, with so many control points along each axis."""
    field = smooth_field(rng.standard_normal((knots,) * 3).astype(np.float32), shape)
    field -= field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def _weights(count: int, knots: int) -> Float32[np.ndarray, "n k"]:
    """Return the weight of each control point at each voxel; rows sum to 1."""
    place = np.linspace(0.0, knots - 1.0, count)
    distance = np.abs(place[:, None] - np.arange(-1, knots + 1))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    # Beyond the ends the first and the last control point go on.
    weights[:, 1] += weights[:, 0]
    weights[:, -2] += weights[:, -1]
    return np.asarray(weights[:, 1:-1], dtype=np.float32)
