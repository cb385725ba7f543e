"""The shells of SARAMIS's tubular organs (`<organ>_hollow.ply`): the lumen that their inner surface encloses.

Such a file holds the organ's surface, smoothed, and a surface within it, turned inside out, at a distance that the
project's script sets (an inset by 0.4 % of the box's diagonal, on cells of 1 % of it: `hollow_mesh` in the public
repository NMontanaBrown/saramis, `saramis/mesh/mesh_finetuning.py`). So the wall's thickness is the script's, not the
scan's, and it is said to be. The outer surface is not taken: it has been smoothed once more, and has lost volume.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assets.errors import InputError
from assets.importers.hollow import AIR, OPENINGS, parted
from assets.importers.saramis_variants import read_one
from assets.mending.mend import mend
from assets.mesh import Mesh
from assets.mesh_check import winding_number
from assets.patient import Organ
from assets.transforms import apply

MOST_OFF = 0.1
"""A shell lies where its organ does if the ends of their boxes differ by less than this share of the diagonal."""
_ASKED = 500  # vertices of a lumen that are asked whether they lie within the wall

Array = NDArray[np.float64]


def with_shells(
    organs: Sequence[Organ],
    files: Mapping[str, Path],
    offset: Float64[np.ndarray, "3"] | None,
    T_ras_mesh: Float64[np.ndarray, "4 4"],
    leave_out: Callable[[str, str], None],
    digests: dict[str, str],
) -> tuple[list[Organ], list[str]]:
    """Part organs into lumen and wall by their shells.

    Args:
        organs: Solid, in place.
        files: The shell of each organ, by its name.
        offset: The case's shared offset [mm]: a shell was made of either variant, uncentred or less the offset.
        T_ras_mesh: Maps uncentred coordinates [mm] to RAS [m].
        leave_out: Called with each shell that cannot be used, and why.
        digests: SHA-256 by file; those that are used are added.

    Returns:
        The organs, in which `colon` became `colon_lumen` and `colon_wall` and so on, and the names of those that did.
    """
    result: list[Organ] = []
    used: list[str] = []
    for organ in organs:
        path = files.get(organ.name)
        if path is None or organ.label not in OPENINGS or organ.label in AIR:
            result.append(organ)  # a vessel is one solid here, and a trachea is the air itself
            continue
        try:
            made = _parted(organ, path, offset, T_ras_mesh)
        except InputError as error:
            leave_out(path.name, str(error))
            result.append(organ)
            continue
        if len(made) == 2:
            used.append(organ.name)
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        result += made
    return result, used


def _parted(organ: Organ, path: Path, offset: Array | None, T_ras_mesh: Array) -> list[Organ]:
    """Return lumen and wall of an organ, or the organ with the reason why its lumen is not used.

    Raises:
        InputError: The shell is damaged, lies elsewhere, or is none.
    """
    if organ.tetrahedra is not None:
        raise InputError(f"expected an organ without tetrahedra, found {organ.name} filled with them")
    raw = read_one(path)
    mended = mend(_placed(raw.vertices, organ.surface, offset, T_ras_mesh, path.name), raw.triangles, path.name)
    if len(mended.inner) != 1:
        raise InputError(f"expected one surface within another, found {len(mended.inner)} within in {path.name}")
    (inner,) = mended.inner
    asked = inner.vertices[:: max(1, len(inner.vertices) // _ASKED)].astype(np.float64)
    outside = float((winding_number(organ.surface, asked) < 0.5).mean())
    if outside > 0:
        raise InputError(f"expected a lumen within the wall, found {100 * outside:.1f} % of it outside in {path.name}")
    made = parted(organ, organ.label, inner, organ.surface)
    if len(made) == 1:
        return made
    lumen, wall = made
    shell = {"from": path.name, "wall_thickness_from": "SARAMIS's script, not the scan"}
    return [
        replace(lumen, attributes={"volume_ml": lumen.attributes["volume_ml"]} | shell),
        replace(wall, attributes=organ.attributes | wall.attributes),
    ]


def _placed(points: Array, surface: Mesh, offset: Array | None, T_ras_mesh: Array, name: str) -> Array:
    """Return the vertices of a shell in RAS [m], by the variant that it was made of: the one that lies at the organ."""
    box = np.stack([surface.vertices.min(axis=0), surface.vertices.max(axis=0)]).astype(np.float64)
    choices = [points] if offset is None else [points, points + offset]
    placed = [apply(T_ras_mesh, one) for one in choices]
    off = [float(np.abs(np.stack([one.min(axis=0), one.max(axis=0)]) - box).max()) for one in placed]
    nearest = int(np.argmin(off))
    if off[nearest] > MOST_OFF * float(np.linalg.norm(box[1] - box[0])):
        raise InputError(
            f"expected a shell where the organ lies, found one {1e3 * off[nearest]:.1f} mm off its box in {name}"
        )
    return placed[nearest]
