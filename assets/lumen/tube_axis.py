"""The axis of a tube that is known as voxels: from one of its ends to the other, with the radius along it.

The two voxels that are farthest apart through the tube are its ends. Between them the way of least cost is taken, where
a step costs the more the nearer it is to the wall (Bitter, Kaufman & Sato, IEEE Trans. Vis. Comput. Graph. 7, 2001,
doi:10.1109/2945.942688); it is smoothed, moved to the middle, and led out through both ends. How much of the voxels
lies about the axis tells whether they are a tube: loops that touch are cut short, branches are left out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

from assets.lumen.boundary import boundary_points
from assets.lumen.colon_axis import recentred
from assets.lumen.curves import SPACING, arc_lengths, resampled, smoothed
from assets.lumen.grid import Grid, resample
from assets.transforms import apply, unit

FINEST, COARSEST = 0.001, 0.002
"""Least and greatest voxel of the grid that the way is looked for on [m]."""
MOST_VOXELS = 250_000
"""Of that grid; a larger organ has a coarser one."""
SMOOTHING = (0.5, 0.003)
"""Standard deviation of the Gaussian along the axis: a share of the median radius, and at least so much [m]. It cuts
a bend on twice the tube's radius by 3 %, one on five times by 0.5 %, before the line is moved to the middle again."""
CHORD = 0.006
"""Least length over which the direction at an end is measured [m]; chosen: three points of the line."""
JOINED = 0.35
"""Voxels of a smoothed mask with so much of it count as tube while the way is looked for; chosen below a half, so that
vessels that are two voxels thick do not fall apart."""
ABOUT = 1.5
"""Voxels within so many radii of the axis lie about it: the corner of a flat end is 1.41 radii from the middle of the
sphere there."""
COUNTED = 5_000
"""Voxels that this is counted at, about."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TubeAxis:
    """A line from one end of a tube to the other; which is the first says nothing."""

    points: Float64[np.ndarray, "n 3"]
    """`SPACING` apart, RAS [m]."""
    radius: Float64[np.ndarray, "n"]
    """Distance of the boundary [m]."""
    covered: float
    """Share of the voxels that lie within `ABOUT` radii of the line."""

    @property
    def length(self) -> float:
        """Arc length [m]."""
        return float(arc_lengths(self.points)[-1])


def tube_axis(mask: Bool[np.ndarray, "i j k"], T_world_index: Float64[np.ndarray, "4 4"]) -> TubeAxis | None:
    """Find the axis of the largest piece of a mask.

    Args:
        mask: The tube, filled; all its pieces count for the share that is covered.
        T_world_index: Maps its indices to RAS [m]; columns perpendicular.

    Returns:
        The axis; None where the mask is too thin or too short to have one.
    """
    if not mask.any():
        return None
    occupancy, grid = resample(mask, T_world_index, spacing=_spacing(mask, T_world_index), margin=0.002)
    pieces, count = ndimage.label(occupancy > JOINED, ndimage.generate_binary_structure(3, 3))
    if count == 0:
        return None
    largest = pieces == int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    occupancy = np.where(largest | (pieces == 0), occupancy, np.float32(0.0))
    depth = (ndimage.distance_transform_edt(largest) * grid.spacing).astype(np.float32)
    way = grid.to_world(_way(largest, depth).astype(np.float64))
    boundary = boundary_points(occupancy, grid)
    way = _without_ends(way, np.asarray(boundary.query(way)[0]))
    if len(way) < 2 or arc_lengths(way)[-1] < 2 * SPACING:
        return None
    middle = resampled(way, SPACING)
    width = max(SMOOTHING[0] * float(np.median(boundary.query(middle)[0])), SMOOTHING[1])
    middle = smoothed(middle, SPACING, width)
    for _ in range(2):  # from either end, for the first point stays
        middle = recentred(middle, depth, grid, smoothing=width)[::-1]
    points = _to_the_ends(middle, boundary, occupancy, grid)
    radius = np.asarray(boundary.query(points)[0], dtype=np.float64)
    return TubeAxis(points, radius, _covered(points, radius, mask, T_world_index))


def _spacing(mask: NDArray[np.bool_], T_world_index: Array) -> float:
    voxel = np.linalg.norm(T_world_index[:3, :3], axis=0)
    wanted = float(np.clip(voxel.min(), FINEST, COARSEST))
    extent = [np.ptp(np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {n})))) * voxel[n] + 0.01 for n in range(3)]
    return max(wanted, float((np.prod(extent) / MOST_VOXELS) ** (1 / 3)))


def _way(tube: NDArray[np.bool_], depth: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the voxels of the way of least cost between the two that are farthest apart, shape (n, 3)."""
    one = _farthest(tube, np.unravel_index(int(depth.argmax()), depth.shape))
    other = _farthest(tube, one)
    cost = np.where(tube, (depth.max() / np.where(tube, depth, 1.0)) ** 2, -1.0)
    search = MCP_Geometric(cost, fully_connected=True)
    search.find_costs([one], [other])
    return np.array(search.traceback(other))


def _farthest(tube: NDArray[np.bool_], start: tuple[np.int64, ...]) -> tuple[np.int64, ...]:
    reach, _ = MCP_Geometric(np.where(tube, 1.0, -1.0), fully_connected=True).find_costs([start])
    return np.unravel_index(int(np.where(np.isfinite(reach), reach, -1.0).argmax()), reach.shape)


def _without_ends(way: Array, radius: Array) -> Array:
    """Drop both ends up to where the way is two radii long: it starts in a corner, and runs to the middle first."""
    first = _settled(way, radius)
    last = len(way) - _settled(way[::-1], radius[::-1])
    return way[first:last]


def _settled(way: Array, radius: Array) -> int:
    settled = arc_lengths(way) >= 2 * radius
    return int(np.argmax(settled)) if settled.any() else len(way)


def _to_the_ends(points: Array, boundary: cKDTree, occupancy: NDArray[np.float32], grid: Grid) -> Array:
    """Lead a line on through both ends as it bends there, up to where the structure ends."""
    whole = points
    for _ in range(2):
        whole = whole[::-1]
        radius = float(boundary.query(whole[-1])[0])
        back = min(round(max(radius, CHORD) / SPACING), (len(whole) - 1) // 2)
        if back < 1:
            return points
        chord = (whole[[-1, -1 - back]] - whole[[-1 - back, -1 - 2 * back]]) / (back * SPACING)
        step = grid.spacing / 4
        along = np.arange(step / 2, 4 * radius, step)[:, None]
        # The last chord has the direction of its middle; from there on it turns as from chord to chord.
        direction = unit(chord[0] + (chord[0] - chord[1]) * (0.5 + along / (back * SPACING)))
        beyond = whole[-1] + step * np.cumsum(direction, axis=0)
        outside = grid.sample(occupancy, beyond) < 0.5
        whole = np.vstack([whole, beyond[: int(np.argmax(outside)) if outside.any() else len(beyond)]])
    return resampled(whole, SPACING)


def _covered(points: Array, radius: Array, mask: NDArray[np.bool_], T_world_index: Array) -> float:
    indices = np.argwhere(mask)
    some = indices[:: max(1, len(indices) // COUNTED)].astype(np.float64)
    tree = cKDTree(apply(T_world_index, some))
    about = np.zeros(len(some), bool)
    for near in tree.query_ball_point(points, ABOUT * radius):
        about[near] = True
    return float(about.mean())
