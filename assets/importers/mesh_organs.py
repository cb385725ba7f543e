"""From meshes that have a name to organs: mended, split where they hold both sides, with tetrahedra where they fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.importers.hollow import OPENINGS, parted
from assets.importers.mesh_names import Structure
from assets.labels import load_labels
from assets.mending.mend import Mended, mend
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.mesh_files.raw import RawMesh
from assets.patient import Organ
from assets.tetrahedra import Tetrahedra, boundary, check_tetrahedra, volumes
from assets.transforms import apply

SAME = 1e-5
"""Surfaces whose vertices are nearer to each other than this are the same [m]."""


@dataclass(frozen=True)
class Part:
    """One object of a file, and what it shows."""

    what: str
    """The file, and the object in it."""
    structure: Structure
    mesh: RawMesh
    fallback: "Callable[[], Part] | None" = None
    """Reads what to take where this cannot be mended."""


def build_organs(
    parts: Sequence[Part],
    T_ras_file: Float64[np.ndarray, "4 4"],
    leave_out: Callable[[str, str], None],
    say: Callable[[str], None],
) -> list[Organ]:
    """Make organs, in the order of the table of labels.

    Args:
        parts: What was read.
        T_ras_file: Maps the files' coordinates to RAS [m].
        leave_out: Called with what cannot be used, and why.
        say: Called with what is being done.
    """
    by_name: dict[str, list[Part]] = {}
    for part in parts:
        by_name.setdefault(part.structure.name, []).append(part)
    organs: list[Organ] = []
    for name, own in by_name.items():
        say(f"mending {name}")
        surfaces = [part for part in own if not len(part.mesh.tetrahedra)]
        solids = [part for part in own if len(part.mesh.tetrahedra)]
        for part in surfaces[1:] + solids[1:]:
            leave_out(part.what, f"shows {name} as {own[0].what} does")
        try:
            made = _mended_or_fallback(surfaces[0], T_ras_file, leave_out) if surfaces else []
            if solids:
                made = _with_tetrahedra(made, solids[0], T_ras_file, leave_out)
        except InputError as error:
            leave_out((surfaces or solids)[0].what, str(error))
            continue
        for organ in made:
            twin = next((other.name for other in organs if same_surface(organ.surface, other.surface)), None)
            if twin is not None:
                leave_out(own[0].what, f"has the surface of {twin}")
            else:
                organs.append(organ)
    order = {name: index for index, name in enumerate(load_labels())}
    return sorted(organs, key=lambda organ: (order[organ.label], organ.name))


def same_surface(a: Mesh, b: Mesh) -> bool:
    """Tell whether two surfaces are one that was written twice, perhaps with other digits or another order."""
    boxes = [np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)]) for mesh in (a, b)]
    if len(a.triangles) != len(b.triangles) or np.abs(boxes[0] - boxes[1]).max() > SAME:
        return False
    return float(cKDTree(a.vertices).query(b.vertices)[0].max()) <= SAME


def _mended_or_fallback(
    part: Part, T_ras_file: Float64[np.ndarray, "4 4"], leave_out: Callable[[str, str], None]
) -> list[Organ]:
    try:
        return _from_surface(part, T_ras_file)
    except InputError as error:
        if part.fallback is None:
            raise
        leave_out(part.what, str(error))
        return _from_surface(part.fallback(), T_ras_file)


def _from_surface(part: Part, T_ras_file: Float64[np.ndarray, "4 4"]) -> list[Organ]:
    mended = mend(apply(T_ras_file, part.mesh.vertices), part.mesh.triangles, part.what)
    structure = part.structure
    if not structure.paired:
        mesh = mended.bodies[0] if structure.kind == "lumen" else mended.joined
        dropped = len(mended.bodies) - 1 if structure.kind == "lumen" else 0
        organ = organ_of(structure, mesh, part, mended, dropped)
        if structure.kind == "solid" and structure.label in OPENINGS and len(mended.bodies) == 1 and mended.inner:
            return parted(organ, structure.label, mended.inner[0], mesh)
        return [organ]
    if len(mended.bodies) != 2:
        raise InputError(f"expected a left and a right body, found {len(mended.bodies)} bodies in {part.what}")
    middles = [float(body.vertices[:, 0].mean()) for body in mended.bodies]
    sides = ("right", "left") if middles[0] > middles[1] else ("left", "right")
    return [
        organ_of(sided(structure, side), body, part, mended, 0) for side, body in zip(sides, mended.bodies, strict=True)
    ]


def sided(structure: Structure, side: str) -> Structure:
    """Return the structure of one side."""
    return Structure(structure.name.format(side=side), structure.label.format(side=side), structure.kind)


def organ_of(structure: Structure, mesh: Mesh, part: Part, mended: Mended, dropped: int) -> Organ:
    """Make an organ that tells where it comes from and what was done to it."""
    report = check_mesh(mesh)
    figures = dict(mended.figures)
    if dropped:
        figures["other_bodies_dropped"] = dropped
    attributes: dict[str, Any] = {
        "from": part.what,
        "volume_ml": round(report.volume * 1e6, 4),
        "bodies": report.body_count,
        "genus": report.genus,
        "mended": figures,
    }
    if part.mesh.notes:
        attributes["notes"] = list(part.mesh.notes)
    material = load_labels()[structure.label].material
    return Organ(structure.name, structure.label, structure.kind, material, mesh, attributes)


def _with_tetrahedra(
    made: list[Organ], part: Part, T_ras_file: Float64[np.ndarray, "4 4"], leave_out: Callable[[str, str], None]
) -> list[Organ]:
    """Give an organ the tetrahedra of a file; where it has no surface of its own, their boundary is the surface."""
    mesh, turned = placed_tetrahedra(part.mesh, T_ras_file)
    if not made:
        if part.structure.paired:
            raise InputError(f"expected tetrahedra of one organ, found those of a pair in {part.what}")
        skin = boundary(mesh)
        problems = check_mesh(skin).problems
        if problems:
            raise InputError(f"{problems[0]} in the boundary of the tetrahedra of {part.what}")
        made = [organ_of(part.structure, skin, part, Mended((skin,), {}), 0)]
    if len(made) != 1:
        leave_out(part.what, "expected tetrahedra of one organ, found those of a pair")
        return made
    (organ,) = made
    report = check_tetrahedra(mesh, organ.surface)
    if report.problems:
        leave_out(f"tetrahedra of {part.what}", report.problems[0])
        return made
    figures = {
        "from": part.what,
        "least_radius_ratio": round(report.least_quality, 4),
        "volume_ml": round(report.volume * 1e6, 4),
        "turned": turned,
    }
    attributes = organ.attributes | {"tetrahedra": figures}
    return [Organ(organ.name, organ.label, organ.kind, organ.material, organ.surface, attributes, mesh)]


def placed_tetrahedra(raw: RawMesh, T_ras_file: Float64[np.ndarray, "4 4"]) -> tuple[Tetrahedra, int]:
    """Put tetrahedra in place; those of negative volume, an order of corners that some tools have, are turned.

    Returns:
        The tetrahedra without unused vertices, and how many were turned.
    """
    used, corners = np.unique(raw.tetrahedra, return_inverse=True)
    points = apply(T_ras_file, raw.vertices[used]).astype(np.float32)
    mesh = Tetrahedra(points, corners.reshape(-1, 4).astype(np.int32))
    negative = volumes(mesh) < 0
    mesh.tetrahedra[negative] = mesh.tetrahedra[negative][:, [0, 1, 3, 2]]
    return mesh, int(negative.sum())
