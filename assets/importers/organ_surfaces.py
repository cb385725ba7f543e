"""Closed surfaces of the labelled organs: neighbours share their boundary, each has the volume of its voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from assets.importers.label_volume import LabelVolume
from assets.labels import load_labels
from assets.lumen.distension import Lumen
from assets.lumen.grid import Grid
from assets.mesh_check import check_mesh
from assets.mesh_quality import mesh_quality
from assets.patient import Organ
from assets.surface_nets.mesh_labels import LabelMesh, mesh_labels
from assets.transforms import apply

_BATCH = 1 << 20
"""Voxels that are looked up at a time, to spare memory."""


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
    present = set(volume.names.values()) - without
    names = [name for name in table if name in present]
    displaced: dict[str, int] = {}
    found: dict[str, Organ] = {}
    for layer in _by_name(volume, names):
        if occupied is not None:
            gone = _give_way(layer, volume.T_world_index, occupied)
            displaced |= {names[label - 1]: count for label, count in gone.items()}
        for label, mesh in mesh_labels(layer, volume.T_world_index, edge=edge).items():
            name = names[label - 1]
            shared = [names[other - 1] for other in mesh.neighbours]
            found[name] = Organ(name, name, "solid", table[name].material, mesh.surface, _attributes(mesh, shared))
    return tuple(found[name] for name in names if name in found), displaced


def _by_name(volume: LabelVolume, names: list[str]) -> list[NDArray[np.uint16]]:
    """Return the layers with ids that count through the names from 1; what has none of these names becomes 0.

    A structure that lies in several layers comes in the first of them.
    """
    number = {name: index for index, name in enumerate(names, start=1)}
    lookup = np.zeros(max([*volume.names, 0]) + 1, np.uint16)
    for label, name in volume.names.items():
        lookup[label] = number.get(name, 0)
    layers = [lookup[layer] for layer in volume.layers]
    home: dict[int, int] = {}
    for at, layer in enumerate(layers):
        for label in np.flatnonzero(np.bincount(layer.ravel(), minlength=len(names) + 1)).tolist():
            first = home.setdefault(label, at)
            if label and first != at:
                mask = layer == label
                layers[first][mask & (layers[first] == 0)] = label
                layer[mask] = 0
    return layers


def _give_way(layer: NDArray[np.uint16], T_world_index: NDArray[np.float64], occupied: Occupied) -> dict[int, int]:
    """Take the occupied voxels off the layer, and count them by label."""
    voxels = np.argwhere(layer > 0)
    gone: dict[int, int] = {}
    for first in range(0, len(voxels), _BATCH):
        part = voxels[first : first + _BATCH]
        hit = part[occupied.holds(apply(T_world_index, part.astype(np.float64)))]
        for label, count in enumerate(np.bincount(layer[tuple(hit.T)]).tolist()):
            if count:
                gone[label] = gone.get(label, 0) + count
        layer[tuple(hit.T)] = 0
    return gone


def _attributes(mesh: LabelMesh, shared: list[str]) -> dict[str, Any]:
    """Return what the mesh was made of, and how good it is."""
    report = check_mesh(mesh.surface)
    return {
        "voxels": mesh.voxels,
        "volume_ml": round(report.volume * 1e6, 4),
        "volume_error_percent": round((report.volume / mesh.volume - 1.0) * 100.0, 3) if mesh.volume else None,
        "islands_dropped": mesh.islands.count,
        "island_voxels": mesh.islands.voxels,
        "triangles_wanted": mesh.wanted,
        "bodies": report.body_count,
        "genus": report.genus,
        "area_cm2": round(report.area * 1e4, 2),
        "shares_boundary_with": shared,
        **mesh_quality(mesh.surface),
    }
