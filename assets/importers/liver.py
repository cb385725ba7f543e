"""Part an imported liver into Couinaud's eight segments: by labels, by labelled veins, or by planes.

What defines the segments is stored with the patient (`assets.couinaud` reads it): labelled segments as they are; else
four landmarks, and where a portal tree is labelled its end branches, each named after the segment that the outer half
of it lies in by the planes. So a plane decides on whole branches, and the nearest branch on every point.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from assets.couinaud import (
    LANDMARKS,
    NUMBERS,
    RIGHT_SECTOR,
    Segments,
    by_planes,
    centres,
    segments_of,
    shares,
    turn_about,
)
from assets.errors import InputError
from assets.importers.label_volume import LabelVolume
from assets.lumen.grid import resample
from assets.lumen.skeleton_graph import Edge, skeleton_graph
from assets.mesh_check import check_mesh
from assets.patient import Centreline, Organ, Patient
from assets.transforms import apply

PORTAL, HEPATIC = "portal_vein_and_splenic_vein", "hepatic_vein"
LATERAL = 0.16
"""Share of the liver left of the umbilical fissure where no landmark tells it: the middle of 5 to 27 %, see
docs/abdomen.md."""
SHORTEST = 0.008
"""Shorter ends of a vessel's skeleton are its roughness [m]; chosen."""
BESIDE = 0.005
"""A vessel nearer to the liver's voxels than this lies in it or at its porta [m]; chosen."""
MOST = 20_000
"""Voxels of the liver that the shares are counted at, about."""
VESSEL_VOXEL = 0.001
"""Voxel of the grid in which vessels are thinned [m]."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Vessel:
    edges: tuple[Edge, ...]
    ends: tuple[Edge, ...]
    """Edges with a free end, which comes last."""


def part_liver(patient: Patient, volume: LabelVolume | None, given: Mapping[str, Array] | None = None) -> Patient:
    """Find out the segments of a patient's liver, and write them into the patient.

    Args:
        patient: With organs `liver_segment_1` to `8`, or with a liver.
        volume: What the patient was made of; None for meshes.
        given: Some of the landmarks of `assets.couinaud.LANDMARKS` [m], RAS; they win over what is found.

    Returns:
        The patient with the attribute `couinaud` (method, approximate, shares) in the liver, or in each labelled
        segment; with landmarks, and with the centrelines `portal_segment_N_K` and `hepatic_vein_NAME_K` if there are.

    Raises:
        InputError: There is neither; or a liver without what the planes are laid through.
    """
    labels = {organ.label for organ in patient.organs}
    if {f"liver_segment_{n}" for n in NUMBERS} <= labels:
        return _taken_over(patient)
    if volume is None or "liver" not in labels:
        some = sorted(label for label in labels if label.startswith("liver"))
        raise InputError(
            "expected the labels liver_segment_1 to liver_segment_8, or a label map with a liver, to find Couinaud's "
            f"segments; found {', '.join(some) or 'no liver'}{' as meshes' if volume is None and some else ''} in "
            f"{patient.source}"
        )
    liver = _voxels(volume, "liver")
    marks = _landmarks(volume, liver, dict(given or {}))
    lines = _branches(volume, liver, marks)
    patient = replace(patient, landmarks=patient.landmarks | marks)
    parted = replace(patient, centrelines=(*patient.centrelines, *lines))
    segments = segments_of(parted)
    if segments.method != "veins":  # branches of too few segments: none is kept
        parted, segments = patient, segments_of(patient)
    return _written(parted, segments, liver)


def _taken_over(patient: Patient) -> Patient:
    """Keep labelled segments as they are, and say how large they are."""
    mine = [organ for organ in patient.organs if organ.label.startswith("liver_segment_")]
    volumes = {organ.label.rsplit("_", 1)[1]: abs(check_mesh(organ.surface).volume) for organ in mine}
    share = {n: round(volumes[n] / sum(volumes.values()), 4) for n in sorted(volumes)}
    found = {"couinaud": {"method": "labels", "approximate": False, "shares": share}}
    organs = tuple(
        replace(organ, attributes=organ.attributes | found) if organ in mine or organ.label == "liver" else organ
        for organ in patient.organs
    )
    return replace(patient, organs=organs)


def _written(patient: Patient, segments: Segments, liver: Array) -> Patient:
    found: dict[str, object] = {"method": segments.method, "approximate": segments.approximate}
    if segments.method == "veins":
        found["branches_named_by"] = "planes"
    some = liver[:: max(1, len(liver) // MOST)]
    found["shares"] = {str(n): round(x, 4) for n, x in shares(segments, some).items()}
    marks = {f"liver_segment_{n}": point for n, point in centres(segments, some).items()}

    def marked(organ: Organ) -> Organ:
        return replace(organ, attributes=organ.attributes | {"couinaud": found}) if organ.label == "liver" else organ

    return replace(
        patient, organs=tuple(marked(organ) for organ in patient.organs), landmarks=patient.landmarks | marks
    )


def _voxels(volume: LabelVolume, name: str) -> Array:
    """Return the centres of a structure's voxels, RAS [m]."""
    return apply(volume.T_world_index, np.argwhere(volume.mask(name)).astype(np.float64))


def _landmarks(volume: LabelVolume, liver: Array, marks: dict[str, Array]) -> dict[str, Array]:
    """Find the landmarks that are not given."""
    present = set(volume.names.values())
    sources = {"porta_hepatis": PORTAL, "vena_cava": "inferior_vena_cava", "gallbladder_fundus": "gallbladder"}
    missing = {name: label for name, label in sources.items() if name not in marks and label not in present}
    if missing:
        raise InputError(
            f"expected the labels {', '.join(missing.values())} for Couinaud's segments, or the landmarks "
            f"{', '.join(missing)} in the file of --landmarks, found {', '.join(sorted(present)[:8])}"
        )
    if "porta_hepatis" not in marks:
        # where the vein is widest beside the liver
        radius = ndimage.distance_transform_edt(volume.mask(PORTAL), sampling=volume.spacing)
        vein = _voxels(volume, PORTAL)
        wide = radius[volume.mask(PORTAL)]
        near = cKDTree(liver).query(vein)[0] < BESIDE + float(volume.spacing.max())
        if not near.any():
            raise InputError(f"expected {PORTAL} beside the liver, found it elsewhere; give the landmark porta_hepatis")
        marks["porta_hepatis"] = vein[near][wide[near] > 0.9 * wide[near].max()].mean(axis=0)
    if "vena_cava" not in marks:
        cava = _voxels(volume, "inferior_vena_cava")
        cava = cava[cava[:, 2] <= max(float(liver[:, 2].max()), float(cava[:, 2].min()))]
        marks["vena_cava"] = cava[cava[:, 2] > cava[:, 2].max() - 0.010].mean(axis=0)
    if "gallbladder_fundus" not in marks:
        bladder = _voxels(volume, "gallbladder")
        away = np.linalg.norm(bladder - marks["porta_hepatis"], axis=1)
        marks["gallbladder_fundus"] = bladder[away >= np.percentile(away, 98)].mean(axis=0)
    if "umbilical_fissure" not in marks:
        turn = turn_about(liver, marks["vena_cava"])
        edge = float(np.quantile(turn, LATERAL))
        rim = liver[np.abs(turn - edge) < np.radians(4.0)]
        marks["umbilical_fissure"] = rim[int(np.argmax(rim[:, 1]))].copy()
    return {name: marks[name] for name in LANDMARKS}


def _branches(volume: LabelVolume, liver: Array, marks: Mapping[str, Array]) -> list[Centreline]:
    """Return the end branches of the portal tree named after their segments, and the hepatic veins."""
    portal = _vessel(volume, PORTAL, liver)
    planes = [marks[name] for name in LANDMARKS]
    count: dict[str, int] = {}
    lines = []

    def add(stem: str, edge: Edge) -> None:
        number = count[stem] = count.get(stem, -1) + 1
        lines.append(Centreline(f"{stem}_{number}", edge.points, np.maximum(edge.radius - VESSEL_VOXEL / 2, 0.0)))

    for edge in portal.ends:
        add(f"portal_segment_{int(by_planes(_outer(edge)[None], *planes)[0])}", edge)
    cava = marks["vena_cava"]
    fissures = turn_about(np.stack([marks["gallbladder_fundus"], marks["umbilical_fissure"]]), cava)
    angles = {"right": fissures[0] + RIGHT_SECTOR, "middle": fissures[0], "left": fissures[1]}
    for edge in _vessel(volume, HEPATIC, liver).edges:
        turn = float(turn_about(edge.points.mean(axis=0)[None], cava)[0])
        add(f"hepatic_vein_{min(angles, key=lambda name: abs(angles[name] - turn))}", edge)
    return lines


def _outer(edge: Edge) -> Float[np.ndarray, "3"]:
    return np.asarray(edge.points[len(edge.points) // 2 :].mean(axis=0))


def _vessel(volume: LabelVolume, name: str, liver: Array) -> _Vessel:
    """Thin a vessel and return the pieces of it that lie in the liver; none where it is not labelled."""
    mask = volume.mask(name)
    if not mask.any():
        return _Vessel((), ())
    occupancy, grid = resample(mask, volume.T_world_index, spacing=VESSEL_VOXEL, margin=0.003)
    fine = occupancy > 0.5
    if not fine.any():
        return _Vessel((), ())
    distance = (ndimage.distance_transform_edt(fine) * grid.spacing).astype(np.float32)
    graph = skeleton_graph(fine, distance, grid)
    degree = np.bincount(np.array([edge.nodes for edge in graph.edges], int).ravel(), minlength=len(graph.nodes))
    tree = cKDTree(liver)
    limit = BESIDE + float(volume.spacing.max())
    inner = [
        edge for edge in graph.edges if edge.length >= SHORTEST and (tree.query(edge.points)[0] < limit).mean() > 0.5
    ]
    ends = []
    for edge in inner:
        free = [node for node in edge.nodes if degree[node] == 1]
        if len(free) == 1:
            ends.append(edge.leaving(edge.other(free[0])))
    return _Vessel(tuple(inner), tuple(ends))
