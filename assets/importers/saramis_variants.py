"""The files of one SARAMIS organ: which of its variants to take, and the offset that centring lost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.mesh_files.raw import RawMesh
from assets.mesh_files.read import read_mesh_file

DECIMATION, MARCHING_CUBES = "decimation", "marching_cubes"
SMOOTH = "_laplace_smooth_mesh_decimation"
OFFSET_SPREAD = 0.5
"""Most that organs of a case may disagree about the shared offset [mm]."""


@dataclass(frozen=True)
class Variants:
    """What an organ's folder holds."""

    organ: str
    raw: Path | None
    """Marching cubes."""
    smooth: Path | None
    """After 24 Laplacian steps and quadric collapse."""
    local: Path | None
    """Its own box at the origin: its place is lost."""
    shared: Path | None
    """Less the case's shared offset; the one with texture coordinates."""
    hollow: Path | None
    tetrahedra: tuple[Path, ...]
    """In the order of preference."""


def find_variants(folder: Path) -> Variants:
    """Look into an organ's folder; the folder's name is the organ's."""
    organ = folder.name

    def file(ending: str) -> Path | None:
        path = folder / f"{organ}{ending}"
        return path if path.is_file() and not path.is_symlink() else None

    tets = sorted(
        path
        for path in folder.iterdir()
        if re.fullmatch(re.escape(organ) + r".*\.(msh|vtk)", path.name) and path.is_file() and not path.is_symlink()
    )
    return Variants(
        organ,
        file(".ply"),
        file(f"{SMOOTH}.ply"),
        file(f"{SMOOTH}_centered_local.ply"),
        file(f"{SMOOTH}_centered_global.ply"),
        file("_hollow.ply"),
        tuple(sorted(tets, key=lambda path: ("centered" in path.name, path.name))),
    )


def read_one(path: Path) -> RawMesh:
    """Read a file of one object.

    Raises:
        InputError: It is damaged, or holds several.
    """
    objects = read_mesh_file(path)
    if len(objects) != 1:
        raise InputError(f"expected one object, found {len(objects)} in {path}")
    return objects[0]


def _box(mesh: RawMesh) -> NDArray[np.float64]:
    return np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])


def shared_offset(variants: Sequence[Variants]) -> NDArray[np.float64] | None:
    """Recover the case's offset [mm], shape (3,): uncentred less shared, over all organs that have both.

    Raises:
        InputError: The organs disagree.
    """
    found = []
    for own in variants:
        if own.smooth is not None and own.shared is not None:
            try:
                found.append((_box(read_one(own.smooth)) - _box(read_one(own.shared))).mean(axis=0))
            except InputError:
                continue  # it is reported where the organ itself is read
    if not found:
        return None
    offset = np.median(found, axis=0)
    spread = float(np.abs(np.array(found) - offset).max())
    if spread > OFFSET_SPREAD:
        raise InputError(f"expected one shared offset in all organs, found offsets {spread:.1f} mm apart")
    return np.asarray(offset)


def uncentred(variants: Sequence[Variants]) -> bool:
    """Tell whether any organ of a case is there as it was before centring."""
    return any(own.smooth is not None or own.raw is not None for own in variants)


def _back(mesh: RawMesh, offset: NDArray[np.float64] | None, mixed: bool, name: str) -> RawMesh:
    """Move a mesh less the shared offset back; where all of a case are so, they fit together as they are."""
    if offset is not None:
        return replace(mesh, vertices=mesh.vertices + offset)
    if mixed:
        raise InputError(
            f"expected an organ both centred and not, which tells the shared offset, found none for {name}"
        )
    return mesh


def take_surface(
    own: Variants, offset: Float64[np.ndarray, "3"] | None, *, mixed: bool
) -> tuple[RawMesh, str, RawMesh | None]:
    """Read the best variant: the decimated one, else marching cubes, else the shared one moved back.

    Args:
        own: The organ's files.
        offset: The case's shared offset [mm], where it is known.
        mixed: Whether other organs of the case are not centred.

    Returns:
        The surface in uncentred coordinates [mm] (or less the offset, where no organ tells it), its variant, and
        marching cubes beside a decimated one: they have the volume that Laplacian smoothing does not keep.

    Raises:
        InputError: There is no variant with its place, or it is damaged.
    """
    cubes = None
    if own.raw is not None:
        try:
            cubes = read_one(own.raw)
        except InputError:
            if own.smooth is None:
                raise
    if own.smooth is not None:
        return read_one(own.smooth), DECIMATION, cubes
    if cubes is not None:
        return cubes, MARCHING_CUBES, None
    if own.shared is not None:
        return _back(read_one(own.shared), offset, mixed, own.shared.name), "centered_global", None
    if own.local is not None:
        raise InputError(f"expected a variant with its place, found only {own.local.name}, whose offset is lost")
    raise InputError(f"expected {own.organ}.ply or {own.organ}{SMOOTH}.ply, found none in the folder {own.organ}")


def take_tetrahedra(
    own: Variants, offset: Float64[np.ndarray, "3"] | None, *, mixed: bool
) -> tuple[RawMesh | None, Path | None, list[tuple[str, str]]]:
    """Read the first usable file of tetrahedra, in uncentred coordinates [mm].

    Returns:
        The tetrahedra and their file, or None; and the files that cannot be used, with the reason.
    """
    refused: list[tuple[str, str]] = []
    for path in own.tetrahedra:
        try:
            mesh = read_one(path)
            if len(mesh.triangles) or not len(mesh.tetrahedra):
                raise InputError(
                    f"expected tetrahedra only, found {len(mesh.tetrahedra)} and {len(mesh.triangles)} triangles"
                )
            if "centered_local" in path.name:
                raise InputError("expected tetrahedra with their place, found them centred on their own box")
            if "centered_global" not in path.name:
                return mesh, path, refused
            return _back(mesh, offset, mixed, path.name), path, refused
        except InputError as error:
            refused.append((path.name, str(error)))
    return None, None, refused
