"""Neighbours compete for space on the shared lattice: each gives way to all that stand before it, less a small gap."""

from collections.abc import Sequence

import fast_simplification
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from assets.abdomen.lattice import Box, Field
from assets.abdomen.solids import FAR, Function, Solid, smooth_max
from assets.lumen.surface import taubin
from assets.mesh import Mesh
from assets.mesh_check import check_mesh

GAP = 0.0003
"""Wanted distance of two surfaces that touch [m]."""
SMOOTHINGS = 3
"""Rounds of Taubin's filter, which take the cells' pattern out of the normals."""
_LEAST = 0.02
"""Of a spacing: how far a node's value keeps from 0, so that no triangle is without an area."""


def steepness(box: Box, field: Field) -> Field:
    """Return a field divided by its slope near its surface, which makes it a distance to first order."""
    dx, dy, dz = np.gradient(field, np.float32(box.spacing))
    slope = np.sqrt(dx * dx + dy * dy + dz * dz)
    near = np.abs(field) < 0.012
    return np.asarray(np.where(near, field / np.clip(slope, 0.4, 2.5), field), dtype=np.float32)


def competed(solid: Solid, cavity: Function | None, before: Sequence[Solid]) -> Field:
    """Evaluate a solid at the nodes of its box, less the room of the cavity's wall and of all before it.

    Args:
        solid: What gives way.
        cavity: Field that it stays within; None for what lies outside.
        before: Solids that stand before it, in any order.
    """
    box = solid.box
    field = steepness(box, solid.function(box))
    if cavity is not None:
        field = smooth_max(field, steepness(box, cavity(box)) + np.float32(GAP), solid.rounding)
    for other in before:
        if other.name in solid.within or (other.high < solid.low - 0.01).any() or (other.low > solid.high + 0.01).any():
            continue
        part = _overlap(box, other)
        if part is None:
            continue
        slices, inner = part
        theirs = steepness(inner, other.function(inner))
        # what is finer than this lattice can see gets a little more room
        gap = GAP + (0.15 * box.spacing if other.spacing < box.spacing / 2 else 0.0)
        field[slices] = smooth_max(field[slices], np.float32(gap) - theirs, solid.rounding)
    return field


def _overlap(box: Box, other: Solid) -> tuple[tuple[slice, slice, slice], Box] | None:
    """Return the part of a box near another solid."""
    low = np.floor((other.low - 0.012) / box.spacing).astype(int) - box.low
    high = np.ceil((other.high + 0.012) / box.spacing).astype(int) - box.low + 1
    low, high = np.maximum(low, 0), np.minimum(high, box.shape)
    if (high - low < 3).any():
        return None
    a, b, c = (low + box.low).tolist()
    i, j, k = (high - low).tolist()
    slices = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    return slices, Box((a, b, c), (i, j, k), box.spacing)


def one_body(field: Field, spacing: float) -> tuple[Field, int]:
    """Keep the largest connected part of the inside and fill what it encloses; also return the nodes that were lost."""
    field = field.copy()
    border = np.ones(field.shape, bool)  # outside, so that the surface closes
    border[1:-1, 1:-1, 1:-1] = False
    field[border] = np.maximum(field[border], np.float32(spacing))
    labels, count = ndimage.label(field < 0)
    lost = 0
    if count > 1:
        sizes = np.bincount(labels.ravel())[1:]
        keep = int(np.argmax(sizes)) + 1
        stray = (labels > 0) & (labels != keep)
        lost = int(stray.sum())
        field[stray] = np.maximum(-field[stray], np.float32(0.1 * spacing))
    outside, count = ndimage.label(field >= 0, ndimage.generate_binary_structure(3, 3))
    if count > 1:
        main = outside[0, 0, 0]
        pocket = (outside > 0) & (outside != main)
        field[pocket] = np.minimum(-field[pocket], np.float32(-0.1 * spacing))
    return field, lost


def surface(box: Box, field: Field) -> Mesh:
    """Mesh the zero level of a field, normals outwards, one body."""
    field, _ = one_body(field, box.spacing)
    least = np.float32(_LEAST * box.spacing)
    field = np.where(field < 0, np.minimum(field, -least), np.maximum(field, least))
    vertices, triangles, _, _ = marching_cubes(np.minimum(field, np.float32(FAR)), 0.0)
    points = (vertices.astype(np.float64) + np.array(box.low)) * box.spacing
    triangles = _outward(points, np.ascontiguousarray(triangles, dtype=np.int32))
    return Mesh(taubin(points, triangles, SMOOTHINGS).astype(np.float32), triangles)


def _outward(points: NDArray[np.float64], triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    a, b, c = (points[triangles[:, n]] - points.mean(axis=0) for n in range(3))
    return triangles if (a * np.cross(b, c)).sum() > 0 else np.ascontiguousarray(triangles[:, ::-1])


def thinned(mesh: Mesh, share: float) -> Mesh:
    """Keep a share of the triangles by quadric collapse, as long as the surface stays closed and of its topology."""
    whole = check_mesh(mesh)
    points = (mesh.vertices.astype(np.float64) * 1e3).astype(np.float32)  # millimetres keep the quadrics in range
    for part in (share, 0.5 + share / 2):
        few, triangles = fast_simplification.simplify(
            points, mesh.triangles, target_count=int(part * len(mesh.triangles))
        )
        result = Mesh((few.astype(np.float64) / 1e3).astype(np.float32), triangles.astype(np.int32))
        found = check_mesh(result)
        if not found.problems and (found.genus, found.body_count) == (whole.genus, whole.body_count):
            return result
    return mesh
