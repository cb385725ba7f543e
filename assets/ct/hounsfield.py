"""Whether a volume holds Hounsfield units, and the coarse grid on which anatomy is sought in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.volume import Volume, canonical

COARSEST = 12e-3
"""Largest voxel in which lungs and bones can be told [m]."""

FINEST = 1.5e-3
"""Voxels smaller than this are averaged [m]."""

MOST_LABELS = 300
"""A volume without names, and with more different numbers than this, is no label map."""

PADDING = -1100.0
"""Scanners fill what they have not measured with numbers below that of air [HU]."""


@dataclass(frozen=True)
class Scan:
    """A CT on a grid whose axes run to the patient's right, front and head as nearly as the scan allows."""

    hounsfield: Float32[np.ndarray, "i j k"]
    """[HU]"""
    T_world_index: Float64[np.ndarray, "4 4"]
    """Maps voxel indices (centres) to RAS [m]; its columns are perpendicular."""

    @property
    def spacing(self) -> Float64[np.ndarray, "3"]:
        """Distance of voxel centres along each axis [m]."""
        return np.asarray(np.linalg.norm(self.T_world_index[:3, :3], axis=0))

    @property
    def voxel(self) -> float:
        """Volume of a voxel [m^3]."""
        return float(np.prod(self.spacing))


def scan_of(volume: Volume, where: Path) -> Scan:
    """Check that a volume is a CT of a body in air, and average its voxels to at least `FINEST`.

    Raises:
        InputError: It is no CT, or too coarse.
    """
    if len(volume.layers) != 1 or volume.content == "labels":
        raise InputError(f"expected a CT, found a segmentation ({volume.format}) in {where}")
    whole = canonical(volume)
    raw = whole.layers[0]
    if raw.dtype.kind not in "iuf":
        raise InputError(f"expected Hounsfield units, found voxels of type {raw.dtype} in {where}")
    if raw.dtype.kind == "f" and not np.isfinite(raw).all():
        raise InputError(f"expected finite Hounsfield units, found NaN or infinity in {where}")
    if whole.spacing.max() > COARSEST:
        raise InputError(
            f"expected voxels of at most {COARSEST * 1e3:.0f} mm, found {whole.spacing.max() * 1e3:.1f} mm in {where}"
        )
    _check_range(raw, where)
    factor = np.maximum((FINEST / whole.spacing + 1e-6).astype(int), 1)
    hounsfield = np.maximum(_averaged(raw, (int(factor[0]), int(factor[1]), int(factor[2]))), PADDING)
    T_index_block = np.diag([*factor.astype(float), 1.0])
    T_index_block[:3, 3] = (factor - 1) / 2
    return Scan(hounsfield, whole.T_world_index @ T_index_block)


def _check_range(raw: NDArray[np.generic], where: Path) -> None:
    """Refuse what has not both air, near -1000 HU, and soft tissue, within some 150 HU of water."""
    low, high = float(raw.min()), float(raw.max())
    some = raw[tuple(slice(None, None, max(1, n // 64)) for n in raw.shape)].astype(np.float64)
    values = np.unique(some)
    if low >= 0:
        kind = (
            "a label map (give --content labels)"
            if len(values) <= MOST_LABELS
            else "a CT without its offset of -1024, or no CT"
        )
        raise InputError(
            f"expected Hounsfield units with air near -1000, found values from {low:g} to {high:g}: {kind}, in {where}"
        )
    if low > -500 or len(values) < 50:
        raise InputError(f"expected air near -1000 HU, found values from {low:g} to {high:g}: is this a CT? In {where}")
    air, tissue = float((some < -700).mean()), float((np.abs(some) < 150).mean())
    if air < 0.005 or tissue < 0.05:
        raise InputError(
            f"expected a body in air, found {air:.1%} of the voxels below -700 HU and {tissue:.1%} within 150 HU of "
            f"water in {where}"
        )


def _averaged(raw: NDArray[np.generic], factor: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the means of whole blocks; voxels beyond the last whole block are left out."""
    if factor == (1, 1, 1):
        return np.ascontiguousarray(raw, np.float32)
    blocks = [n // f for n, f in zip(raw.shape, factor, strict=True)]
    result = np.zeros(blocks, np.float32)
    for slab in range(blocks[0]):  # a slab at a time, to spare memory
        part = raw[slab * factor[0] : (slab + 1) * factor[0], : blocks[1] * factor[1], : blocks[2] * factor[2]]
        split = part.astype(np.float32).reshape(factor[0], blocks[1], factor[1], blocks[2], factor[2])
        result[slab] = split.mean(axis=(0, 2, 4))
    return result
