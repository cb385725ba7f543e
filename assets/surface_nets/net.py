"""Surface nets: one net of quadrilaterals between all labels of a volume, so that neighbours share their boundary.

A vertex lies in each cell of eight voxel centres that are not all alike, a quadrilateral across each face between two
voxels that differ: Gibson, Constrained elastic surface nets, MICCAI 1998, doi:10.1007/BFb0056277; for several labels at
once: Frisken, SurfaceNets for multi-label segmentations with preservation of sharp boundaries, J. Comput. Graph. Tech.
11(1), 2022.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array


@dataclass(frozen=True)
class Net:
    """The boundaries between labels; background is 0 and has a boundary like any other."""

    points: Float64[np.ndarray, "v 3"]
    """Vertices, in voxel indices of the volume (0 is the centre of the first voxel)."""
    centres: Float64[np.ndarray, "v 3"]
    """Middle of each vertex's cell."""
    quads: Int64[np.ndarray, "q 4"]
    """Corners, counter-clockwise as seen from the second side."""
    sides: Int64[np.ndarray, "q 2"]
    """The label in front of which the face lies, and the label that it faces: normals point from the first to the
    second."""
    voxels: Int64[np.ndarray, "q 2"]
    """Number of the voxel on each side."""


@dataclass(frozen=True)
class Sheets:
    """Triangles between labels, which both sides share."""

    triangles: Int64[np.ndarray, "t 3"]
    """Corners, counter-clockwise as seen from the second side."""
    sides: Int64[np.ndarray, "t 2"]
    """The label in front of which a triangle lies, and the label that it faces."""
    voxels: Int64[np.ndarray, "t 2"]
    """Number of the voxel on each side: tells sheets apart where they touch."""


def surface_net(labels: Integer[np.ndarray, "i j k"]) -> Net:
    """Put a net between all labels; at the volume's border there is background beyond."""
    padded = np.pad(labels, 1)
    stride = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1], np.int64)
    flat = padded.ravel()
    cells, sides, voxels = [], [], []
    for axis in range(3):
        here = padded[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))]
        there = padded[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))]
        index = np.stack(np.nonzero(here != there), axis=1)
        voxel = index @ stride
        b, c = stride[(axis + 1) % 3], stride[(axis + 2) % 3]
        cells.append(np.stack([voxel - b - c, voxel - c, voxel, voxel - b], axis=1))
        voxels.append(np.stack([voxel, voxel + stride[axis]], axis=1))
        sides.append(flat[voxels[-1]].astype(np.int64))
    cell, quads = np.unique(np.concatenate(cells), return_inverse=True)
    centres = np.stack(np.unravel_index(cell, padded.shape), axis=1) - 0.5
    return Net(centres, centres, quads.reshape(-1, 4), np.concatenate(sides), np.concatenate(voxels))


def averaging(quads: NDArray[np.int64], count: int) -> csr_array:
    """Return the matrix that takes each vertex to the mean of its neighbours, shape (count, count).

    Where three or more sheets meet, only the neighbours along that line count: it is smoothed as a curve, and the
    sheets follow it.
    """
    pairs = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]], quads[:, [2, 3]], quads[:, [3, 0]]])
    pairs.sort(axis=1)
    key, uses = np.unique(pairs[:, 0] * count + pairs[:, 1], return_counts=True)
    start, end = key // count, key % count
    line = uses > 2
    on_line = np.zeros(count, bool)
    on_line[start[line]] = on_line[end[line]] = True
    rows = np.concatenate([start, end])
    columns = np.concatenate([end, start])
    counted = np.concatenate([line, line]) | ~on_line[rows]
    matrix = csr_array((counted.astype(np.float64), (rows, columns)), shape=(count, count))
    return (diags_array(1.0 / np.maximum(matrix.sum(axis=1), 1.0)) @ matrix).tocsr()
