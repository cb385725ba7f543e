"""Hollow organs: lumen and wall where the data tells them apart, and the openings through which a scope enters.

A label map tells them apart where a wall has a label of its own around the organ's, or where the voxels of an organ
enclose a cavity; a mesh where one closed surface lies within another; a CT without labels where the lumen is air. Else
the organ stays solid: what fills it and what it is made of are one label.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.importers.label_volume import LabelVolume
from assets.labels import load_labels
from assets.mesh import Mesh
from assets.mesh_check import check_mesh, winding_number
from assets.patient import Organ, Orifice, Patient
from assets.surface_nets.mesh_labels import mesh_labels
from assets.transforms import apply, unit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Opening:
    """Where an organ opens: at its upper or lower end, or beside another organ."""

    name: str
    at: str
    """`top`, `bottom`, or the label of the organ that it leads to."""


OPENINGS: dict[str, tuple[Opening, ...]] = {
    "airways": (Opening("larynx", "top"),),
    "trachea": (Opening("larynx", "top"),),
    "esophagus": (Opening("upper_sphincter", "top"), Opening("cardia", "stomach")),
    "stomach": (Opening("cardia", "esophagus"), Opening("pylorus", "duodenum")),
    "duodenum": (Opening("pylorus", "stomach"), Opening("duodenojejunal_flexure", "small_bowel")),
    "small_bowel": (Opening("duodenojejunal_flexure", "duodenum"), Opening("ileocaecal_valve", "colon")),
    "colon": (Opening("anus", "bottom"),),
    "urinary_bladder": (Opening("bladder_neck", "bottom"),),
    "gallbladder": (),
}
"""Hollow organs by their label, and their openings (Gray's Anatomy, 41st edition, chapters 54, 64 to 66 and 75)."""
AIR = ("airways", "trachea")
"""Labels that name the air itself: a trachea's wall of 1 to 3 mm is no part of its label."""
LEAST = 0.5e-6
"""Smaller cavities are gaps in a label [m^3]; chosen."""
ENCLOSED = 0.8
"""Share of a lumen's surface that its wall must cover: openings are the rest; chosen."""
BESIDE = 0.008
"""Two organs that open into each other are nearer than this [m]: two walls of up to 4 mm; chosen."""
DEEP = 0.003
"""The opening's normal points to a place so far within the lumen [m]."""
WIDEST = 0.02
"""Greatest radius of an opening [m]; chosen."""
SPLIT = 4
"""Parts of a triangle's edge, for points that are spread over a surface."""


def lumen_and_wall(
    base: str, volume: LabelVolume
) -> tuple[Bool[np.ndarray, "i j k"], Bool[np.ndarray, "i j k"]] | None:
    """Tell the voxels of an organ's lumen from those of its wall.

    Args:
        base: Its label, such as `stomach`.
        volume: A label map.

    Returns:
        Lumen and wall; None where the labels do not tell them apart.
    """
    own, around = volume.mask(base), volume.mask(f"{base}_wall")
    if around.any() and own.any():
        lumen, wall = own & ~around, around
    else:
        wall = around if around.any() else own
        # the border of the scan closes nothing: a cavity that it cuts is open
        lumen = ndimage.binary_fill_holes(wall) & ~wall
    pieces, count = ndimage.label(lumen)
    if count == 0:
        return None
    size = np.bincount(pieces.ravel())
    size[0] = 0
    lumen = pieces == int(size.argmax())
    if float(lumen.sum()) * float(np.prod(volume.spacing)) < LEAST:
        return None
    rim = ndimage.binary_dilation(lumen) & ~lumen
    if float((rim & wall).sum()) < ENCLOSED * float(rim.sum()):
        return None
    return np.asarray(lumen), np.asarray(wall)


def with_lumens(patient: Patient, volume: LabelVolume, edge: float, *, air: Collection[str] = AIR) -> Patient:
    """Part the hollow organs of a label map into lumen and wall, where it tells them apart, and open them.

    Args:
        patient: Made of the volume.
        volume: The label map.
        edge: About the length of the triangles' edges [m].
        air: Labels that name what fills the lumen.

    Returns:
        The patient in which `stomach` became `stomach_lumen` and `stomach_wall` and so on, with orifices; an organ
        whose lumen would not be one body without handles stays solid, and its attribute `lumen_not_used` says so.
    """
    organs: list[Organ] = list(patient.organs)
    labels = {organ.label for organ in organs}
    for base in OPENINGS:
        mine = [organ for organ in organs if organ.label in (base, f"{base}_wall") and organ.kind != "lumen"]
        if not mine:
            continue
        if base in air:
            pair: tuple[Mesh, Mesh | None] = (mine[0].surface, None)
        else:
            told = lumen_and_wall(base, volume)
            if told is None:
                continue
            lumen, wall = told
            inner = mesh_labels(lumen.astype(np.uint16), volume.T_world_index, edge=edge)
            outer = mesh_labels((lumen | wall).astype(np.uint16), volume.T_world_index, edge=edge)
            if 1 not in inner or 1 not in outer:
                continue
            pair = (inner[1].surface, outer[1].surface)
        made = parted(mine[0], base, *pair)
        if len(made) == 2:
            organs = [organ for organ in organs if all(organ is not other for other in mine[1:])]
        at = next(index for index, organ in enumerate(organs) if organ is mine[0])
        organs[at : at + 1] = made
    patient = replace(patient, organs=tuple(organs))
    others = {
        label: apply(volume.T_world_index, np.argwhere(volume.mask(label)).astype(np.float64)) for label in labels
    }
    return replace(patient, orifices=(*patient.orifices, *openings(patient, others)))


def parted(organ: Organ, base: str, inner: Mesh, outer: Mesh | None) -> list[Organ]:
    """Make lumen and wall of an organ; where no scope can be in the lumen, return the organ with the reason.

    Args:
        organ: As imported.
        base: Its label without `_wall`.
        inner: Surface of the lumen.
        outer: Surface of the wall; None where only the lumen is known.
    """
    report = check_mesh(inner)
    if report.problems or report.genus != 0 or report.body_count != 1:
        reason = f"expected one closed body without handles, found {report.body_count} of genus {report.genus}"
        return [replace(organ, attributes=organ.attributes | {"lumen_not_used": reason})]
    table = load_labels()
    label = f"{base}_wall" if f"{base}_wall" in table else organ.label
    material = table[label].material
    told = dict(organ.attributes)
    told["volume_ml"] = round(report.volume * 1e6, 4)
    lumen = Organ(f"{base}_lumen" if outer is not None else organ.name, label, "lumen", material, inner, told)
    if outer is None:
        return [lumen]
    thickness = float(np.median(cKDTree(outer.vertices).query(inner.vertices)[0]))
    figures = {
        "volume_ml": round(check_mesh(outer).volume * 1e6, 4),
        "thickness_mm": round(thickness * 1e3, 2),
    }
    return [lumen, Organ(f"{base}_wall", label, "wall", material, outer, figures)]


def openings(patient: Patient, others: Mapping[str, Float64[np.ndarray, "n 3"]]) -> tuple[Orifice, ...]:
    """Find the openings of the lumens that have none yet, by the rules of `OPENINGS`.

    Args:
        patient: With lumens.
        others: Points of the organs beside them [m], by label.
    """
    known = {orifice.organ for orifice in patient.orifices}
    found: list[Orifice] = []
    for organ in patient.organs:
        base = next((base for base in OPENINGS if organ.label in (base, f"{base}_wall")), None)
        if organ.kind != "lumen" or base is None or organ.name in known:
            continue
        points, normals, area = _samples(organ.surface)
        for rule in OPENINGS[base]:
            place = _place(points, area, rule, others)
            orifice = None if place is None else _disc(organ, rule.name, place, points, normals, area)
            if orifice is not None:
                taken = any(orifice.name == other.name for other in (*patient.orifices, *found))
                found.append(replace(orifice, name=f"{base}_{orifice.name}") if taken else orifice)
    return tuple(found)


def _samples(surface: Mesh) -> tuple[Array, Array, Array]:
    """Return points spread over a surface [m], the unit normals there, and the area that each stands for [m^2]."""
    corners = surface.vertices.astype(np.float64)[surface.triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(face, axis=1) / 2
    i, j = np.nonzero(np.add.outer(np.arange(SPLIT), np.arange(SPLIT)) < SPLIT)
    share = np.stack([i, j, SPLIT - 1 - i - j], axis=1) + 1 / 3
    share = share / share.sum(axis=1, keepdims=True)
    points = np.einsum("sk,tkx->tsx", share, corners).reshape(-1, 3)
    return points, np.repeat(unit(face), len(share), axis=0), np.repeat(area / len(share), len(share))


def _place(points: Array, area: Array, rule: Opening, others: Mapping[str, Array]) -> Array | None:
    """Return where on a surface an opening lies [m]; None where there is no such neighbour."""
    if rule.at in ("top", "bottom"):
        away = points[:, 2].max() - points[:, 2] if rule.at == "top" else points[:, 2] - points[:, 2].min()
    elif len(others.get(rule.at, ())):
        away = cKDTree(others[rule.at]).query(points)[0]
        if away.min() > BESIDE:
            return None
    else:
        return None
    near = away < away.min() + 0.0015
    return np.asarray(np.average(points[near], axis=0, weights=area[near]))


def _disc(organ: Organ, name: str, centre: Array, points: Array, normals: Array, area: Array) -> Orifice | None:
    """Return the disc at a place of a lumen's surface [m]; None where no direction there leads into the lumen."""
    away = np.linalg.norm(points - centre, axis=1)
    near = away < away.min() + 0.006
    inward = -unit((normals[near] * area[near, None]).sum(axis=0))
    depths = centre + np.linspace(DEEP, 0.012, 7)[:, None] * inward
    inside = winding_number(organ.surface, depths) > 0.5
    if not inside[0]:
        return None
    # as wide as the lumen is behind it: the largest ball that fits there
    radius = float(cKDTree(points).query(depths[inside])[0].max())
    return Orifice(name, organ.name, centre, inward, min(radius, WIDEST))
