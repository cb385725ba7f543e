"""Carry a labelled colon along when its axis is moved: each cross-section goes with its point of the axis."""

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.lumen.colon_axis import limb_separation
from assets.lumen.curves import SPACING, tangents
from assets.lumen.grid import Grid

SLIP = 8e-3
"""How far along the axis two points may lie that count as the same [m]: cross-sections tilt a little in a bend."""

_BATCH = 1 << 14
"""Voxels worked on at a time; bounds the memory."""


def transported(
    occupancy: Float32[np.ndarray, "i j k"],
    grid: Grid,
    before: Float64[np.ndarray, "n 3"],
    after: Float64[np.ndarray, "n 3"],
    *,
    least: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the label as it lies about the moved axis, on the same grid; where nothing was moved it stays as it is.

    A voxel belongs to the point of the axis whose sphere it is nearest to (the power diagram, as when limbs are
    parted), and takes what lay at the same place of that point's cross-section before the move, if that belonged to
    the same point: so no tissue comes along twice, and none of another limb.

    Args:
        occupancy: The label before the move, 0 to 1.
        grid: Of the label; holds both axes.
        before: The axis in the label, RAS [m].
        after: The moved axis, point by point.
        least: Radius that the label counts as having at least [m].

    Returns:
        The label after the move, 0 to 1; and the voxels at which limbs were fused before it.
    """
    depth = ndimage.distance_transform_edt(occupancy > 0.5).astype(np.float32) * np.float32(grid.spacing)
    radius = np.maximum(grid.sample(depth, before), least)
    separation = limb_separation(radius)
    turn = rotations(tangents(after), tangents(before))
    owner = np.full(grid.shape, -1, np.int32)
    label = occupancy > 0
    owner[label] = nearest_sphere(grid.to_world(np.argwhere(label).astype(np.float64)), before, radius)
    target = _candidates(owner, grid, before, after)
    moved = occupancy.copy()
    for start in range(0, len(target), _BATCH):
        voxels = target[start : start + _BATCH]
        world = grid.to_world(voxels.astype(np.float64))
        own = nearest_sphere(world, after, radius)
        origin = before[own] + np.einsum("vij,vj->vi", turn[own], world - after[own])
        # Across a tight bend's centre lies tissue of the bend's other side, and beyond the wall another limb's.
        its_own = np.abs(nearest_sphere(origin, before, radius) - own) <= SLIP / SPACING
        moved[tuple(voxels.T)] = np.where(its_own, grid.sample(occupancy, origin), 0.0)
    return moved, _fused(owner, separation) & (occupancy > 0.5)


def _fused(owner: NDArray[np.int32], separation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the voxels that share a face with one of another limb; `owner` is a point of the axis, or -1."""
    fused = np.zeros(owner.shape, bool)
    for axis in range(3):
        low, high = (
            tuple(slice(a, b) if n == axis else slice(None) for n in range(3)) for a, b in ((0, -1), (1, None))
        )
        a, b = owner[low], owner[high]
        touch = (a >= 0) & (b >= 0) & (np.abs(a - b) > separation[a])
        fused[low] |= touch
        fused[high] |= touch
    return fused


def _candidates(
    owner: NDArray[np.int32], grid: Grid, before: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the voxels of the label, and those that may become label, shape (n, 3)."""
    near = owner >= 0
    own = owner[near]
    extent = np.zeros(len(before))
    np.maximum.at(
        extent, own, np.linalg.norm(grid.to_world(np.argwhere(near).astype(np.float64)) - before[own], axis=1)
    )
    moves = np.linalg.norm(after - before, axis=1) > grid.spacing / 100
    for centre, reach in zip(grid.to_index(after[moves]), extent[moves] / grid.spacing + 1.0, strict=True):
        low = np.maximum(np.floor(centre - reach).astype(int), 0)
        high = np.minimum(np.ceil(centre + reach).astype(int) + 1, grid.shape)
        i, j, k = (np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True))
        ball = (i**2)[:, None, None] + (j**2)[:, None] + k**2 <= reach**2
        near[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] |= ball
    return np.argwhere(near)


def nearest_sphere(
    points: Float64[np.ndarray, "v 3"], centres: Float64[np.ndarray, "n 3"], radius: Float64[np.ndarray, "n"]
) -> NDArray[np.int64]:
    """Return the sphere of least power |p - c|^2 - r^2 by point, shape (v,).

    With a fourth coordinate of sqrt(max r^2 - r^2) for the centres, and 0 for the points, it is the nearest one.
    """
    lift = np.sqrt(np.maximum((radius**2).max() - radius**2, 0.0))
    tree = cKDTree(np.column_stack([centres, lift]))
    return np.asarray(tree.query(np.column_stack([points, np.zeros(len(points))]))[1], dtype=np.int64)


def rotations(source: Float64[np.ndarray, "n 3"], target: Float64[np.ndarray, "n 3"]) -> NDArray[np.float64]:
    """Return the smallest rotations that turn unit vectors into others, none of them opposite, shape (n, 3, 3)."""
    axis = np.cross(source, target)
    cosine = (source * target).sum(axis=1)
    skew = np.zeros((len(source), 3, 3))
    skew[:, [2, 0, 1], [1, 2, 0]] = axis
    skew[:, [1, 2, 0], [2, 0, 1]] = -axis
    # Rodrigues' formula, without the division by the sine.
    return np.asarray(np.eye(3) + skew + skew @ skew / np.maximum(1.0 + cosine, 1e-3)[:, None, None])
