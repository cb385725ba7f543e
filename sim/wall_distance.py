"""Signed distance to the wall of the free lumen: positive where a scope may be, negative in the wall and in polyps."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh import Mesh
from assets.patient import Orifice, Patient
from sim.atomic import atomic_file
from sim.wall_building import ANAL_OPENING, BAND, build, extent
from sim.wall_surface import ExactWall, WallSurface

SPACING = 0.002
"""[m]; semilunar folds are 2 to 4 mm thick at the edge, so that the free side of each still has a node of its own."""
_FORMAT = 1  # counts up when the grid's making changes, so that old cache files are not read


@dataclass(frozen=True)
class WallDistance:
    """A grid of signed distances to the wall of a free lumen, and near the wall its triangles."""

    values: Float32[np.ndarray, "nx ny nz"]
    """Signed distance [m] at the nodes: positive in the free lumen; no less than -BAND."""
    origin: Float[np.ndarray, "3"]
    """World position of node (0, 0, 0) [m]."""
    spacing: float
    """[m]"""

    surface: WallSurface | None = None
    """What the grid was built from; None where there is no more than the grid, as for a wall that gives way."""

    def query(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
        """Measure at world points [m]: to the triangles where the grid alone may have the wrong sign, else by the grid.

        The triangles are asked within 0.15 spacings of the wall, beside leaves and edges within 0.87 of one,
        about orifices, and wherever no node of the grid vouches for the sign; elsewhere, and where no surface is known,
        this is `interpolate`.

        Returns:
            Signed distances [m], shape (n,), and their gradients, shape (n, 3), which point away from the wall and have
            a length of about 1 (0 outside the band).
        """
        if self.surface is None:
            return self.interpolate(points)
        return self._exact.query(points)

    def distance(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        """Return the signed distances [m], shape (n,), of `query` at world points [m]."""
        return self.query(points)[0]

    @cached_property
    def _exact(self) -> ExactWall:
        assert self.surface is not None
        return ExactWall(self.surface, self.values, self.origin, self.spacing)

    def interpolate(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
        """Interpolate the grid trilinearly at world points [m].

        In a fold thinner than a cell the sign may be wrong, by less than half of a cell's diagonal.

        Returns:
            Distances and gradients as `query` does. Points off the grid take the nearest border's value.
        """
        scaled = (np.asarray(points, dtype=np.float64) - self.origin) / self.spacing
        scaled = np.clip(scaled, 0.0, np.array(self.values.shape) - 1.000001)
        cell = scaled.astype(np.intp)
        u, v, w = (scaled - cell).T
        corners = cell @ _strides(self.values.shape)
        flat = self.values.reshape(-1)
        _, ny, nz = self.values.shape
        c = [flat[corners + (i * ny + j) * nz + k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        z = [c[n + 1] - c[n] for n in (0, 2, 4, 6)]  # along the last axis, at (i, j) = 00, 01, 10, 11
        face = [c[2 * n] + z[n] * w for n in range(4)]
        y0, y1 = face[1] - face[0], face[3] - face[2]
        x0, x1 = face[0] + y0 * v, face[2] + y1 * v
        z0, z1 = z[0] + (z[1] - z[0]) * v, z[2] + (z[3] - z[2]) * v
        gradient = np.stack([x1 - x0, y0 + (y1 - y0) * u, z0 + (z1 - z0) * u], axis=-1) / self.spacing
        return np.asarray(x0 + (x1 - x0) * u, dtype=np.float64), np.asarray(gradient, dtype=np.float64)


def _strides(shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.array([shape[1] * shape[2], shape[2], 1], dtype=np.intp)


def patient_wall_distance(
    patient: Patient,
    *,
    lumen: str = "colon_wall",
    solids: Collection[str] = ("polyp",),
    opening: float = ANAL_OPENING,
    spacing: float = SPACING,
    threads: int = 2,
    cache: Path | None = None,
) -> WallDistance:
    """Build the wall distance of a patient's lumen: inside of it, outside of what stands in it, open at its orifices.

    Args:
        patient: With one organ of kind `lumen` and that label.
        lumen: Label of the organ.
        solids: Labels of what stands in it.
        opening: The orifices give way to at least this radius [m].
        spacing: Of the grid [m].
        threads: To build with.
        cache: Folder in which grids are kept from run to run, by content; None keeps them in this process only.

    Raises:
        InputError: The patient has no such lumen, or it encloses nothing.
    """
    name, surface = lumen_of(patient, lumen)
    standing = tuple(organ.surface for organ in patient.organs if organ.label in solids)
    orifices = tuple(orifice for orifice in patient.orifices if orifice.organ == name)
    return wall_distance(surface, standing, orifices, opening=opening, spacing=spacing, threads=threads, cache=cache)


def lumen_of(patient: Patient, label: str) -> tuple[str, Mesh]:
    """Return name and surface of the patient's lumen with a label.

    Raises:
        InputError: There is none.
    """
    for organ in patient.organs:
        if organ.kind == "lumen" and organ.label == label:
            return organ.name, organ.surface
    found = ", ".join(f"{organ.name} ({organ.kind}, {organ.label})" for organ in patient.organs) or "no organ"
    raise InputError(f"{patient.name}: expected an organ of kind lumen and label {label}, found {found}")


def colon_lumen(patient: Patient) -> tuple[str, Mesh]:
    """Return name and surface of the patient's colon lumen.

    Raises:
        InputError: There is none.
    """
    return lumen_of(patient, "colon_wall")


def wall_distance(
    lumen: Mesh,
    solids: tuple[Mesh, ...] = (),
    orifices: tuple[Orifice, ...] = (),
    *,
    opening: float = ANAL_OPENING,
    spacing: float = SPACING,
    threads: int = 2,
    cache: Path | None = None,
) -> WallDistance:
    """Build the signed distance inside `lumen`, outside every one of `solids`, open at the `orifices`.

    The same content gives the same object within a process.

    Raises:
        InputError: The lumen encloses no node of the grid.
    """
    content = hashlib.sha256(f"{_FORMAT} {spacing} {BAND} {opening}".encode())
    for mesh in (lumen, *solids):
        content.update(np.ascontiguousarray(mesh.vertices).tobytes() + np.ascontiguousarray(mesh.triangles).tobytes())
    for orifice in orifices:
        content.update(np.array([*orifice.centre, *orifice.normal, orifice.radius]).tobytes())
    return _cached(_Key(content.hexdigest(), lumen, solids, orifices, opening, spacing, threads, cache))


@dataclass(frozen=True)
class _Key:
    """Compares by content alone, so that the cache of the process finds equal patients."""

    digest: str
    lumen: Mesh
    solids: tuple[Mesh, ...]
    orifices: tuple[Orifice, ...]
    opening: float
    spacing: float
    threads: int
    cache: Path | None

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.digest == self.digest


@lru_cache(maxsize=4)
def _cached(key: _Key) -> WallDistance:
    origin, shape = extent(key.lumen, key.orifices, key.spacing)
    path = None if key.cache is None else key.cache / f"wall-{key.digest[:24]}.npz"
    values = None if path is None else _load(path, shape)
    if values is None:
        values = build(key.lumen, key.solids, key.orifices, origin, shape, key.spacing, key.threads, key.opening)
        if path is not None:
            _save(path, values)
    values.setflags(write=False)
    return WallDistance(values, origin, key.spacing, WallSurface(key.lumen, key.solids, key.orifices, key.opening))


def _load(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32] | None:
    """Read a cached grid; None if there is none or it is damaged (it is then built anew)."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            nodes, distances = stored["nodes"], stored["distances"]
        values = np.full(shape, -BAND, dtype=np.float32)
        values.reshape(-1)[nodes] = distances
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile):
        return None
    return values


def _save(path: Path, values: NDArray[np.float32]) -> None:
    nodes = np.flatnonzero(values.reshape(-1) > -BAND).astype(np.int32)
    with atomic_file(path) as stream:
        np.savez(stream, nodes=nodes, distances=values.reshape(-1)[nodes])
