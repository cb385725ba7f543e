"""The boundary of a structure that is known as occupancy of voxels, for distances to it that are finer than a voxel."""

import numpy as np
from jaxtyping import Float32
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from assets.lumen.grid import Grid


def boundary_points(occupancy: Float32[np.ndarray, "i j k"], grid: Grid) -> cKDTree:
    """Return the corners of the level 0.5, RAS [m], which lie at most a voxel apart, ready to be searched."""
    corners = marching_cubes(np.pad(occupancy, 1), 0.5)[0].astype(np.float64) - 1.0
    return cKDTree(grid.to_world(corners))
