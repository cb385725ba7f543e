"""The lumen as an implicit function on a grid, evaluated only near the wall, and its mesh."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from skimage.measure import marching_cubes

from assets.bronchi.relief import Relief, inward
from assets.bronchi.tree import TRACHEA
from assets.bronchi.tube import ABOVE, CHORD, Tube
from assets.mesh import Mesh

Array = NDArray[np.float64]

NODES = 24.0
"""Nodes of the grid across the trachea: 0.74 mm apart in a man; the gaps between rings and the narrowest bronchi are 2
mm wide."""
BLOCK = 4
"""Nodes along an edge of a block; blocks far from the wall are not evaluated."""
FAR = 0.004
"""Value of nodes far outside [m]."""
KEEL = 0.15
"""Width over which two walls are blended, over the smaller tube's radius: little, so that ridges are sharp; chosen."""
LEAST_KEEL = 0.0010
"""Least width over which two walls are blended [m]: a partition thinner than half of it would be torn on the grid."""
EDGE = 0.25
"""Width over which the flat posterior wall passes into the round of the cartilages, over the trachea's radius."""
WINDOW = 4
"""Points of the axis on either side of a block's nearest one among which its nodes look for theirs."""
EVERY = 3
"""Every so many points of an axis are looked at to tell which blocks lie near the wall."""
LOOSE = 0.0012
"""Relief and sparse looking move the wall by less than this [m]."""
STANDING = 0.0008
"""Cartilages and folds stand out from the smooth wall by less than this [m]."""
CLEAR = 0.06
"""How far nodes keep from the wall, over the spacing: nearer ones would make slivers."""


@dataclass(frozen=True)
class Field:
    """About the distance from the wall: negative in the lumen."""

    values: NDArray[np.float32]
    """At the nodes [m], shape (nx, ny, nz)."""
    origin: Array
    """Of the first node [m], shape (3,)."""
    spacing: float
    """[m]"""


def lumen_field(tubes: Mapping[str, Tube], reliefs: Mapping[str, Relief]) -> Field:
    """Join tubes, with their relief, into one lumen.

    Args:
        tubes: Their first is the trachea, which a plane cuts at its upper end.
        reliefs: One a tube.
    """
    spacing = 2 * float(tubes[TRACHEA].radius[0]) / NODES
    edge = BLOCK * spacing
    low = np.min([(tube.points - tube.depth[:, None]).min(axis=0) for tube in tubes.values()], axis=0) - 2 * edge
    high = np.max([(tube.points + tube.depth[:, None]).max(axis=0) for tube in tubes.values()], axis=0) + 2 * edge
    counts = np.ceil((high - low) / edge).astype(int)
    values = np.full(counts * BLOCK, FAR, dtype=np.float32)
    for name, tube in tubes.items():
        _add(values, low, spacing, tube, reliefs[name])
    return Field(values, low, spacing)


def _add(values: NDArray[np.float32], low: Array, spacing: float, tube: Tube, relief: Relief) -> None:
    """Unite a tube with what is there."""
    edge = BLOCK * spacing
    blend = max(KEEL * float(tube.radius[-1]), LEAST_KEEL)
    reach = (BLOCK - 1) / 2 * np.sqrt(3.0) * spacing  # from a block's middle to its farthest node
    outside = reach + spacing + blend + LOOSE
    margin = float(tube.depth.max()) + outside
    first = np.maximum(((tube.points.min(axis=0) - margin - low) / edge).astype(int), 0)
    last = np.minimum(
        ((tube.points.max(axis=0) + margin - low) / edge).astype(int) + 1, np.array(values.shape) // BLOCK
    )
    blocks = np.stack(np.meshgrid(*map(np.arange, first, last), indexing="ij"), axis=-1).reshape(-1, 3)
    middles = low + (BLOCK * blocks + (BLOCK - 1) / 2) * spacing
    every = slice(None, None, EVERY)
    apart = cdist(middles, tube.points[every])
    beyond = (apart - tube.depth[every]).min(axis=1)
    within = (apart - np.minimum(tube.chord, tube.radius)[every]).min(axis=1)
    nearest = EVERY * (apart - tube.radius[every]).argmin(axis=1)
    deep = within < -(reach + LOOSE)
    if tube.bend == 0.0:
        deep &= tube.arc[nearest] > ABOVE + 2 * edge
    nodes = np.stack(np.meshgrid(*[np.arange(BLOCK)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    view = values.reshape(-1)
    flat = _flat(values.shape, blocks[deep], nodes)
    view[flat] = np.minimum(view[flat], -np.float32(reach))
    near = ~deep & (beyond < outside)
    flat = _flat(values.shape, blocks[near], nodes)
    offsets = np.asarray((nodes - (BLOCK - 1) / 2) * spacing, dtype=np.float64)
    block, node, index = _nearby(tube, middles[near], offsets, nearest[near], 1.5 * spacing + blend)
    place = middles[near].astype(np.float32)[block] + offsets.astype(np.float32)[node]
    found = _evaluate(tube, relief, place, index)
    at = flat[block, node]
    view[at] = _union(view[at], found, np.float32(blend))


def _flat(shape: tuple[int, ...], blocks: NDArray[np.intp], nodes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the flat indices of the nodes of blocks, shape (b, BLOCK^3)."""
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    return (BLOCK * blocks @ stride)[:, None] + (nodes @ stride)[None]


def _union(one: NDArray[np.float32], other: NDArray[np.float32], width: np.float32) -> NDArray[np.float32]:
    """Blend two distances where they differ by less than `width` (Quilez, polynomial smooth minimum)."""
    overlap = np.maximum(width - np.abs(one - other), 0) / width
    return np.asarray(np.minimum(one, other) - overlap * overlap * width / 4)


def _nearby(
    tube: Tube, middles: Array, offsets: Array, nearest: NDArray[np.intp], reach: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Find the nodes of blocks near a tube's wall or in its lumen, and the point of its axis that each belongs to.

    Args:
        tube: The tube.
        middles: Of the blocks [m], shape (b, 3).
        offsets: Of a block's nodes from its middle [m], shape (BLOCK^3, 3).
        nearest: Point of the axis near each block, shape (b,).
        reach: How far outside of the wall nodes count [m].

    Returns:
        Block, node and point of the axis, each of shape (k,).
    """
    window = np.clip(nearest[:, None] + np.arange(-WINDOW, WINDOW + 1), 0, len(tube.points) - 1)  # (b, w)
    away = (middles[:, None] - tube.points[window]).astype(np.float32)  # (b, w, 3); in single precision from here on
    offset = offsets.astype(np.float32)
    square = 2 * np.matmul(offset, away.transpose(0, 2, 1))  # (b, n, w)
    square += (offset**2).sum(axis=1)[None, :, None] + (away**2).sum(axis=2)[:, None, :]
    distance = np.sqrt(np.maximum(square, 0, out=square), out=square)
    distance -= tube.radius.astype(np.float32)[window][:, None, :]
    best = distance.argmin(axis=2)
    beyond = np.take_along_axis(distance, best[..., None], axis=2)[..., 0]
    oval = (tube.depth - tube.radius).max()
    block, node = np.nonzero(beyond < np.float32(reach + oval + STANDING))
    return block, node, window[block, best[block, node]]


def _evaluate(tube: Tube, relief: Relief, place: NDArray[np.float32], index: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the distance from the tube's wall [m] at places [m] that belong to points of its axis, shape (k,)."""
    away = place - tube.points.astype(np.float32)[index]
    back, side, along = np.einsum("ki,kij->jk", away, tube.frames.astype(np.float32)[index])
    step = np.clip(along, -tube.arc[1] / 2, tube.arc[1] / 2).astype(np.float32)
    beyond = along - step
    arc = np.clip(tube.arc.astype(np.float32)[index] + step, 0, np.float32(tube.arc[-1]))

    def table(column: Array) -> NDArray[np.float32]:
        slope = np.gradient(column, tube.arc)
        return np.asarray(column.astype(np.float32)[index] + slope.astype(np.float32)[index] * step)

    radius = table(tube.radius)
    distance = np.sqrt(back * back + side * side + beyond * beyond) + np.float32(1e-9)
    if (tube.chord < tube.depth).any():
        depth, chord = table(tube.depth), table(tube.chord)
        share = np.sqrt((back / depth) ** 2 + (side * side + beyond * beyond) / radius**2) + np.float32(1e-6)
        found = distance - distance / share
        flat = back - chord
        width = np.float32(EDGE / CHORD) * (radius - chord * radius / depth) + np.float32(1e-9)
        overlap = np.maximum(width - np.abs(found - flat), 0) / width
        found = np.maximum(found, flat) + overlap * overlap * width / 4
    else:
        found = distance - radius
    found = found + inward(relief, tube, arc, back, side)
    if tube.bend == 0.0:  # the trachea: cut at its upper end
        found = np.maximum(found, np.float32(ABOVE) - (arc + np.minimum(beyond, 0)))
    return np.asarray(found, dtype=np.float32)


def mesh_field(field: Field) -> Mesh:
    """Mesh the wall: one closed surface, its normals outwards."""
    least = np.float32(CLEAR * field.spacing)
    values = field.values.copy()
    size = np.abs(values)
    close = size < least
    values[close] = np.where(values[close] < 0, -least, least)
    vertices, triangles, _, _ = marching_cubes(values, 0.0, mask=size < 3.0 * field.spacing)
    points = field.origin + field.spacing * vertices.astype(np.float64)
    return Mesh(points.astype(np.float32), np.ascontiguousarray(triangles, dtype=np.int32))
