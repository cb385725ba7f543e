"""Couinaud's eight segments of a liver, for any patient: which of them a point belongs to.

They are stored as what defines them, so that any point, vertex or triangle can be asked for: in this order

1. **labels**: organs with the labels `liver_segment_1` to `liver_segment_8` are taken over: a point belongs to the one
   that it lies in, else to the nearest.
2. **veins**: centrelines `portal_segment_N...` of the portal branches, and `hepatic_vein_right`, `_middle`, `_left`: a
   point belongs to the segment of the nearest portal branch. Where a hepatic vein is nearer than any portal branch,
   only the segments that this vein runs between are asked, so none reaches across a fissure beyond its neighbour.
   Scans do not show the caudate lobe's branches: where those of segment 1 alone are missing, the line from the porta
   hepatis halfway to the vena cava stands in.
3. **planes**: without veins, planes through porta hepatis, vena cava and gallbladder stand in for the fissures. This is
   marked as approximate: even with the main veins known, planes miss volumes of single segments by up to a quarter
   (Limits of Couinaud's liver segment classification, J. Comput. Assist. Tomogr. 26, 2002; 23 patients).

Segments: Couinaud, Le foie: etudes anatomiques et chirurgicales, Masson, 1957; their names and borders as in Strasberg,
Nomenclature of hepatic anatomy and resections: a review of the Brisbane 2000 system, J. Hepatobiliary Pancreat. Surg.
12, 2005, doi:10.1007/s00534-005-0999-7.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.errors import InputError
from assets.mesh import Mesh
from assets.mesh_check import winding_number
from assets.patient import Patient
from assets.transforms import unit

Array = NDArray[np.float64]
Method = Literal["labels", "veins", "planes"]

NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8)
BORDERS: dict[str, tuple[int, ...]] = {"right": (5, 6, 7, 8), "middle": (4, 5, 8), "left": (2, 3, 4)}
"""Segments that each hepatic vein runs between."""
LANDMARKS = ("porta_hepatis", "vena_cava", "gallbladder_fundus", "umbilical_fissure")
"""What the planes are laid through."""
CAUDATE = 0.020
"""Reach of the caudate lobe from the line between porta hepatis and vena cava, for the planes alone [m]; chosen."""
RIGHT_SECTOR = np.radians(38.0)
"""Angle about the vena cava between main and right fissure [rad]; chosen."""
ABOVE = 0.018
"""How far the portal branches lie above the porta hepatis [m]; chosen."""


@dataclass(frozen=True)
class Segments:
    """The segments of one liver; ask with `of`."""

    method: Method
    portal: dict[int, Array]
    """Points on the portal branches of each segment [m], shape (n, 3); empty unless the method is veins."""
    hepatic: dict[str, Array]
    """Points on the hepatic veins that are known [m]."""
    solids: dict[int, Mesh]
    """Surfaces of labelled segments."""
    planes: Array
    """Landmarks in the order of LANDMARKS [m], shape (4, 3); empty unless the method is planes."""

    @property
    def approximate(self) -> bool:
        """Planes know the segments only roughly."""
        return self.method == "planes"

    def of(self, points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, "n"]:
        """Return the number of the segment, 1 to 8, that each point [m] of the liver or its surface belongs to."""
        if self.method == "labels":
            return _by_solids(points, self.solids)
        if self.method == "veins":
            return by_branches(points, self.portal, self.hepatic)
        return by_planes(points, *self.planes)

    def of_triangles(self, mesh: Mesh) -> Int[np.ndarray, "t"]:
        """Return the segment of each triangle's middle."""
        return self.of(mesh.vertices.astype(np.float64)[mesh.triangles].mean(axis=1))


def segments_of(patient: Patient) -> Segments:
    """Find out by which method a patient's liver can be parted, and prepare it.

    Raises:
        InputError: There are neither all eight labelled segments, nor branches of all eight, nor the landmarks.
    """
    solids = {n: organ.surface for n in NUMBERS for organ in patient.organs if organ.label == f"liver_segment_{n}"}
    if len(solids) == len(NUMBERS):
        return Segments("labels", {}, {}, solids, np.zeros((0, 3)))
    portal: dict[int, list[Array]] = {}
    hepatic: dict[str, list[Array]] = {}
    for line in patient.centrelines:
        if match := re.fullmatch(r"portal_segment_([1-8])(_\d+)?", line.name):
            portal.setdefault(int(match[1]), []).append(line.points)
        elif match := re.fullmatch(r"hepatic_vein_(right|middle|left)(_\d+)?", line.name):
            hepatic.setdefault(match[1], []).append(line.points)
    if 1 not in portal and {"porta_hepatis", "vena_cava"} <= set(patient.landmarks):
        porta, cava = patient.landmarks["porta_hepatis"], patient.landmarks["vena_cava"]
        portal[1] = [porta + np.linspace(0.25, 0.5, 16)[:, None] * (cava - porta)]
    if len(portal) == len(NUMBERS):
        joined = {n: np.concatenate(portal[n]) for n in NUMBERS}
        return Segments("veins", joined, {name: np.concatenate(x) for name, x in hepatic.items()}, {}, np.zeros((0, 3)))
    missing = [name for name in LANDMARKS if name not in patient.landmarks]
    if not missing:
        return Segments("planes", {}, {}, {}, np.stack([patient.landmarks[name] for name in LANDMARKS]))
    raise InputError(
        f"{patient.name}: expected organs liver_segment_1 to 8, centrelines portal_segment_1 to 8, or the landmarks "
        f"{', '.join(LANDMARKS)}; found segments {sorted(solids) or 'none'}, branches {sorted(portal) or 'none'}, and "
        f"no landmark {', '.join(missing)}"
    )


def by_branches(
    points: Float[np.ndarray, "n 3"],
    portal: Mapping[int, Float[np.ndarray, "_a 3"]],
    hepatic: Mapping[str, Float[np.ndarray, "_b 3"]],
) -> Int[np.ndarray, "n"]:
    """Return the segment of each point by the nearest branch.

    Args:
        points: [m]
        portal: Points on the branches of each segment [m]; close together against the distances that matter.
        hepatic: Points on hepatic veins named as in BORDERS [m]; may be empty.

    Raises:
        InputError: There is no portal branch, or a name is unknown.
    """
    unknown = [name for name in hepatic if name not in BORDERS]
    if not portal or unknown:
        raise InputError(f"expected portal branches and veins of {', '.join(BORDERS)}, found {unknown or 'no branch'}")
    numbers = np.array(sorted(portal))
    distance = np.stack([cKDTree(portal[int(n)]).query(points)[0] for n in numbers], axis=1)
    nearest = distance.min(axis=1)
    allowed = np.ones(distance.shape, bool)
    closest = nearest.copy()
    for name, line in hepatic.items():
        away = cKDTree(line).query(points)[0]
        border = np.isin(numbers, BORDERS[name])
        if not border.any():
            continue
        nearer = away < closest
        allowed[nearer] = border
        closest = np.minimum(closest, away)
    return np.asarray(numbers[np.argmin(np.where(allowed, distance, np.inf), axis=1)])


def turn_about(points: Float[np.ndarray, "n 3"], cava: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n"]:
    """Return the turn of points [m] about the upright axis of the vena cava: left negative, front 0, right positive."""
    flat = points[:, :2] - cava[:2]
    return np.asarray(np.arctan2(flat[:, 0], flat[:, 1]))


def by_planes(
    points: Float[np.ndarray, "n 3"], porta: Array, cava: Array, gallbladder: Array, fissure: Array
) -> Int[np.ndarray, "n"]:
    """Return the segment of each point by planes, RAS axes; approximate.

    The main fissure is the upright plane through vena cava and gallbladder; the umbilical fissure that through vena
    cava and round ligament; the right fissure lies RIGHT_SECTOR beyond the main one about the vena cava. The level of
    the portal branches parts upper from lower segments on the right, a frontal plane segments 2 from 3 on the left.

    Args:
        points: [m]
        porta: The porta hepatis [m].
        cava: The vena cava where the hepatic veins join it [m].
        gallbladder: Its fundus [m].
        fissure: The umbilical fissure at the liver's edge [m].
    """
    main, left = (float(turn_about(mark[None], cava)[0]) for mark in (gallbladder, fissure))
    turn = turn_about(points, cava)
    upper = points[:, 2] > porta[2] + ABOVE
    right = main + RIGHT_SECTOR
    result = np.where(points[:, 1] < (cava[1] + fissure[1]) / 2, 2, 3)
    result = np.where(turn > left, 4, result)
    result = np.where(turn > main, np.where(upper, 8, 5), result)
    result = np.where(turn > right, np.where(upper, 7, 6), result)
    axis = unit(cava - porta)
    along = np.clip((points - porta) @ axis, 0.0, np.linalg.norm(cava - porta))
    off = np.linalg.norm(points - porta - along[:, None] * axis, axis=1)
    return np.asarray(np.where((off < CAUDATE) & (points[:, 1] < porta[1]), 1, result))


def _by_solids(points: Array, solids: Mapping[int, Mesh]) -> NDArray[np.int64]:
    numbers = np.array(sorted(solids))
    result = np.zeros(len(points), np.int64)
    for number in numbers:
        mesh = solids[int(number)]
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        ask = np.flatnonzero((result == 0) & ((points >= low) & (points <= high)).all(axis=1))
        if len(ask):
            result[ask[winding_number(mesh, points[ask]) > 0.5]] = number
    left = np.flatnonzero(result == 0)
    if len(left):
        distance = np.stack([cKDTree(solids[int(n)].vertices).query(points[left])[0] for n in numbers], axis=1)
        result[left] = numbers[np.argmin(distance, axis=1)]
    return result


def shares(segments: Segments, points: Float[np.ndarray, "n 3"]) -> dict[int, float]:
    """Return each segment's share of evenly spread points."""
    found = segments.of(points)
    return {n: float((found == n).mean()) for n in NUMBERS}


def centres(segments: Segments, points: Float[np.ndarray, "n 3"]) -> dict[int, Array]:
    """Return, for each segment that has some, the one of evenly spread points that is nearest to their mean."""
    found = segments.of(points)
    result = {}
    for number in NUMBERS:
        mine = points[found == number]
        if len(mine):
            result[number] = mine[int(np.argmin(np.linalg.norm(mine - mine.mean(axis=0), axis=1)))].copy()
    return result


def names(numbers: Sequence[int]) -> list[str]:
    """Return the labels of `assets/labels.csv` for segments."""
    return [f"liver_segment_{int(number)}" for number in numbers]
