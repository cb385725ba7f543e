"""A patient's parts, examined one by one: what is wrong with each, in words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.labels import load_labels
from assets.materials import load_materials
from assets.mesh_check import MeshReport, check_mesh, winding_number
from assets.mesh_intersections import self_intersections
from assets.patient import Centreline, Organ, Orifice, Patient
from assets.tetrahedra import TetrahedraReport, check_tetrahedra

EXTENT = (0.0005, 2.5)
"""Least and most size of an organ [m]: outside it a file is probably not in metres."""


AIRWAY = ("trachea", "bronchi", "airways")
"""First words of the names of airways and their centrelines."""


@dataclass(frozen=True)
class OrganReport:
    """What was found of one organ, centreline or orifice."""

    name: str
    """Of the organ; `centreline NAME` and `orifice NAME` for the others."""
    mesh: MeshReport | None
    """None for what has no surface."""
    problems: tuple[str, ...]
    """Empty where all is well."""
    tetrahedra: TetrahedraReport | None = None
    """None where it has none."""
    crossings: int | None = None
    """Pairs of triangles of the surface that cross; None for what has no surface, or a damaged one."""


def check_patient(patient: Patient) -> list[OrganReport]:
    """Examine every organ, centreline, orifice and the landmarks; nothing is raised."""
    reports = [_organ(organ) for organ in patient.organs]
    lumens = {organ.name: organ for organ in patient.organs if organ.kind == "lumen"}
    inside = _Inside({organ.name: organ for organ in patient.organs})
    reports += [
        OrganReport(
            f"centreline {line.name}",
            None,
            _centreline(line, [*lumens, *_own_solids(line, patient.organs)], patient.orifices, inside),
        )
        for line in patient.centrelines
    ]
    reports += [OrganReport(f"orifice {orifice.name}", None, _orifice(orifice, lumens)) for orifice in patient.orifices]
    bad = tuple(
        f"expected finite coordinates, found {point} for {name}"
        for name, point in patient.landmarks.items()
        if not np.isfinite(point).all()
    )
    names = [organ.name for organ in patient.organs]
    bad += tuple(
        f"expected every name once, found {name} twice" for name in sorted(set(names)) if names.count(name) > 1
    )
    return reports + ([OrganReport("landmarks and names", None, bad)] if bad else [])


def _organ(organ: Organ) -> OrganReport:
    report = check_mesh(organ.surface)
    problems = list(report.problems)
    if not problems:
        extent = float(np.ptp(organ.surface.vertices, axis=0).max())
        if not EXTENT[0] < extent < EXTENT[1]:
            problems.append(f"expected a size between {EXTENT[0]} and {EXTENT[1]} m, found {extent:.3g} m")
        if organ.kind == "lumen" and (report.genus != 0 or report.body_count != 1):
            problems.append(f"expected one body of genus 0, found {report.body_count} of genus {report.genus}")
    tetrahedra = None
    if organ.tetrahedra is not None and not problems:
        tetrahedra = check_tetrahedra(organ.tetrahedra, organ.surface)
        problems += [f"tetrahedra: {line}" for line in tetrahedra.problems]
    if organ.label not in load_labels():
        problems.append(f"expected a label of assets/labels.csv, found {organ.label!r}")
    if organ.material not in load_materials():
        problems.append(f"expected a material of assets/materials.toml, found {organ.material!r}")
    crossings = len(self_intersections(organ.surface)) if report.finite and report.in_range else None
    return OrganReport(organ.name, report, tuple(problems), tetrahedra, crossings)


def _own_solids(line: Centreline, organs: tuple[Organ, ...]) -> list[str]:
    """Return the solid organs that a centreline may run in: imported vessels and airways are no lumens.

    The line's name begins as the organ's name or label does: `portal_segment_5_0` runs in the
    `portal_vein_and_splenic_vein`, `hepatic_vein_left` in a `hepatic_vein`, `airways_3` in the `airways`. The lines
    `trachea` and `bronchi_...` run in the airway, whatever it is called.
    """
    first = line.name.split("_")[0]
    if first in AIRWAY:
        return [organ.name for organ in organs if organ.kind == "solid" and organ.label.split("_")[0] in AIRWAY]
    return [
        organ.name
        for organ in organs
        if organ.kind == "solid" and first in (organ.name.split("_")[0], organ.label.split("_")[0])
    ]


class _Inside:
    """Tells whether points lie in an organ; lines of one tree share points, and a winding number is dear."""

    def __init__(self, organs: dict[str, Organ]) -> None:
        self._organs = organs
        self._known: dict[tuple[str, bytes], bool] = {}
        self._search: dict[str, cKDTree] = {}

    def reach(self, name: str, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far each point lies from the organ's nearest vertex [m]."""
        if name not in self._search:
            self._search[name] = cKDTree(self._organs[name].surface.vertices)
        return np.asarray(self._search[name].query(points)[0])

    def __call__(self, name: str, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        new = [point for point in points if (name, point.tobytes()) not in self._known]
        numbers = winding_number(self._organs[name].surface, np.array(new).reshape(-1, 3))
        self._known |= {(name, point.tobytes()): bool(found > 0.5) for point, found in zip(new, numbers, strict=True)}
        return np.array([self._known[name, point.tobytes()] for point in points], dtype=np.bool_)


def _centreline(line: Centreline, organs: list[str], orifices: tuple[Orifice, ...], within: _Inside) -> tuple[str, ...]:
    """Check that a centreline runs inside one of the organs, in small steps, with radii that fit."""
    step = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
    if not (np.isfinite(line.points).all() and np.isfinite(line.radius).all()):
        return ("expected finite points and radii, found NaN or infinity",)
    problems = []
    if step.max() > 0.006:
        problems.append(f"expected steps of at most 6 mm, found {1e3 * step.max():.1f} mm")
    # Strides of 1, 2, 4, ...: so lines of about the same length that share their way share the points looked at too.
    some = line.points[2 : -1 : 1 << max(0, (len(line.points) // 32).bit_length() - 1)]
    inside: dict[str, NDArray[np.bool_]] = {}
    for candidate in organs:
        inside[candidate] = within(candidate, some)
        if inside[candidate].all():
            break
    if not inside:
        return (*problems, "expected a lumen or a solid of its name about it, found none")
    name, best = max(inside.items(), key=lambda item: int(item[1].sum()))
    if not best.all():
        outside = some[int(np.argmin(best))]
        problems.append(f"expected every point inside {name}, found {np.round(outside, 4).tolist()} outside")
    reach = within.reach(name, line.points)
    for orifice in orifices:  # its disc is no wall
        reach[np.linalg.norm(line.points - orifice.centre, axis=1) < 2 * orifice.radius] = np.inf
    excess = float((line.radius - reach).max())
    if excess > 1e-3:
        problems.append(f"expected radii that stay inside {name}, found one {1e3 * excess:.1f} mm too large")
    return tuple(problems)


def _orifice(orifice: Orifice, lumens: dict[str, Organ]) -> tuple[str, ...]:
    """Check that an orifice lies in the surface of its lumen and looks into it."""
    if orifice.organ not in lumens:
        return (f"expected one of the lumens, found organ {orifice.organ!r}",)
    surface = lumens[orifice.organ].surface
    problems = []
    distance = float(cKDTree(surface.vertices).query(orifice.centre)[0])
    if distance > max(0.003, orifice.radius):
        problems.append(f"expected its centre on the surface of {orifice.organ}, found {1e3 * distance:.1f} mm off")
    within = winding_number(surface, (orifice.centre + 0.003 * orifice.normal)[None])
    if not within[0] > 0.5:
        problems.append(f"expected its normal to point into {orifice.organ}, found it pointing out")
    return tuple(problems)
