"""Distend a labelled colon along its axis, as insufflation does: fused limbs part, collapsed parts open.

What results is one ball topologically (genus 0), and every voxel that differs from the label is counted with its cause.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int16
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.lumen.alterations import Alterations, Tests, alterations
from assets.lumen.colon_axis import Axis, limb_separation
from assets.lumen.curves import SPACING, place, resampled
from assets.lumen.grid import Grid
from assets.lumen.growth import BETWEEN_LIMBS, INSIDE, WOULD_LOOP, grow, power_order
from assets.lumen.relief import Relief

SEPTUM = 4e-3
"""Least distance of two distended limbs [m]: two walls of 1.5 mm, and one voxel to be safe from rounding."""


@dataclass(frozen=True)
class Lumen:
    """The distended lumen as voxels."""

    inside: Bool[np.ndarray, "i j k"]
    nearest: Int16[np.ndarray, "i j k"]
    """Index of the axis point that each inside voxel belongs to; -1 elsewhere."""
    grid: Grid
    label_depth: Float32[np.ndarray, "i j k"]
    """Distance to the label's own boundary [m]; 0 outside of it."""
    alterations: Alterations


def distend(
    occupancy: Float32[np.ndarray, "i j k"],
    grid: Grid,
    axis: Axis,
    *,
    radius: float,
    wall: float,
    relief: Relief,
    scanned: Bool[np.ndarray, "i j k"],
    fused: Bool[np.ndarray, "i j k"],
) -> Lumen:
    """Grow the lumen: first a tube of the least calibre, then whatever the label holds besides.

    Args:
        occupancy: The label on the grid, 0 to 1, as it lies about the axis.
        grid: With room around the label for the tube.
        axis: From the anus to the caecum.
        radius: Least radius of the lumen [m].
        wall: Thickness taken off the label, which holds the wall too [m].
        relief: The made-up folds, and the pouches on parts that the label does not fill.
        scanned: The label as the scan has it, before its bends were straightened; alterations are counted against it.
        fused: Where limbs touch in the scan.

    Raises:
        InputError: The lumen does not reach the end of the axis; it names the place.
    """
    h = grid.spacing
    raw = occupancy > 0.5
    label = ndimage.binary_fill_holes(raw)
    depth = ndimage.distance_transform_edt(label).astype(np.float32) * np.float32(h)
    rim = depth <= wall + h / 2  # the outermost voxel's centre lies half a voxel within the surface
    line = resampled(axis.points, h / 2)
    voxels, world, index = _near(grid, line, label, radius + relief.height + 2 * h)
    distance = np.full(grid.shape, np.inf, np.float32)
    distance[voxels] = np.linalg.norm(world - line[index], axis=1)
    pouch, fold = relief.shape(world, line, index)
    haustra, folds = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    haustra[voxels] = distance[voxels] <= radius + relief.height * pouch
    folds[voxels] = depth[voxels] <= wall + h / 2 + relief.height * fold
    behind = _behind_anus(grid, axis.points, reach=3 * radius)
    tube = (distance <= radius) & ~behind
    region = (label & ~rim & ~folds & ~behind) | (haustra & ~behind) | tube

    inscribed = np.maximum(grid.sample(depth, axis.points) - wall, radius)
    order = np.full(region.shape, np.inf, np.float32)
    order[region] = power_order(np.argwhere(region), grid.to_index(axis.points), inscribed / h)
    core = tube & (distance <= 1.6 * h)
    growth = grow(
        grid.to_index(axis.points),
        limb_separation(inscribed),
        [(core, None), (tube, (distance / h).astype(np.float32)), (region, order)],
    )
    inside = growth.state == INSIDE
    reached = int(growth.nearest.max())
    if reached < len(axis.points) - 1 - radius / SPACING:
        raise InputError(f"expected a lumen from anus to caecum, found it closed at {place(axis.points[reached])}")

    tests = Tests(
        carried=raw,
        fused=fused,
        filled=label & ~raw,
        tube=tube,
        canal=growth.nearest < axis.canal,
        rim=rim,
        folds=folds,
        behind=behind,
        between=growth.state == BETWEEN_LIMBS,
        loop=growth.state == WOULD_LOOP,
    )
    return Lumen(inside, growth.nearest, grid, depth, alterations(scanned, inside, tests, grid, axis.points))


def _near(
    grid: Grid, line: NDArray[np.float64], label: NDArray[np.bool_], reach: float
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[np.float64], NDArray[np.int64]]:
    """Return the voxels of the label or within reach of a line, their places [m], and their nearest points of it."""
    near = label.copy()
    span = np.arange(-int(reach / grid.spacing) - 1, int(reach / grid.spacing) + 2)
    ball = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = ball[(ball**2).sum(axis=1) <= (reach / grid.spacing) ** 2]
    for centre in np.unique(np.rint(grid.to_index(line)).astype(int), axis=0):
        near[tuple((centre + ball).T)] = True
    voxels = np.nonzero(near)
    world = grid.to_world(np.stack(voxels, axis=1).astype(np.float64))
    return voxels, world, np.asarray(cKDTree(line).query(world)[1])


def _behind_anus(grid: Grid, points: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """Mark what lies outside of the plane through the anus, near it."""
    inward = points[2] - points[0]
    normal = grid.T_world_index[:3, :3].T @ (inward / np.linalg.norm(inward))
    start = grid.to_index(points[0])
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    along = (
        ((i - start[0]) * normal[0])[:, None, None] + ((j - start[1]) * normal[1])[:, None] + (k - start[2]) * normal[2]
    )
    near = (((i - start[0]) ** 2)[:, None, None] + ((j - start[1]) ** 2)[:, None] + (k - start[2]) ** 2) < (
        reach / grid.spacing
    ) ** 2
    return np.asarray((along < 0) & near)
