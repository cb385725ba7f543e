"""Closed surfaces of the labelled organs, of the volume of their voxels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from assets.importers.label_volume import LabelVolume
from assets.labels import load_labels
from assets.lumen.distension import Lumen
from assets.lumen.grid import Grid
from assets.lumen.surface import closed_surface, offset_to_volume
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.patient import Organ
from assets.transforms import apply

FINEST = 1.5e-3
"""Voxels smaller than this are merged before meshing [m]; the surfaces are coarser anyway."""


@dataclass(frozen=True)
class Occupied:
    """Where the distended colon and its wall are: other organs give way there."""

    taken: Bool[np.ndarray, "i j k"]
    grid: Grid

    @classmethod
    def around(cls, lumen: Lumen, wall: float) -> "Occupied":
        """Take the lumen and a wall of this thickness [m]."""
        steps = round(wall / lumen.grid.spacing) + 1
        return cls(ndimage.binary_dilation(lumen.inside, ndimage.generate_binary_structure(3, 2), steps), lumen.grid)

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which RAS points [m], shape (n, 3), lie in it."""
        index = np.rint(self.grid.to_index(points)).astype(int)
        valid = ((index >= 0) & (index < np.array(self.grid.shape))).all(axis=1)
        result = np.zeros(len(points), bool)
        result[valid] = self.taken[tuple(index[valid].T)]
        return result


def organ_surfaces(
    volume: LabelVolume, without: set[str], occupied: Occupied | None, edge: float
) -> tuple[tuple[Organ, ...], dict[str, int]]:
    """Mesh every structure that the table of labels knows.

    Args:
        volume: The label map.
        without: Names to leave out.
        occupied: What the organs give way to.
        edge: Wanted length of the triangles' edges [m].

    Returns:
        The organs in the order of the table, and the voxels that gave way, by name.
    """
    table = load_labels()
    ids: dict[str, list[int]] = {}
    for label, name in volume.names.items():
        if name in table and name not in without:
            ids.setdefault(name, []).append(label)
    boxes = ndimage.find_objects(volume.data.astype(np.int32))
    organs: list[Organ] = []
    displaced: dict[str, int] = {}
    for name in (name for name in table if name in ids):
        mask, T_world_crop = _crop(volume, [boxes[label - 1] for label in ids[name]], ids[name])
        if occupied is not None:
            voxels = np.argwhere(mask)
            gone = voxels[occupied.holds(apply(T_world_crop, voxels.astype(np.float64)))]
            mask[tuple(gone.T)] = False
            if len(gone):
                displaced[name] = len(gone)
        if not mask.any():
            continue
        surface = _surface(mask, T_world_crop, edge)
        attributes = {"voxels": int(mask.sum()), "volume_ml": round(check_mesh(surface).volume * 1e6, 4)}
        organs.append(Organ(name, name, "solid", table[name].material, surface, attributes))
    return tuple(organs), displaced


def _crop(
    volume: LabelVolume, boxes: list[tuple[slice, slice, slice]], ids: list[int]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Cut an organ out, with empty voxels around it."""
    low = np.min([[part.start for part in box] for box in boxes], axis=0)
    high = np.max([[part.stop for part in box] for box in boxes], axis=0)
    inner = volume.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    pad = 3
    shift = np.eye(4)
    shift[:3, 3] = low - pad
    return np.pad(np.isin(inner, ids), pad), volume.T_world_index @ shift


def _surface(mask: NDArray[np.bool_], T_world_index: NDArray[np.float64], edge: float) -> Mesh:
    volume = float(mask.sum()) * abs(float(np.linalg.det(T_world_index[:3, :3])))
    voxel = np.linalg.norm(T_world_index[:3, :3], axis=0)
    factor = np.maximum((FINEST / voxel + 1e-6).astype(int), 1)
    if (factor > 1).any():
        merged, T_merged = _merged(mask, T_world_index, factor)
        if merged.any():
            mask, T_world_index, voxel = merged, T_merged, voxel * factor
    # Triangles for the area as the voxels' faces give it, which is about 1.5 times that of a smooth surface.
    faces = sum(float(np.diff(mask, axis=a).sum()) * float(np.prod(np.delete(voxel, a))) for a in range(3))
    triangles = max(int(faces / 1.5 / (edge**2 * np.sqrt(3) / 4)), 200)
    surface = closed_surface(mask, T_world_index, smoothing=0.7, iterations=15, triangles=triangles)
    return offset_to_volume(surface, volume)


def _merged(
    mask: NDArray[np.bool_], T_world_index: NDArray[np.float64], factor: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Merge blocks of voxels; a block is inside where at least half of it is."""
    blocks = -(-np.array(mask.shape) // factor) + 2
    padded = np.pad(
        mask, [(f, int(n * f) - s - f) for s, f, n in zip(mask.shape, factor.tolist(), blocks, strict=True)]
    )
    a, b, c = blocks.tolist()
    share = padded.reshape(a, factor[0], b, factor[1], c, factor[2]).mean(axis=(1, 3, 5))
    T_index_block = np.diag([*factor.astype(float), 1.0])
    T_index_block[:3, 3] = (factor - 1) / 2 - factor  # the first block is the padding's
    return share >= 0.5, T_world_index @ T_index_block
