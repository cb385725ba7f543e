"""A patient's organ made soft: tetrahedra on demand, its tissue, and what its neighbours hold of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assets.errors import InputError
from assets.materials import Mechanical, load_materials
from assets.mesh import Mesh
from assets.mesh_check import check_mesh
from assets.patient import Organ, Patient
from assets.tetrahedra import distances
from assets.tetrahedralise import tetrahedralise
from sim.soft.tet_mesh import TetMesh, surface_areas, tet_mesh

FIXED = np.inf
"""Stiffness of a tie that does not give way."""
WALL_THICKNESS = 0.002
"""Of a gallbladder [m]; up to 3 mm are normal in ultrasound."""


@dataclass(frozen=True)
class Tie:
    """What holds an organ where it touches a neighbour."""

    neighbour: str
    """Label of the neighbour."""
    within: float
    """Surface nodes this near to it are held [m]."""
    stiffness: float
    """Of the layer between them: force per area and way [N/m^3]; `FIXED` does not give way."""
    behind: float = 1.0
    """Only nodes in this share of the organ's depth, counted from the back, are held."""


# Loose connective tissue of some kPa, tenths of a millimetre to millimetres thick; chosen: no measurement of the beds
# of abdominal organs was found.
_AREOLAR = 3.0e6
_LIGAMENT = 1.0e6
ATTACHMENTS: Mapping[str, tuple[Tie, ...]] = {
    "gallbladder": (Tie("liver", 0.0016, _AREOLAR), Tie("cystic_duct", 0.002, FIXED)),
    "liver": (
        Tie("inferior_vena_cava", 0.003, FIXED),
        Tie("abdominal_wall", 0.003, _LIGAMENT, 0.5),  # coronary and triangular ligaments, and the bare area
        Tie("falciform_ligament", 0.002, _LIGAMENT),
    ),
}
"""By label; organs that are not listed are tied loosely to all that they touch."""
_TOUCHING = 0.0012  # [m]


@dataclass(frozen=True, eq=False)
class SoftOrgan:
    """What a soft body of an organ is made from."""

    name: str
    mesh: TetMesh
    surface: Mesh
    """What is seen of it; it follows the tetrahedra."""
    fixed: NDArray[np.int64]
    """Nodes that go where their surroundings go."""
    tied: NDArray[np.int64]
    """Nodes held by springs."""
    stiffness: NDArray[np.float64]
    """Of these springs [N/m]."""
    tied_to: tuple[str, ...]
    """The organ at the other end of each spring."""


def soft_organ(patient: Patient, name: str, *, edge: float | None = None, cache: Path | None = None) -> SoftOrgan:
    """Fill an organ with tetrahedra and tie it to its neighbours.

    Args:
        patient: Whose organ.
        name: Of the organ, a solid.
        edge: Wanted length of the tetrahedra's edges [m]; None for a twelfth of the organ's diagonal. Tetrahedra that
            come with the patient are taken as they are.
        cache: Folder in which tetrahedra are kept by their content; without it no two runs make the same.

    Raises:
        InputError: There is no such solid, nothing holds it, or it cannot be filled with tetrahedra.
    """
    organs = {organ.name: organ for organ in patient.organs}
    if name not in organs or organs[name].kind != "solid":
        solids = ", ".join(organ.name for organ in patient.organs if organ.kind == "solid") or "none"
        raise InputError(f"{patient.name}: expected a soft organ of the solids {solids}, found {name!r}")
    organ = organs[name]
    filled = organ.tetrahedra or tetrahedralise(organ.surface, edge=edge, cache=cache)
    used, corners = np.unique(filled.tetrahedra, return_inverse=True)
    mesh = tet_mesh(filled.vertices[used].astype(np.float64), corners.reshape(-1, 4), tissue_of_organ(organ), name=name)
    ties = ATTACHMENTS.get(organ.label)
    if ties is None:
        others = {one.label for one in patient.organs if one.name != name}
        ties = tuple(Tie(label, _TOUCHING, _AREOLAR) for label in sorted(others))
    skin = np.unique(mesh.surface).astype(np.int64)
    area = _node_areas(mesh)[skin]
    fixed, stiffness, owner = np.zeros(len(skin), bool), np.zeros(len(skin)), np.full(len(skin), "", dtype=object)
    for tie in ties:
        for other in patient.organs:
            if other.label != tie.neighbour or other.name == name:
                continue
            depth = mesh.nodes[skin, 1] - mesh.nodes[:, 1].min()
            near = (distances(mesh.nodes[skin], other.surface) < tie.within) & ~fixed
            near &= depth <= tie.behind * np.ptp(mesh.nodes[:, 1])
            if np.isinf(tie.stiffness):
                fixed |= near
                stiffness[near] = 0.0
            else:
                stiffness[near], owner[near] = tie.stiffness * area[near], other.name
    tied = stiffness > 0
    if not fixed.any() and tied.sum() < 3:
        raise InputError(
            f"{patient.name}: expected {name} to touch one of {', '.join(tie.neighbour for tie in ties)}, "
            f"found {int(tied.sum())} nodes that do: nothing would hold it"
        )
    return SoftOrgan(
        name, mesh, organ.surface, skin[fixed], skin[tied], stiffness[tied], tuple(str(one) for one in owner[tied])
    )


def tissue_of_organ(organ: Organ) -> Mechanical:
    """Return the constants with which a whole organ is computed.

    A gallbladder is a bag of bile: as a solid it is as stiff as a wall of `WALL_THICKNESS` on its mean radius makes it,
    E t / R, with R = 3 V / A.
    """
    tissue = load_materials()[organ.material].mechanical
    if organ.label != "gallbladder":
        return tissue
    found = check_mesh(organ.surface)
    vertices = organ.surface.vertices.astype(np.float64)
    area = np.linalg.norm(surface_areas(vertices, organ.surface.triangles), axis=1).sum()
    radius = 3 * found.volume / float(area)
    return replace(tissue, youngs_modulus=tissue.youngs_modulus * min(1.0, WALL_THICKNESS / radius))


def _node_areas(mesh: TetMesh) -> NDArray[np.float64]:
    """Return a third of the area of the surface's triangles around each node [m^2], shape (n,)."""
    area = np.linalg.norm(surface_areas(mesh.nodes, mesh.surface), axis=1)
    shares = np.bincount(mesh.surface.ravel(), np.repeat(area / 3, 3), minlength=len(mesh.nodes))
    return np.asarray(shares, np.float64)
