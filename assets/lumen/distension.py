"""Distend a labelled colon along its axis, as insufflation does: fused limbs part, collapsed parts open.

What results is one ball topologically (genus 0), and every voxel that differs from the label is counted with its cause.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.lumen.colon_axis import LIMB_SEPARATION, SPACING, Axis
from assets.lumen.colon_route import place
from assets.lumen.curves import arc_lengths, resampled, tangents
from assets.lumen.grid import Grid
from assets.lumen.growth import BETWEEN_LIMBS, INSIDE, WOULD_LOOP, grow, power_order
from assets.transforms import parallel_frames

SEPTUM = 4e-3
"""Least distance of two distended limbs [m]: two walls of 1.5 mm, and one voxel to be safe from rounding."""

FOLD_SPACING = 22e-3
"""Distance of the folds put on collapsed parts [m]; haustra of the left colon are 20 to 30 mm long (estimate from
figures of CT colonography; only the looks depend on it)."""

ADDED = ("distension", "relief", "anal_canal", "cavity")
REMOVED = ("wall", "between_limbs", "loop", "beyond_anus", "not_reached")


@dataclass(frozen=True)
class Lumen:
    """The distended lumen as voxels."""

    inside: Bool[np.ndarray, "i j k"]
    nearest: Int16[np.ndarray, "i j k"]
    """Index of the axis point that each inside voxel belongs to; -1 elsewhere."""
    grid: Grid
    added: dict[str, int]
    """Voxels of the lumen outside the label, by cause."""
    removed: dict[str, int]
    """Voxels of the label outside the lumen, by cause."""
    places: tuple[dict[str, Any], ...]
    """Where: cause, voxels, centre RAS [mm], arc from and to [mm]."""


def distend(
    occupancy: Float32[np.ndarray, "i j k"],
    grid: Grid,
    axis: Axis,
    *,
    radius: float,
    wall: float,
    relief: float,
    rng: np.random.Generator,
) -> Lumen:
    """Grow the lumen: first a tube of the least calibre, then whatever the label holds besides.

    Args:
        occupancy: The label on the grid, 0 to 1.
        grid: With room around the label for the tube.
        axis: From the anus to the caecum.
        radius: Least radius of the lumen [m].
        wall: Thickness taken off the label, which holds the wall too [m].
        relief: Height of the haustra put on parts that the label does not fill [m].
        rng: Places the folds.

    Raises:
        InputError: The lumen does not reach the end of the axis; it names the place.
    """
    h = grid.spacing
    raw = occupancy > 0.5
    label = ndimage.binary_fill_holes(raw)
    depth = ndimage.distance_transform_edt(label).astype(np.float32) * np.float32(h)
    free = depth > wall + h / 2  # the outermost voxel's centre lies half a voxel within the surface
    line = resampled(axis.points, h / 2)
    tube, distance, haustra = _tube(grid, axis.points, line, radius, relief, rng)
    behind = _behind_anus(grid, axis.points, depth_limit=3 * radius)
    free, tube, haustra = free & ~behind, tube & ~behind, haustra & ~behind

    inscribed = np.maximum(grid.sample(depth, axis.points) - wall, radius)
    region = free | haustra | tube
    order = np.full(region.shape, np.inf, np.float32)
    order[region] = power_order(np.argwhere(region), grid.to_index(axis.points), inscribed / h)
    core = tube & (distance <= 1.6 * h)
    separation = np.maximum(LIMB_SEPARATION, 2.5 * inscribed) / SPACING
    growth = grow(
        grid.to_index(axis.points),
        separation,
        [(core, None), (tube, (distance / h).astype(np.float32)), (region, order)],
    )
    inside = growth.state == INSIDE
    reached = int(growth.nearest.max())
    if reached < len(axis.points) - 1 - radius / SPACING:
        raise InputError(f"expected a lumen from anus to caecum, found it closed at {place(axis.points[reached])}")

    extra = inside & ~raw
    in_canal = extra & (growth.nearest < axis.canal)
    in_cavity = extra & ~in_canal & label
    in_tube = extra & ~in_canal & ~label & tube
    lost = raw & ~inside
    in_wall = lost & (depth <= wall + h / 2)
    added = dict(zip(ADDED, (in_tube, extra & ~in_canal & ~label & ~tube, in_canal, in_cavity), strict=True))
    beyond = lost & ~in_wall & behind
    rest = lost & ~in_wall & ~beyond
    loop = rest & (growth.state == WOULD_LOOP)
    between = _touching(rest & ~loop, growth.state == BETWEEN_LIMBS)
    removed = dict(zip(REMOVED, (in_wall, between, loop, beyond, rest & ~loop & ~between), strict=True))
    places = [
        row
        for cause, voxels in {**added, **removed}.items()
        if cause != "wall"
        for row in _places(cause, voxels, grid, axis.points)
    ]
    return Lumen(
        inside=inside,
        nearest=growth.nearest,
        grid=grid,
        added={cause: int(voxels.sum()) for cause, voxels in added.items()},
        removed={cause: int(voxels.sum()) for cause, voxels in removed.items()},
        places=tuple(places),
    )


def _tube(
    grid: Grid,
    points: NDArray[np.float64],
    line: NDArray[np.float64],
    radius: float,
    relief: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
    """Return the tube of the least radius, the distance to its axis [m], and the tube with haustra."""
    seeds = np.ones(grid.shape, bool)
    seeds[tuple(np.rint(grid.to_index(line)).astype(int).T)] = False
    rough = ndimage.distance_transform_edt(seeds).astype(np.float32) * np.float32(grid.spacing)
    close = rough <= radius + relief + 2 * grid.spacing
    voxels = np.argwhere(close)
    world = grid.to_world(voxels.astype(np.float64))
    exact, index = cKDTree(line).query(world)
    distance = np.full(grid.shape, np.inf, np.float32)
    distance[close] = exact
    haustra = np.zeros(grid.shape, bool)
    haustra[close] = exact <= radius + relief * _haustra(world, line, index, rng)
    return distance <= radius, distance, haustra


def _haustra(
    world: NDArray[np.float64], line: NDArray[np.float64], index: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the height of the haustra, 0 to 1: three rows of pouches, with folds and taeniae between them."""
    arc = arc_lengths(line)
    direction = tangents(line)
    frames = parallel_frames(direction, np.array([1.0, 0.3, 0.2]))
    offset = world - line[index]
    angle = np.arctan2((offset * frames[index, :, 1]).sum(axis=1), (offset * frames[index, :, 0]).sum(axis=1))
    row = np.floor((angle + np.pi) / (2 * np.pi / 3)).astype(int) % 3
    count = int(arc[-1] / FOLD_SPACING) + 2
    folds = np.cumsum(FOLD_SPACING * rng.uniform(0.7, 1.3, size=(3, count)), axis=1)
    folds -= rng.uniform(0.0, FOLD_SPACING, size=(3, 1))
    phase = np.empty(len(index))
    for sector in range(3):
        own = row == sector
        phase[own] = np.interp(arc[index[own]], folds[sector], np.arange(count))
    pouch = np.abs(np.sin(np.pi * phase)) ** 0.6
    taenia = np.abs(np.cos(1.5 * (angle + np.pi))) ** 6
    return np.asarray(pouch * (1.0 - 0.7 * taenia))


def _touching(voxels: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the connected pieces that hold a seed: the wall between limbs is thicker than its refused faces."""
    pieces, count = ndimage.label(voxels, np.ones((3, 3, 3)))
    hit = np.bincount(pieces[seeds & voxels], minlength=count + 1) > 0
    hit[0] = False
    return np.asarray(hit[pieces])


def _behind_anus(grid: Grid, points: NDArray[np.float64], depth_limit: float) -> NDArray[np.bool_]:
    """Mark what lies outside of the plane through the anus, near it."""
    inward = points[2] - points[0]
    normal = grid.T_world_index[:3, :3].T @ (inward / np.linalg.norm(inward))
    start = grid.to_index(points[0])
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    along = (
        ((i - start[0]) * normal[0])[:, None, None] + ((j - start[1]) * normal[1])[:, None] + (k - start[2]) * normal[2]
    )
    near = (((i - start[0]) ** 2)[:, None, None] + ((j - start[1]) ** 2)[:, None] + (k - start[2]) ** 2) < (
        depth_limit / grid.spacing
    ) ** 2
    return np.asarray((along < 0) & near)


def _places(cause: str, voxels: NDArray[np.bool_], grid: Grid, points: NDArray[np.float64]) -> list[dict[str, Any]]:
    """List the connected places of a cause, in the order of the centreline."""
    pieces, count = ndimage.label(voxels, np.ones((3, 3, 3)))
    if count == 0:
        return []
    indices = np.argwhere(voxels)
    piece = pieces[voxels] - 1
    world = grid.to_world(indices.astype(np.float64))
    arc = cKDTree(points).query(world)[1] * SPACING * 1e3
    size = np.bincount(piece, minlength=count)
    centre = np.stack([np.bincount(piece, world[:, a], count) for a in range(3)], axis=1) / size[:, None] * 1e3
    low, high = np.full(count, np.inf), np.zeros(count)
    np.minimum.at(low, piece, arc)
    np.maximum.at(high, piece, arc)
    return [
        {
            "cause": cause,
            "voxels": int(size[n]),
            "centre_ras_mm": [round(float(value), 1) for value in centre[n]],
            "arc_mm": [round(float(low[n]), 1), round(float(high[n]), 1)],
        }
        for n in np.argsort(low, kind="stable")
    ]
