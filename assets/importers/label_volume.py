"""A label map of any format as layers of ids with names, in nearly RAS voxel order."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, UInt16
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.names import known_name
from assets.importers.schemes import resolve_names
from assets.importers.volume import MAX_VOXELS, Volume, canonical
from assets.importers.volume_file import read_volume
from assets.labels import load_labels

__all__ = ["MAX_VOXELS", "LabelVolume", "label_volume", "read_label_volume"]

MOST = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True)
class LabelVolume:
    """Labels on a grid whose axes run to the patient's right, front and head as nearly as the scan allows."""

    data: UInt16[np.ndarray, "i j k"]
    """Ids; 0 is nothing."""
    T_world_index: Float64[np.ndarray, "4 4"]
    """Maps voxel indices (centres) to RAS [m]; its columns are perpendicular."""
    names: dict[int, str]
    """Name of each id that occurs: the table's where it has one, else as the file has it."""
    origin_of_names: str
    """`header`, `segments`, `file names`, or the scheme."""
    sha256: str
    """Of the file, or of the files in the order of their names."""
    overlays: tuple[UInt16[np.ndarray, "i j k"], ...] = ()
    """Further layers, of structures that overlap others; an id occurs in one layer only."""
    format: str = "NIfTI"
    voxels: dict[int, int] = field(default_factory=dict)
    """Number of voxels by id."""

    @property
    def layers(self) -> tuple[UInt16[np.ndarray, "i j k"], ...]:
        """All layers, the base layer first."""
        return (self.data, *self.overlays)

    @property
    def spacing(self) -> Float64[np.ndarray, "3"]:
        """Distance of voxel centres along each axis [m]."""
        return np.asarray(np.linalg.norm(self.T_world_index[:3, :3], axis=0))

    @property
    def left_out(self) -> dict[str, int]:
        """Voxels of the structures that the table of labels does not know, by name."""
        table, found = load_labels(), dict[str, int]()
        for label, name in sorted(self.names.items()):
            if name not in table:
                found[name] = found.get(name, 0) + self.voxels.get(label, 0)
        return found

    def mask(self, name: str) -> Bool[np.ndarray, "i j k"]:
        """Return the voxels of a structure; none where it does not occur."""
        ids = [label for label, own in self.names.items() if own == name]
        found = np.zeros(self.data.shape, bool)
        for layer in self.layers if ids else ():
            found |= np.isin(layer, ids)
        return found


def read_label_volume(path: Path, *, scheme: str | Path | None = None) -> LabelVolume:
    """Read a label map.

    Args:
        path: A file or folder of any format of `volume_file.FORMATS`.
        scheme: What the ids mean where the file does not say it.

    Raises:
        InputError: The file is missing, damaged, too large, sheared, no label map, or of unknown scheme.
    """
    return label_volume(read_volume(path), path, scheme=scheme)


def label_volume(volume: Volume, path: Path, *, scheme: str | Path | None = None) -> LabelVolume:
    """Make a label map of a volume that was read.

    Raises:
        InputError: It holds no ids, or what they mean is not known.
    """
    if volume.content == "ct":
        raise InputError(f"expected a label map, found a CT ({volume.format}) in {path}")
    whole = canonical(volume)
    layers = [_as_ids(layer, path) for layer in whole.layers]
    own = {(one.layer, one.value): one.name for one in whole.segments}
    layers, own_names = _unique_ids(layers, own, path)
    counts = np.zeros(MOST + 1, np.int64)
    for layer in layers:
        counts += np.bincount(layer.ravel(), minlength=MOST + 1)
    ids = np.flatnonzero(counts)
    ids = ids[ids > 0]
    tidy = {label: known_name(name) or name for label, name in own_names.items()}
    names, origin = resolve_names(ids, tidy, scheme, str(path))
    if origin == "header" and whole.format != "NIfTI":
        origin = "file names" if whole.format == "NIfTI folder" else "segments"
    voxels = {int(label): int(counts[label]) for label in ids}
    names = {label: known_name(name) or name for label, name in names.items()}
    return LabelVolume(
        layers[0], whole.T_world_index, names, origin, whole.sha256, tuple(layers[1:]), whole.format, voxels
    )


def _unique_ids(
    layers: list[NDArray[np.uint16]], own: dict[tuple[int, int], str], path: Path
) -> tuple[list[NDArray[np.uint16]], dict[int, str]]:
    """Give the ids of further layers new numbers where they are taken, so that an id names one structure."""
    taken = {value for layer, value in own if layer == 0} | set(np.unique(layers[0]).tolist())
    names = {value: name for (layer, value), name in own.items() if layer == 0}
    result = [layers[0]]
    for number, layer in enumerate(layers[1:], start=1):
        present = [int(value) for value in np.unique(layer) if value > 0]
        unnamed = [value for value in present if (number, value) not in own]
        if unnamed:
            raise InputError(f"expected a name for id {unnamed[0]} of layer {number}, found none in {path}")
        table = np.zeros(MOST + 1, np.uint16)
        for value in present:
            fresh = value if value not in taken else max(taken) + 1
            if fresh > MOST:
                raise InputError(f"expected ids up to {MOST} in all layers together, found more in {path}")
            taken.add(fresh)
            table[value] = fresh
            names[fresh] = own[number, value]
        result.append(table[layer])
    return result, names


def _as_ids(raw: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    if raw.dtype.kind not in "biuf":
        raise InputError(f"expected whole numbers as labels, found voxels of type {raw.dtype} in {path}")
    low, high = (float(raw.min()), float(raw.max())) if raw.size else (0.0, 0.0)
    if not (low >= 0 and high <= MOST):  # also false for NaN
        raise InputError(
            f"expected labels from 0 to 65535, found values from {low} to {high} (is this a CT?) in {path}"
        )
    ids = np.ascontiguousarray(raw.astype(np.uint16))
    if raw.dtype.kind == "f" and not np.array_equal(ids, raw):
        raise InputError(f"expected whole numbers as labels, found fractions (is this a CT?) in {path}")
    return ids
