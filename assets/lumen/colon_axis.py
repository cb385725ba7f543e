"""From the way through the skeleton to a smooth centreline that leaves room for a distended colon."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from assets.errors import InputError
from assets.lumen.curves import SPACING, arc_lengths, place, resampled, smoothed, tangents
from assets.lumen.grid import Grid

SMOOTHING = 8e-3
"""Standard deviation [m] that takes a skeleton's steps away; well below the 20 mm radius of a sharp colonic bend."""

LIMB_SEPARATION = 0.06
"""Parts of the colon farther apart along it than this are different limbs [m]: more than half the inner circumference
of a bend of the calibres met here, so that the inside of a bend is not taken for two limbs."""

_PUSHES = 400

RECENTRINGS = 30
RECENTRING_SMOOTHING = 16e-3
"""Standard deviation of the Gaussian along the line [m]; more than half the distance of two folds of a row."""

RECENTRING_STEP = 0.3e-3
"""Largest move at once [m]; with the number of moves it bounds the whole way to 9 mm, less than the least radius."""


@dataclass(frozen=True)
class Axis:
    """The line that the lumen is grown along."""

    points: Float64[np.ndarray, "n 3"]
    """From the anus inwards, `SPACING` apart, RAS [m]."""
    canal: int
    """How many points at the start lie in the inferred anal canal, below the label's end."""
    moved: float
    """Largest distance by which a point was pushed aside for another limb [m]."""


def colon_axis(
    way: Float64[np.ndarray, "n 3"],
    mask: Bool[np.ndarray, "i j k"],
    grid: Grid,
    *,
    canal: float,
    clearance: float,
) -> Axis:
    """Smooth a way, lead it out through the label's lower end, and push its limbs apart.

    Args:
        way: From the rectum to the caecum, RAS [m].
        mask: The label.
        grid: Of the mask.
        canal: Length of the anal canal added below the label [m].
        clearance: Least distance of two limbs' lines [m].

    Raises:
        InputError: Two limbs cannot be pushed apart.
    """
    inner = smoothed(resampled(way, SPACING), SPACING, SMOOTHING)
    end = _lower_end(inner, mask, grid)
    direction = (end - inner[0]) / max(float(np.linalg.norm(end - inner[0])), 1e-9)
    out = end + canal * direction
    whole = smoothed(resampled(np.vstack([out, end, inner]), SPACING), SPACING, SMOOTHING)
    apart, moved = _pushed_apart(whole, clearance)
    points = resampled(apart, SPACING)
    return Axis(points, int(np.searchsorted(arc_lengths(points), canal)), moved)


def limb_separation(radius: Float64[np.ndarray, "n"]) -> NDArray[np.float64]:
    """Return from how far along the axis on a part counts as another limb, in points of the axis, shape (n,).

    Args:
        radius: Of the lumen at each point [m]; the inside of a wide bend is long.
    """
    return np.asarray(np.maximum(LIMB_SEPARATION, 2.5 * radius) / SPACING)


def _lower_end(way: NDArray[np.float64], mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Return where the label ends beyond the first point of a way, in the way's own direction."""
    direction = way[0] - way[min(10, len(way) - 1)]
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    voxels = grid.to_world(np.argwhere(mask).astype(np.float64))
    offset = voxels - way[0]
    along = offset @ direction
    beyond = (along > 0) & (np.linalg.norm(offset, axis=1) < 0.03)
    if not beyond.any():
        return np.asarray(way[0] + 1e-3 * direction)
    near, along = voxels[beyond], along[beyond]
    tip = near[along >= np.quantile(along, 0.97)].mean(axis=0)
    return np.asarray(tip)


def _pushed_apart(points: NDArray[np.float64], clearance: float) -> tuple[NDArray[np.float64], float]:
    """Move limbs that run nearer than `clearance`, as insufflated limbs push each other aside."""
    moved = points.copy()
    index = np.arange(len(points))
    other_limb = np.abs(index[:, None] - index[None]) * SPACING > LIMB_SEPARATION
    for _ in range(_PUSHES):
        gap = np.linalg.norm(moved[:, None] - moved[None], axis=2)
        gap[~other_limb] = np.inf
        nearest = np.argmin(gap, axis=1)
        lack = np.maximum(clearance - gap[index, nearest], 0.0)
        if lack.max() < 2e-4:
            return moved, float(np.linalg.norm(moved - points, axis=1).max())
        away = moved - moved[nearest]
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
        push = ndimage.gaussian_filter1d(0.6 * (lack + 1e-4 * (lack > 0))[:, None] * away, 3.0, axis=0)
        push[0] = 0.0
        moved = moved + push
    worst = int(np.argmax(lack))
    raise InputError(
        f"expected limbs {clearance * 1e3:.0f} mm apart for the calibre asked for, found "
        f"{(clearance - lack[worst]) * 1e3:.0f} mm at {place(points[worst])}; ask for a smaller minimum calibre"
    )


def recentred(
    points: Float64[np.ndarray, "n 3"],
    depth: Float32[np.ndarray, "i j k"],
    grid: Grid,
    *,
    smoothing: float = RECENTRING_SMOOTHING,
) -> NDArray[np.float64]:
    """Move a line towards the middle of the lumen, across its own direction; the first point stays.

    Args:
        points: `SPACING` apart, RAS [m].
        depth: Distance to the wall [m]; 0 outside.
        grid: Of the field.
        smoothing: Standard deviation of the Gaussian along the line that the move as a whole is smoothed by [m].
    """
    soft = ndimage.gaussian_filter(depth, 1.0)
    start = points
    for _ in range(RECENTRINGS):
        slope = np.stack(
            [grid.sample(soft, points + step) - grid.sample(soft, points - step) for step in grid.spacing * np.eye(3)],
            axis=1,
        ) / (2 * grid.spacing)
        direction = tangents(points)
        slope -= (slope * direction).sum(axis=1, keepdims=True) * direction
        # In the middle the slope falls to 0. Only the moves are smoothed: smoothing the line would cut its bends.
        move = ndimage.gaussian_filter1d(RECENTRING_STEP * slope, 2.0, axis=0)
        move[0] = 0.0
        points = points + move
    # A pouch on one side draws the line aside by millimetres: the move as a whole is smoothed, or it would make bends.
    whole = ndimage.gaussian_filter1d(points - start, smoothing / SPACING, axis=0)
    whole[0] = 0.0
    return resampled(start + whole, SPACING)
