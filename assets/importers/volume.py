"""A volume as any file holds it: layers of voxels, where they lie in the patient, and the file's own names."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from nibabel import orientations
from numpy.typing import NDArray

from assets.errors import InputError

MAX_VOXELS = 1 << 28
"""Largest volume that is read, all layers together: 268 million voxels, such as 512 x 512 x 1024."""

MAX_SHEAR = 0.01
"""Largest cosine between two voxel axes; distances inside the volume take the axes as perpendicular."""

MAX_SEGMENTS = 4096
"""Most names that a file may hold."""

T_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes of DICOM, ITK and Slicer's files (left, posterior, superior) to ours."""

Content = Literal["labels", "ct"]


@dataclass(frozen=True)
class Segment:
    """A structure that the file itself names."""

    name: str
    layer: int
    value: int
    """Its voxels hold this number in that layer."""


@dataclass(frozen=True)
class Volume:
    """Voxels in the order of the file."""

    layers: tuple[NDArray[Any], ...]
    """Numbers, each of shape (i, j, k); several where segments overlap."""
    T_world_index: Float64[np.ndarray, "4 4"]
    """Maps voxel indices (centres) to RAS [m]."""
    format: str
    """Such as NIfTI."""
    sha256: str
    """Of the file, or of the files in their order."""
    segments: tuple[Segment, ...] = ()
    content: Content | None = None
    """What the file says it holds; None where it does not say."""
    notes: tuple[str, ...] = ()
    """What was noticed while reading, for the patient's provenance."""

    @property
    def spacing(self) -> Float64[np.ndarray, "3"]:
        """Distance of voxel centres along each axis [m]."""
        return np.asarray(np.linalg.norm(self.T_world_index[:3, :3], axis=0))


def check_shape(shape: tuple[int, ...], layer_count: int, where: Path) -> tuple[int, int, int]:
    """Return the shape of a layer; called before anything is allocated.

    Raises:
        InputError: There are not three axes of at least two voxels, or there are too many voxels.
    """
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(f"expected a volume of 3 axes with at least 2 voxels each, found shape {shape} in {where}")
    if math.prod(shape) * max(layer_count, 1) > MAX_VOXELS:
        raise InputError(
            f"expected at most {MAX_VOXELS} voxels, found {math.prod(shape) * max(layer_count, 1)} "
            f"({layer_count} x {shape}) in the header of {where}"
        )
    return shape[0], shape[1], shape[2]


def check_affine(affine: NDArray[np.float64], where: Path) -> None:
    """Check that voxels have a size, and axes that are perpendicular.

    Raises:
        InputError: They do not.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-9:
        raise InputError(f"expected a voxel size and direction, found a singular affine in {where}")
    axes = affine[:3, :3] / lengths
    shear = np.abs(axes.T @ axes - np.eye(3)).max()
    if shear > MAX_SHEAR:
        raise InputError(
            f"expected perpendicular voxel axes, found cosine {shear:.3f} between two axes "
            f"(a tilted gantry, or a sheared grid: resample it) in {where}"
        )


def canonical(volume: Volume) -> Volume:
    """Flip and swap axes so that they run to the right, front and head as nearly as the scan allows.

    Obliqueness stays in the transform; no voxel is interpolated.
    """
    turn = orientations.io_orientation(volume.T_world_index)
    shape = volume.layers[0].shape
    T_file_canonical = orientations.inv_ornt_aff(turn, shape)
    layers = tuple(np.asarray(orientations.apply_orientation(layer, turn)) for layer in volume.layers)
    return replace(volume, layers=layers, T_world_index=volume.T_world_index @ T_file_canonical)


def ras_from_lps(columns: NDArray[np.float64], origin: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return T_world_index [m], shape (4, 4).

    Args:
        columns: Step along each voxel axis, LPS, shape (3, 3), a column an axis.
        origin: Centre of the first voxel, LPS, shape (3,).
        unit: Metres of one unit of both.
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = columns * unit, origin * unit
    return T_RAS_LPS @ affine
