"""An isotropic grid around a structure: where smoothing and topology are worked out, whatever the scan's voxels are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from assets.transforms import apply


@dataclass(frozen=True)
class Grid:
    """Cubic voxels; the axes follow those of the scan, which may be oblique."""

    shape: tuple[int, int, int]
    spacing: float
    """Edge of a voxel [m]."""
    T_world_index: Float64[np.ndarray, "4 4"]
    """Maps voxel indices (centres) to RAS [m]."""

    def to_world(self, indices: Float[np.ndarray, "*n 3"]) -> NDArray[np.float64]:
        """Map indices, shape (..., 3), to RAS [m]."""
        return apply(self.T_world_index, indices)

    def to_index(self, points: Float[np.ndarray, "*n 3"]) -> NDArray[np.float64]:
        """Map RAS points [m], shape (..., 3), to fractional indices."""
        return apply(np.linalg.inv(self.T_world_index), points)

    def sample(self, values: Float32[np.ndarray, "i j k"], points: Float[np.ndarray, "n 3"]) -> NDArray[np.float64]:
        """Interpolate a field at RAS points [m] linearly, shape (n,); 0 outside."""
        coordinates = self.to_index(points).T
        return np.asarray(ndimage.map_coordinates(values, coordinates, order=1, mode="constant"), dtype=np.float64)


def resample(
    mask: Bool[np.ndarray, "i j k"],
    T_world_index: Float64[np.ndarray, "4 4"],
    *,
    spacing: float,
    margin: float,
    include: Float64[np.ndarray, "n 3"] | None = None,
    smoothing: float = 0.6,
) -> tuple[Float32[np.ndarray, "a b c"], Grid]:
    """Bring a mask onto an isotropic grid that encloses it.

    Args:
        mask: The structure; not empty.
        T_world_index: Of the mask; its columns are perpendicular.
        spacing: Of the new grid [m].
        margin: Space kept around the structure and the points [m].
        include: Points that the grid holds besides, RAS [m].
        smoothing: Gaussian's standard deviation in voxels of the mask; takes away the steps of the scan's voxels.

    Returns:
        Occupancy from 0 to 1, whose level 0.5 is the surface, and its grid.
    """
    occupied = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    first = np.array([axis[0] for axis in occupied]) - 3
    last = np.array([axis[-1] for axis in occupied]) + 4
    low, high = np.maximum(first, 0), np.minimum(last, mask.shape)
    crop = mask[low[0] : high[0], low[1] : high[1], low[2] : high[2]].astype(np.float32)
    # What lies at the border of the scan must fall to 0 there, or the surface stays open.
    crop = np.pad(crop, list(zip(low - first, last - high, strict=True)))
    crop = ndimage.gaussian_filter(crop, smoothing, mode="constant")

    voxel = np.linalg.norm(T_world_index[:3, :3], axis=0)
    scale = spacing / voxel
    begin, end = first.astype(np.float64), last - 1.0
    if include is not None:
        indices = apply(np.linalg.inv(T_world_index), include)
        begin, end = np.minimum(begin, indices.min(axis=0)), np.maximum(end, indices.max(axis=0))
    begin, end = begin - margin / voxel, end + margin / voxel
    shape = np.ceil((end - begin) / scale).astype(int) + 1
    field = ndimage.affine_transform(
        crop, scale, offset=begin - first, output_shape=tuple(shape.tolist()), order=1, mode="constant"
    )
    T_index_grid = np.diag([*scale, 1.0])
    T_index_grid[:3, 3] = begin
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), spacing, T_world_index @ T_index_grid)
    return np.asarray(field, np.float32), grid
