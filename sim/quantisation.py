"""From a frame's lengths, normals and flow to the whole numbers that are stored, and back.

What does not fit is an error that names the pixel, never a clip.
"""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16
from numpy.typing import NDArray

DEPTH_STEP = 1e-5
"""Default step of stored depth [m]: reaches 0.65535 m."""
FLOW_STEP = 1 / 64
"""Step of stored flow [px]: reaches +-511 px (the step of KITTI's flow files)."""
NORMAL_SCALE = 127
"""A component of a normal is stored as 128 + round(127 n); 0, 0, 0 is nothing."""

OBJECT_STEP = 5e-5
"""Step of stored object coordinates [m]: reaches +-1.638 m."""


def quantise_depth(
    depth: Float32[np.ndarray, "h w"], step: float, *, channel: str = "depth"
) -> UInt16[np.ndarray, "h w"]:
    """Turn z-depth or another way [m] into steps; 0 stays 0 and nothing else becomes 0.

    Raises:
        ValueError: A depth is not finite, negative, too far for 16 bit, or so near that it would vanish.
    """
    steps = np.rint(depth.astype(np.float64) / step)
    if bool(steps.min(initial=0) >= 0 and steps.max(initial=0) <= 65535 and ((steps > 0) == (depth > 0)).all()):
        return steps.astype(np.uint16)  # the usual case; what follows names the first pixel that does not fit
    require(np.isfinite(steps) & (steps >= 0), channel, "a finite depth of 0 m or more", depth)
    require(steps <= 65535, channel, f"at most {65535 * step:.5f} m with a step of {step:g} m", depth)
    require((steps > 0) | (depth == 0), channel, f"0 or at least half a step of {step:g} m", depth)
    return steps.astype(np.uint16)


def quantise_normal(normal: Float32[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Store unit normals as three bytes each; a zero vector becomes 0, 0, 0.

    Raises:
        ValueError: A normal is neither zero nor of length 1 within 1e-3.
    """
    squared = cv2.transform(cv2.multiply(normal, normal), np.ones((1, 3), np.float32))
    fits = (squared == 0) | (np.abs(squared - 1) < 2e-3)
    require(fits, "normal", "length 1 or 0", np.sqrt(squared))
    stored = cv2.convertScaleAbs(normal, alpha=NORMAL_SCALE, beta=128)  # rounds to even, as np.rint does
    done: NDArray[np.uint8] = cv2.bitwise_and(stored, stored, mask=cv2.compare(squared, 0, cv2.CMP_NE))
    return done


def restore_normal(stored: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Undo `quantise_normal`: unit vectors, 0 where nothing."""
    nothing = ~stored.any(axis=-1, keepdims=True)
    vector = stored.astype(np.float32) - 128
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.where(nothing, np.float32(0), vector / np.maximum(length, 1)).astype(np.float32)


def quantise_flow(flow: Float32[np.ndarray, "h w 2"], valid: Bool[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w 3"]:
    """Store flow [px] as 16 bit with the validity as third channel.

    Raises:
        ValueError: A valid flow is not finite or beyond +-511 px.
    """
    steps = np.rint(flow.astype(np.float64) / FLOW_STEP)
    fits = np.isfinite(steps).all(axis=-1) & (np.abs(steps) <= 32767).all(axis=-1)
    require(fits | ~valid, "flow", f"at most {32767 * FLOW_STEP:.2f} px", np.abs(flow).max(axis=-1))
    stored = np.zeros((*flow.shape[:2], 3), np.uint16)
    stored[valid, :2] = (steps[valid] + 32768).astype(np.uint16)
    stored[..., 2] = valid
    return stored


def quantise_points(points: Float32[np.ndarray, "h w 3"], seen: Bool[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w 3"]:
    """Store object coordinates [m] as 16 bit each; 0, 0, 0 where nothing is seen.

    Raises:
        ValueError: A coordinate is not finite or beyond +-1.638 m.
    """
    steps = np.rint(points.astype(np.float64) / OBJECT_STEP)
    fits = np.all(np.abs(steps) <= 32767, axis=-1)  # False for what is not a number
    require(fits | ~seen, "object_point", f"at most {32767 * OBJECT_STEP:.3f} m", np.abs(points).max(axis=-1))
    return np.where(seen[..., None], np.where(fits[..., None], steps, 0) + 32768, 0).astype(np.uint16)


def require(fits: NDArray[np.bool_], channel: str, expected: str, found: NDArray[Any]) -> None:
    """Demand that a channel fits in every pixel.

    Raises:
        ValueError: It does not; the first such pixel is named.
    """
    if not fits.all():
        row, column = np.argwhere(~fits)[0]
        raise ValueError(
            f"{channel}: expected {expected}, found {found[row, column]:g} at row {row}, column {column} "
            f"({np.count_nonzero(~fits)} such pixels)"
        )
