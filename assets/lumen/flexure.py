"""Lead the way through a wide flexure's dome, which a skeleton leaves aside as a dead end."""

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import route_through_array

from assets.lumen.curves import arc_lengths
from assets.lumen.grid import Grid
from assets.lumen.skeleton_graph import SkeletonGraph

RISE = 0.015
"""A dome counts when it reaches so much higher than the way [m]: about the radius of a limb."""

REACH = 0.1
"""Farthest dome from the flexure [m]; a wider one would be another limb."""

LEAVE = 0.025
"""Arc on either side of the dome's neck that the detour replaces [m]: about the calibre of a limb."""


def flexure_dome(
    graph: SkeletonGraph, edges: tuple[int, ...], flexure: Float64[np.ndarray, "3"], middle: float
) -> NDArray[np.float64] | None:
    """Return the highest end of the skeleton beside the way at a flexure, RAS [m], or None.

    Args:
        graph: The skeleton.
        edges: The way.
        flexure: Highest point of the way on its side [m].
        middle: Mid-sagittal plane, x [m].
    """
    on_way = {node for index in edges for node in graph.edges[index].nodes}
    tips = np.array([n for n in range(len(graph.nodes)) if n not in on_way and len(graph.at(n)) == 1], dtype=int)
    points = graph.nodes[tips]
    same_side = (points[:, 0] > middle) == (flexure[0] > middle)
    dome = same_side & (points[:, 2] > flexure[2] + RISE) & (np.linalg.norm(points - flexure, axis=1) < REACH)
    if not dome.any():
        return None
    return np.asarray(points[dome][np.argmax(points[dome, 2])])


def through_dome(
    points: Float64[np.ndarray, "n 3"],
    dome: Float64[np.ndarray, "3"],
    mask: Bool[np.ndarray, "i j k"],
    distance: Float32[np.ndarray, "i j k"],
    grid: Grid,
) -> NDArray[np.float64]:
    """Replace the part of a way below a dome by one that goes up into it and comes down beside itself.

    Args:
        points: The way, RAS [m].
        dome: Point in the dome to visit [m].
        mask: The structure.
        distance: Distance to its boundary [m].
        grid: Of both.

    Returns:
        The new way, RAS [m].
    """
    arc = arc_lengths(points)
    neck = arc[np.argmin(np.linalg.norm(points - dome, axis=1))]
    leave = int(np.searchsorted(arc, max(neck - LEAVE, 0.0)))
    join = int(np.searchsorted(arc, min(neck + LEAVE, arc[-1])))
    ends = np.rint(grid.to_index(np.stack([points[leave], dome, points[join]]))).astype(int)
    box = np.stack([ends.min(0), ends.max(0)]) + np.array([[-1], [1]]) * int(REACH / 2 / grid.spacing)
    low, high = np.maximum(box[0], 0), np.minimum(box[1], mask.shape)
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inside, depth = mask[crop], distance[crop]
    # Prefers the middle: a step costs the inverse square of its distance to the wall.
    cost = np.where(inside, 1.0 / np.maximum(depth / grid.spacing, 0.5) ** 2, -1.0)
    a, b, c = (tuple(end) for end in (ends - low).tolist())
    up = np.array(route_through_array(cost, a, b, fully_connected=True, geometric=True)[0])
    # The way down keeps clear of the way up, or it would be the same way.
    taken = np.ones(inside.shape, bool)
    taken[tuple(up[: -max(len(up) // 4, 1)].T)] = False
    near = ndimage.distance_transform_edt(taken) * grid.spacing
    cost = np.where(inside, cost * (1.0 + 20.0 * np.exp(-((near / 0.012) ** 2))), -1.0)
    down = np.array(route_through_array(cost, b, c, fully_connected=True, geometric=True)[0])
    detour = grid.to_world(np.concatenate([up, down[1:]]).astype(np.float64) + low)
    return np.concatenate([points[:leave], detour, points[join + 1 :]])
